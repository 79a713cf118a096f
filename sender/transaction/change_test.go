package transaction

import (
	"errors"
	"slices"
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// changed is a world whose spool was under another transactional id before, and may have left a transaction open there.
func changed(t *testing.T, finish bool) *world {
	w := newWorld(t, 1, 2, "a")
	w.longest = 1 << 30
	w.disk = spool.Transaction{ID: "former", Identity: protocol.ProducerIdentity{ID: 7, Epoch: 0}, Decision: spool.Decision{Identity: protocol.NoIdentity}}
	w.s.cfg.Finish = finish
	if finish {
		w.s.cfg.ID = "former"
	}
	w.inits = nil
	w.restarted(2)
	return w
}

func TestAChangedIDEndsWhatItsFormerOneLeftOpen(t *testing.T) {
	w := changed(t, false)
	w.spooled(3, 0)
	w.run()
	if !slices.Equal(w.inits, []string{"former", "id"}) || w.disk.ID != "id" || w.committed != 3 {
		t.Errorf("initialised were %q, the id on disk is %q, %d records are committed", w.inits, w.disk.ID, w.committed)
	}
	w.restarted(2)
	w.spooled(3, 0)
	w.run()
	if !slices.Equal(w.inits, []string{"former", "id", "id"}) {
		t.Errorf("initialised were %q: the former id once more", w.inits)
	}
}

// Whoever has the former id now has ended what was open; who may not use it any more cannot.
func TestAFormerIDThatIsNotOursAnyMoreHoldsNothingUp(t *testing.T) {
	w := changed(t, false)
	w.others = []string{"another"}
	w.s.starter.restart()
	w.untilChanged()
	if len(w.inits) > 0 || w.s.known.ID != "id" {
		t.Errorf("initialised were %q, the id is %q", w.inits, w.s.known.ID)
	}
	w = changed(t, false)
	for len(w.inits) == 0 {
		if !w.step() {
			w.pass(20)
		}
	}
	w.others = []string{"another"} // it comes between
	w.untilChanged()
	if w.s.known.ID != "id" || w.s.known.Fenced != "" {
		t.Errorf("the id is %q, and another spool has fenced it: %s", w.s.known.ID, w.s.known.Fenced)
	}
	w = changed(t, false)
	w.denied = "former"
	w.spooled(3, 0)
	w.run()
	if !slices.Equal(w.inits, []string{"former", "id"}) || w.committed != 3 {
		t.Errorf("initialised were %q, %d records are committed", w.inits, w.committed)
	}
}

// untilChanged lets a lot happen, until the configured id is the spool's.
func (w *world) untilChanged() {
	for range 200 {
		if w.s.known.ID == "id" {
			return
		}
		if !w.step() {
			w.pass(20)
		}
	}
}

func TestWithoutAnIDWhatTheFormerOneLeftOpenIsEnded(t *testing.T) {
	w := changed(t, true)
	stop := error(nil)
	for range 1000 {
		if stop = w.s.stop; stop != nil {
			break
		}
		if len(w.requests) == 0 {
			w.pass(20)
			continue
		}
		r := w.requests[0]
		w.requests = w.requests[1:]
		w.now.Age++
		e := w.s.Handle(w.now, w.answer(&r))
		if stop = e.Stop; stop != nil {
			if e.Write == nil || e.Write.Transaction == nil || e.Write.Transaction.ID != "" {
				t.Errorf("the next start would end it once more: %+v", e.Write)
			}
			break
		}
		w.do(e)
	}
	if !errors.Is(stop, sender.ErrFinished) || !slices.Equal(w.inits, []string{"former"}) {
		t.Errorf("stopped with %v, initialised were %q", stop, w.inits)
	}
}
