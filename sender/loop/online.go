package loop

import (
	"sync"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// Online is a unit that is not spooled, on its way. Its methods are safe for concurrent use.
type Online struct {
	unit   *sender.OnlineUnit
	behind uint64 // records that were committed before it
	loop   *Loop
	id     uint64
	done   chan struct{} // closed when end is known
	once   sync.Once
	end    sender.OnlineEnd
}

// onlineCore is a core that takes units which are not spooled.
type onlineCore interface {
	Online(now spool.Time, u *sender.OnlineUnit) *sender.Effects
	Cancel(now spool.Time, id uint64) *sender.Effects
}

// Online gives the core a unit that is not spooled, behind everything that was committed when the store counted accepted records.
// ErrOver: the loop has ended, or delivers without transactions; the unit was not taken.
func (l *Loop) Online(u *sender.OnlineUnit, accepted uint64) (*Online, error) {
	core, ok := l.core.(onlineCore)
	if !ok {
		return nil, ErrOver
	}
	o := &Online{loop: l, done: make(chan struct{}), unit: u, behind: accepted}
	if !l.inbox.post(func() {
		l.onlineID++
		u.ID, o.id = l.onlineID, l.onlineID
		if l.online == nil {
			l.online = make(map[uint64]*Online)
		}
		l.online[o.id] = o
		l.early = append(l.early, o)
		takeOnline(l, core, false)
	}) {
		return nil, ErrOver
	}
	return o, nil
}

// takeOnline gives the core the units of which all that goes before them was handed on, or all of them, in their order.
func takeOnline(l *Loop, core onlineCore, all bool) {
	for len(l.early) > 0 && (all || l.progress.accepted >= l.early[0].behind) {
		u := l.early[0].unit
		l.early = l.early[1:]
		l.carry(core.Online(l.now, u))
	}
}

// Cancel aborts the unit, unless it was decided on: Done says how it ended.
func (o *Online) Cancel() {
	l := o.loop
	l.inbox.post(func() {
		if l.online[o.id] == o {
			takeOnline(l, l.core.(onlineCore), true) // it can only be aborted there
			l.carry(l.core.(onlineCore).Cancel(l.now, o.id))
		}
	})
}

// Done is closed when the unit has ended. It stays open if the loop ends first.
func (o *Online) Done() <-chan struct{} { return o.done }

// Over is closed when the loop has ended.
func (o *Online) Over() <-chan struct{} { return o.loop.over }

// End is what became of the unit, once Done is closed.
func (o *Online) End() sender.OnlineEnd { return o.end }

// onlineEnded notes what became of units.
func (l *Loop) onlineEnded(list []sender.OnlineEnd) {
	for _, e := range list {
		if o := l.online[e.ID]; o != nil {
			delete(l.online, e.ID)
			o.end = e
			o.once.Do(func() { close(o.done) })
		}
	}
}
