package sender

import "github.com/spoold/spoold/spool"

// Closing has nothing more sealed or read back: what is sealed already still goes out,
// and its answers settle it. So a stop in good order leaves little in doubt.
func (s *Sender) Closing(now spool.Time) *Effects {
	s.begin(now)
	s.closing = true
	return s.end()
}
