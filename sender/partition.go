package sender

import (
	"slices"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/spool"
)

// phase is what a partition is doing. The legal ways:
//
//	fresh      nothing is known of the leader's view: to resolving
//	ready      seals and sends: to answers (an error came), resolving (leader or connection is new)
//	answers    muted until everything in flight is answered: to ready, resolving, or through a hole
//	resolving  the resolver asks, reads, re-sends one at a time: to ready, parked
//	limbo      a refused batch may still be in the log: the tail is read: to ready, parked
//	parked     waits for an operator: to fresh
type phase uint8

const (
	fresh phase = iota
	ready
	answers
	resolving
	limbo
	parked
)

var phaseNames = [...]string{"waiting", "ready", "waiting", "resolving", "resolving", "parked"}

// inflight is one sealed batch that is not settled.
type inflight struct {
	seal    spool.Seal
	batch   *accumulator.Batch // nil: its bytes are in the spool only
	durable bool               // its seal is: it may be sent
	sent    bool               // a copy is on the wire, unanswered
	found   bool               // sealed by an earlier process
	copies  int                // ever written to a socket by this process
	maybe   int                // copies that may have been appended, answers notwithstanding
	acked   bool
	offset  protocol.Offset
	stamp   int64 // LogAppendTime, or -1
	// The last answer, if it was an error.
	code    protocol.ErrorCode
	message string
	bad     []int32 // records that the answer named
}

// partition is the sender's side of one partition.
type partition struct {
	lane *lane
	id   int32
	q    *accumulator.Partition
	ids  idempotence.Partition
	park spool.Park

	phase  phase
	window []*inflight // oldest first: sealed and not settled
	limbo  []*inflight // refused, but perhaps in the log (seal.Refused)
	onWire int         // copies on the wire

	via      cluster.Way // over which leader and connection the log was looked at last
	mayAsk   bool
	tailBase protocol.Offset // at or below the offset of the next batch
	resolver *recovery.Resolver
	resend   *inflight          // what the resolver wants on the wire
	build    *building          // bytes being read back for resend
	needMeta cluster.Generation // metadata generation that must have come before the leader is asked
	check    cluster.LeaderCheck
	asking   *asking
	wantAsk  bool
	tail     *tailRead

	retryAt  int64
	pausing  bool // the resolver's pause is under way until retryAt
	attempts int
	detail   string // why it waits, for status

	cloneAnswered bool // its leader has answered the clone check
	exhausted     bool // no epoch is left under its producer id
	// limboReady: something was acked behind what is in limbo, at limboTo.
	limboReady bool
	limboTo    protocol.Offset

	active, dirty bool
}

func (p *partition) idle() bool {
	return len(p.window) == 0 && p.q.Empty() && len(p.limbo) == 0 && p.phase != resolving && p.phase != limbo && !p.q.Passed() ||
		p.phase == parked
}

// lowest is at or below the offset of the next batch.
func (p *partition) lowest() protocol.Offset {
	if p.ids.LastOffset == protocol.NoOffset {
		return p.tailBase
	}
	return max(p.tailBase, p.ids.LastOffset+1)
}

func (p *partition) state() spool.PartitionState {
	_, epoch := p.leader()
	return spool.PartitionState{
		Lane: p.lane.id, Partition: p.id,
		Identity: p.ids.Identity, Next: p.ids.Next, Settled: p.ids.Settled,
		LastOffset: p.ids.LastOffset, LastMaxTimestamp: p.ids.LastMaxTimestamp, Park: p.park, LeaderEpoch: epoch,
	}
}

// sortWindow puts what a start found in the order of sequences, which is not always
// the order of sealing: the halves of a batch are sealed after what follows it.
func (p *partition) sortWindow() {
	var first protocol.Sequence
	if p.ids.Settled != protocol.NoSequence {
		first = p.ids.Settled.Next(1)
	}
	slices.SortFunc(p.window, func(a, b *inflight) int {
		return first.Distance(a.seal.Base) - first.Distance(b.seal.Base)
	})
}

// overtook reports whether something behind an unanswered batch was acked.
func (p *partition) overtook() bool {
	for _, inf := range p.window[min(1, len(p.window)):] {
		if inf.acked {
			return true
		}
	}
	return false
}

// doubtful reports whether any copy of any batch may be in the log unknown to us.
func (p *partition) doubtful() bool {
	for _, inf := range p.window {
		if inf.maybe > 0 || inf.found {
			return true
		}
	}
	return false
}

// resealed reports whether its epoch was raised to shut out what the former one left
// behind, and nothing was acked under it yet: it stays with that producer id. (The
// cluster gives out epoch 0 only.)
func (p *partition) resealed() bool {
	return p.ids.Identity.Valid() && p.ids.Identity.Epoch > 0 && p.ids.Settled == protocol.NoSequence
}

// trouble notes why the partition waits and when to try again.
func (s *Sender) trouble(p *partition, detail string) {
	p.attempts++
	p.detail = detail
	p.retryAt = s.now.Age + s.backoff.After(p.attempts)
	s.wake(p.retryAt)
}

func (s *Sender) block(p *partition, blocked bool) {
	if p.q.Blocked() != blocked {
		s.epoch++
		p.lane.acc.Block(p.q, blocked)
	}
}
