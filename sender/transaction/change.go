package transaction

import (
	"github.com/spoold/spoold/sender"
)

// Under another transactional id, or none, a start runs under the former one first: InitProducerId ends what was left open there, which
// holds readers of committed records up until its time-out otherwise.

// formerID is the starter while it runs under a transactional id that is not the configured one.
type formerID struct{ *starter }

// is reports whether it does.
func (s formerID) is() bool { return s.cfg.Finish || s.known.ID != s.cfg.ID }

// leaving reports whether nothing is asked of a former id but that it ends what is open.
func (s formerID) leaving() bool {
	return s.is() && !s.known.Decision.Open() && len(s.known.Parked)+len(s.known.Unconfirmed) == 0
}

// abandon gives up ending what is open under the former id: it may not be used any more.
func (s formerID) abandon(why string) {
	s.audit("what may be open under transactional id %q is left to its time-out: %s", s.known.ID, why)
	s.change()
}

// change goes on as the configuration says.
func (s formerID) change() {
	s.forget()
	if s.stop == nil {
		s.restart()
	}
}

// forget has the spool keep the configured id in place of the former one.
func (s formerID) forget() {
	if s.cfg.Finish {
		s.audit("transactional.id was %q, now there is none", s.known.ID)
		s.known.ID = ""
		s.put()
		s.stop = sender.ErrFinished
		return
	}
	if s.known.ID != "" {
		s.audit("transactional.id was %q, is now %q", s.known.ID, s.cfg.ID)
	}
	s.known.ID, s.known.KeyTopic, s.known.TookOver = s.cfg.ID, "", ""
	s.put()
}
