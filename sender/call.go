package sender

import (
	"fmt"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// call is the time of a call of the core, what the call leaves behind, and what all calls go by: the parts of a Sender
// share one.
type call struct {
	cfg     Config
	now     spool.Time
	backoff protocol.Backoff
	acc     *accumulator.Accumulator
	view    *cluster.View

	eff  Effects
	e    idempotence.Env // with the Write that is being composed, and all else that machines left
	then []func()        // to do when the Write is durable
	stop error

	checked bool // the clone check is over
	closing bool // see Closing
	// noIdentity is why there is no producer id before the Age noIdentityUntil, for people. denied: until a right is granted.
	noIdentity      string
	noIdentityUntil int64
	denied          bool
}

func (c *call) begin(now spool.Time) {
	if now.Age < c.now.Age {
		now.Age = c.now.Age
	}
	c.now = now
	c.view.Begin(now.Age)
	e := &c.eff
	clear(e.Sealed)
	clear(e.Requests)
	clear(e.Recycle)
	*e = Effects{
		Sealed: e.Sealed[:0], Requests: e.Requests[:0], Deliver: e.Deliver[:0], Feed: e.Feed[:0],
		Recycle: e.Recycle[:0], Events: e.Events[:0],
	}
}

// wake asks for a Tick at the latest at age at.
func (c *call) wake(at int64) {
	if at <= c.now.Age {
		at = c.now.Age + 1
	}
	if c.eff.WakeAt == 0 || at < c.eff.WakeAt {
		c.eff.WakeAt = at
	}
}

func (c *call) event(e Event) { c.e.Events = append(c.e.Events, e) }

func (c *call) audit(format string, args ...any) {
	c.e.Write.Audit = append(c.e.Write.Audit, spool.AuditEntry{At: c.now.Wall, What: fmt.Sprintf(format, args...)})
}

// stopForGood records that somebody else used this spool's identity (P11).
func (c *call) stopForGood(p *partition, detail string) {
	reason := p.lane.topic + "-" + itoa(p.ID) + ": " + detail
	c.e.Write.Stop, c.e.Urgent = reason, true
	c.stop = &StoppedError{Reason: reason}
}

// env is what a call of p's machine is given. collect comes after the call.
func (c *call) env(p *partition) *idempotence.Env {
	e := &c.e
	e.Now = c.now
	e.TopicID = p.lane.remote.Bound
	e.MaySeal, e.WhyNot = c.mayUseIdentity() && !c.cfg.FinishOnly, waitsForCloneCheck
	e.NoIdentity = ""
	if c.noIdentityUntil > c.now.Age {
		e.NoIdentity = c.noIdentity
	}
	e.Closing = c.closing
	return e
}
