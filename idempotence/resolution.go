package idempotence

import (
	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/spool"
)

// resolution is how far a partition has come with finding out what became of its batches: what the leader was asked over
// which way, and what is to be sent again.
type resolution struct {
	way      uint64 // over which the log was looked at last; 0: over none
	mayAsk   bool   // false: no right to DescribeProducers
	resolver *recovery.Resolver
	resend   *Sealed   // what the resolver has sent again
	build    *building // bytes being read back for resend
	readAt   int64     // Age at which bytes were read back last
	round    uint64    // see Round
}

// building is a sealed batch whose bytes are being read back.
type building struct {
	batch   *Sealed
	builder *accumulator.Builder
}

// MayAsk reports whether the leader may be asked about producers (READ on the topic).
func (r *resolution) MayAsk() bool { return r.mayAsk }

// Round is another number whenever all that was asked of the leader, or read of its log, is void.
func (r *resolution) Round() uint64 { return r.round }

// forget drops all that was asked, read or sent to find out the fate of batches.
func (r *resolution) forget() {
	r.resend, r.build = nil, nil
	r.round++
}

// SetMayAsk says whether the leader may be asked about producers, and reports whether that is new.
func (r *resolution) SetMayAsk(may bool) (changed bool) {
	changed = r.mayAsk != may
	r.mayAsk = may
	return changed
}

// TryAsking has the leader asked as over a new way, if it may not be asked about producers: the right may have been given since.
func (r *resolution) TryAsking() {
	if !r.mayAsk {
		r.way = 0
	}
}

// readBack reads the entries of b, a batch of lane, from the spool.
func (r *resolution) readBack(lane *accumulator.Lane, b *Sealed) Want {
	if r.build == nil || r.build.batch != b {
		r.build = &building{batch: b, builder: accumulator.NewBuilder(lane.Topic, &b.Seal)}
	}
	return Want{Do: ReadBack, Batch: b, Index: r.build.builder.Next()}
}

// letGo forgets the bytes of a batch that leaves the window, also those that are on their way back from the spool.
func (r *resolution) letGo(e *Env, b *Sealed) {
	if r.build != nil && r.build.batch == b {
		r.build = nil
	}
	e.recycle(b)
}

// TakeEntries takes what ReadBack asked for: all entries of the lane that have not left, up to next.
func (r *resolution) TakeEntries(e *Env, sections []spool.Section, next spool.Index) {
	if r.build == nil {
		return
	}
	b := r.build.batch
	whole, err := r.build.builder.Feed(&b.Seal, sections, next)
	if err != nil {
		e.Damage = err
		return
	}
	if whole {
		b.Batch, r.build, r.readAt = r.build.builder.Batch, nil, e.Now.Age
		e.Accumulator.Adopt(b.Batch)
	}
}
