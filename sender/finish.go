package sender

import "errors"

// ErrFinished says that nothing is in doubt any more under the way of delivery that the spool had
// before: delivery goes on under the one that is configured.
var ErrFinished = errors.New("what was in doubt is resolved")

// finish ends a sender that was only to resolve what is sealed.
func (s *Sender) finish() {
	if !s.cfg.FinishOnly || s.stop != nil || len(s.writes.list) > 0 || !s.e.Write.Empty() {
		return
	}
	for _, l := range s.lanes {
		for _, p := range l.parts {
			if p.Waiting() || p.Park().Parked() {
				return
			}
		}
	}
	s.stop = ErrFinished
}
