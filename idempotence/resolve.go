package idempotence

import (
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/recovery"
	"github.com/spoold/spoold/spool"
)

// Do is what a machine waits for.
type Do uint8

// What a machine may wait for.
const (
	Nothing  Do = iota // or for what was sent, written or committed
	Ask                // DescribeProducers and the log's end, at the leader: Described, or Wait and again
	ReadTail           // batch headers of the log from From to To: TailRead
	ReadBack           // entries of Batch from the spool, from Index on: TakeEntries
	Confirm            // another broker's answer about the leader, before it is parked for Reason: ParkFor, or AskAgain
	Stop               // for good: somebody else used this spool's identity; Detail
)

// Want is what a machine waits for.
type Want struct {
	Do             Do
	From, To       protocol.Offset // ReadTail; To NoOffset: up to the high watermark
	Batch          *Sealed         // ReadBack
	Index          spool.Index     // ReadBack
	Reason, Detail string          // Confirm, Stop
}

// Advance takes the partition as far as it can go now over a way to its leader, which is another number than 0 and
// than before whenever leader, leader epoch or connection are new. It is to be called again whenever time has come
// (Steps.WakeAt), an answer was taken, a commit was made or records came. Review comes before it.
func (m *Machine) Advance(e *Env, way uint64) Want {
	if m.phase == Parked {
		return Want{}
	}
	switch {
	case m.phase == Unknown:
		m.beginResolving(e, way)
	case m.phase == Ready && way != m.way && m.onWire > 0:
		m.enter(Muted) // the old connection's answers come first
		m.Block(e, true)
	case m.phase == Ready && way != m.way:
		m.beginResolving(e, way)
	}
	var w Want
	if m.phase == Resolving {
		if len(m.window) > 0 {
			m.Block(e, true) // a new leader does not end it
		}
		w = m.followResolver(e, way)
	}
	if m.phase == Ready && m.boundKnown && len(m.window) == 0 { // also if the resolver has just come to its end
		m.enter(ReadingTail)
		m.Block(e, true)
	}
	if m.phase == ReadingTail {
		if way != m.way {
			m.way = way
			m.round++
		}
		w = Want{Do: ReadTail, From: m.refusedMaybe[0].Seal.Tail, To: m.bound}
	}
	if m.phase == Ready {
		m.drain(e)
		// The bytes of the next batch to be sent, if they were given up.
		if b := m.unsent(); b != nil && b.Batch == nil && e.Now.Age >= m.retryAt && !e.Closing {
			w = m.readBack(m.Lane, b)
		}
	}
	return w
}

// beginResolving asks the leader before anything (more) is sent.
func (m *Machine) beginResolving(e *Env, way uint64) {
	m.enter(Resolving)
	m.way = way
	m.forget()
	m.resolver = m.newResolver(e)
	if len(m.window) > 0 {
		m.Block(e, true)
	}
}

func (m *Machine) newResolver(e *Env) *recovery.Resolver {
	return recovery.New(recovery.Facts{
		Identity: m.Producer(e), Next: m.seq.Next, Settled: m.seq.Settled,
		LastMaxTimestamp: m.seq.LastMaxTimestamp, MarginMs: e.MarginMs,
	}, m.forRecovery(m.lowestSettled()))
}

// followResolver carries out what the resolver asks for next.
func (m *Machine) followResolver(e *Env, way uint64) Want {
	if m.onWire > 0 {
		return Want{} // one copy at a time
	}
	if way != m.way {
		m.way = way
		m.forget()
		m.resolver.Interrupted()
	}
	for m.phase == Resolving && e.Damage == nil {
		step := m.resolver.Next(e.Now)
		switch step.Do {
		case recovery.Ask:
			if e.Now.Age < m.retryAt {
				e.Wake(m.retryAt)
				return Want{}
			}
			return Want{Do: Ask}
		case recovery.ReadTail:
			return Want{Do: ReadTail, From: step.From, To: step.To}
		case recovery.Resend:
			b := m.window[step.Index]
			if b.Batch == nil {
				return m.readBack(m.Lane, b)
			}
			m.resend = b
			return Want{}
		case recovery.Settle:
			m.stepSettle(e, &step)
		case recovery.Pause:
			if !m.paused(e) {
				return Want{}
			}
			m.resolver.Paused()
		case recovery.Park:
			return Want{Do: Confirm, Reason: step.Reason, Detail: step.Detail}
		case recovery.Stop:
			return Want{Do: Stop, Detail: step.Detail}
		case recovery.Refused:
			if b := m.window[0]; b.Batch == nil && b.Seal.Count > 1 && len(b.badRecords()) == 0 {
				return m.readBack(m.Lane, b) // to be cut in two
			}
			m.seq.Known = step.Known && m.seq.Settled != protocol.NoSequence
			m.refused(e, step.Final, step.Known)
		case recovery.Done:
			m.seq.Known = step.Known && m.seq.Settled != protocol.NoSequence
			m.enter(Ready)
			m.resolver = nil
			if len(m.window) == 0 {
				m.attempts, m.Detail = 0, ""
			}
		}
	}
	return Want{}
}

// stepSettle settles batches from the front, or parks the partition if they cannot be where the step says.
func (m *Machine) stepSettle(e *Env, step *recovery.Step) {
	for k, b := range m.window[:step.Count] {
		if b.acked && step.Offsets[k] == protocol.NoOffset {
			step.Offsets[k] = b.offset
		}
	}
	if park := m.leavesNoRoom(step, m.window); park.Parked() {
		m.ParkFor(e, park.Reason, park.Detail)
		return
	}
	for _, offset := range step.Offsets[:step.Count] {
		m.settle(e, offset, step.How)
	}
}

// Described takes the leader's answer to Ask: what it has of Producer, and where its log ends. denied: without the
// right to ask.
func (m *Machine) Described(e *Env, n recovery.Named, denied bool, logEnd protocol.Offset) {
	if !m.Waiting() {
		m.tailBase = max(m.tailBase, logEnd) // all of ours lies below
	}
	if denied {
		m.resolver.Denied()
		return
	}
	m.resolver.Described(e.Now, n)
}

// UsedElsewhere is what shows that the identity was used by another copy of the spool, or "".
func (m *Machine) UsedElsewhere(e *Env, n recovery.Named) string {
	r := m.newResolver(e)
	r.Described(e.Now, n)
	if step := r.Next(e.Now); step.Do == recovery.Stop {
		return step.Detail
	}
	return ""
}

// TailRead takes what reading the log showed.
func (m *Machine) TailRead(e *Env, t recovery.Tail) {
	switch m.phase {
	case ReadingTail:
		m.refusedSeen(e, t)
	case Resolving:
		m.resolver.TailRead(e.Now, t)
	}
}

// AskAgain forgets what the leader said.
func (m *Machine) AskAgain(e *Env) { m.resolver = m.newResolver(e) }
