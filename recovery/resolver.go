package recovery

import (
	"fmt"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Batch is one sealed batch that is not settled.
type Batch struct {
	Base         protocol.Sequence
	Count        int32
	MaxTimestamp int64           // ms since 1970
	SealedAge    int64           // spool clock, ms
	Tail         protocol.Offset // where to read the log from
	// Doubtful: a copy may have been written whose answer does not prove that it
	// was not appended. Always so for a seal found at a start.
	Doubtful bool
	// Acked: an answer said that it is in the log, at Offset, while an older batch
	// is not answered for.
	Acked  bool
	Offset protocol.Offset
	// Lost: some of its records cannot be read any more. It is looked for, and never sent again.
	Lost bool
}

func (b *Batch) last() protocol.Sequence { return b.Base.Last(int(b.Count)) }

// Facts are what the machine has of the partition.
type Facts struct {
	Identity         protocol.ProducerIdentity
	Next             protocol.Sequence // after the last sealed
	Settled          protocol.Sequence // or protocol.NoSequence
	LastMaxTimestamp int64             // of the last acked batch; 0: none
	MarginMs         int64
}

// Do is what the machine wants next.
type Do uint8

// Steps.
const (
	Ask      Do = iota + 1 // DescribeProducers, at the current leader
	ReadTail               // Fetch batch headers from From to To
	Resend                 // batch Index, as it is, alone
	Settle                 // batches 0..Count-1 are replicated
	Pause                  // back off, then Next again
	Park                   // Reason, Detail
	Stop                   // Detail: somebody else used this spool's identity (P11)
	Refused                // batch Index was refused (Code) and is not in the log
	Done                   // nothing is in doubt; Known says whether the broker has state
)

// Step is what to do now.
type Step struct {
	Do       Do
	From, To protocol.Offset   // ReadTail; To NoOffset: up to the high watermark
	Index    int               // Resend, Refused
	Count    int               // Settle
	Offsets  []protocol.Offset // Settle: where each is, or NoOffset
	How      string            // Settle: "answer", "named", "tail"
	Reason   string            // Park
	Detail   string            // Park, Stop
	Known    bool              // Done, Refused: the leader has state, which keeps out copies of what is below it
	Final    bool              // Refused: no other copy can be in the log
}

// Named is what DescribeProducers says of our producer id. Epoch and
// LastSequence mean nothing unless Present.
type Named struct {
	Present      bool
	Epoch        int32
	LastSequence protocol.Sequence
}

// Logged is one batch that was seen in the log.
type Logged struct {
	Identity protocol.ProducerIdentity
	Base     protocol.Sequence
	Count    int32
	Offset   protocol.Offset
}

// Tail is what reading the log showed.
type Tail struct {
	LogStart protocol.Offset // where the log begins now
	Batches  []Logged        // of our producer id, ascending
	Below    bool            // the log ends below where it was to be read
	Err      string          // not "": it could not be read, why (no right, …)
}

// Resolver is the machine for one partition. Not safe for concurrent use.
type Resolver struct {
	f       Facts
	batches []Batch // unresolved, oldest first
	phase   phase
	named   int  // index of the batch that the leader named, or -1
	known   bool // the leader has state for our epoch
	denied  bool // we may not ask
	odd     int  // out-of-order answers in a row that the question did not explain
	refused bool // a copy sent while resolving was refused: read the tail instead
	settle  Step // to be handed out, if settle.Do is not 0
	end     Step // Park, Stop, Refused
}

type phase uint8

const (
	asking  phase = iota // question to be put
	tailing              // tail to be read, to find what is absent or overtaken
	proving              // tail to be read, to see the named batch below the high watermark
	sending              // batches to be sent again, one at a time
	pausing
	ended
)

// New begins to resolve. batches may be empty: then the machine only asks
// whether the log agrees with what was settled.
func New(f Facts, batches []Batch) *Resolver {
	r := &Resolver{f: f, batches: batches, named: -1}
	if n := r.overtaken(); n > 0 {
		r.phase = tailing
		if at := r.batches[n].Offset; at != protocol.NoOffset && at < r.batches[0].Tail {
			r.park(spool.ParkLogWentBack, fmt.Sprintf(
				"a later batch was acked at offset %d, but the log had reached %d before", at, r.batches[0].Tail))
		}
	}
	return r
}

// Remaining is how many batches are not settled yet.
func (r *Resolver) Remaining() int { return len(r.batches) }

// overtaken is how many batches at the front a later ack passed; 0 if none.
func (r *Resolver) overtaken() int {
	for i := range r.batches {
		if r.batches[i].Acked {
			return i
		}
	}
	return 0
}

// Next says what to do. It is the same until an answer comes in, but for Settle,
// which is said once. now.Age may have moved on: the margin is looked at before
// every copy.
func (r *Resolver) Next(now spool.Time) Step {
	if r.settle.Do != 0 {
		s := r.settle
		r.settle = Step{}
		return s
	}
	for {
		switch r.phase {
		case asking:
			if r.denied {
				// What the leader said, or an ack showed, may have been days ago.
				r.phase, r.named, r.known = sending, -1, false
				continue
			}
			return Step{Do: Ask}
		case tailing, proving:
			return r.tailStep()
		case pausing:
			return Step{Do: Pause}
		case sending:
			if s, ok := r.sendStep(now); ok {
				return s
			}
		case ended:
			return r.end
		}
	}
}

func (r *Resolver) tailStep() Step {
	s := Step{Do: ReadTail, From: r.batches[0].Tail, To: protocol.NoOffset}
	if n := r.overtaken(); n > 0 {
		s.To = r.batches[n].Offset // all below an ack is under the high watermark
	}
	return s
}

// sendStep says which batch to send again. !ok: the phase has changed.
func (r *Resolver) sendStep(now spool.Time) (Step, bool) {
	if len(r.batches) == 0 {
		r.finish(Step{Do: Done, Known: r.known})
		return Step{}, false
	}
	i := max(r.named, 0)
	b := &r.batches[i]
	inside := r.inside(now, b)
	switch {
	case r.named >= 0 && (r.refused || !inside || b.Lost):
		// It is in the leader's log; only what is under the high watermark counts.
		r.phase = proving
		return Step{}, false
	case b.Lost:
		r.park(spool.ParkDamaged, fmt.Sprintf(
			"batch at sequence %d: some of its %d records are lost, as a segment of the spool was damaged, and it is not seen in the log: it cannot be sent again as it was", b.Base, b.Count))
		return Step{}, false
	case b.Doubtful && !r.known:
		if old := r.forgotten(now, i); old != nil {
			r.park(spool.ParkOutsideMargin, fmt.Sprintf(
				"batch at sequence %d: its largest timestamp or its age is outside the margin of %d ms, and a copy may be in the log", old.Base, r.f.MarginMs))
			return Step{}, false
		}
	}
	return Step{Do: Resend, Index: i}, true
}

// forgotten is a batch for which the broker may have forgotten that it has a copy of batch i; nil if there is none. It
// remembers a producer by the timestamp of the last batch that it appended. Who may not ask cannot say which of those in
// doubt that is: it may be one behind i, with older records.
func (r *Resolver) forgotten(now spool.Time, i int) *Batch {
	if !r.inside(now, &r.batches[i]) {
		return &r.batches[i]
	}
	for k := i + 1; r.denied && k < len(r.batches); k++ {
		if b := &r.batches[k]; b.Doubtful && !r.inside(now, b) {
			return b
		}
	}
	return nil
}

// inside reports whether the broker still remembers a copy of b, if there is one and it was the last.
func (r *Resolver) inside(now spool.Time, b *Batch) bool {
	m := protocol.Margin{Wall: now.Wall, Ms: r.f.MarginMs}
	return m.Inside(b.MaxTimestamp) && now.Age-b.SealedAge < r.f.MarginMs
}

// outside says why a batch is not inside the margin.
func (r *Resolver) outside(now spool.Time, b *Batch) string {
	if age := now.Age - b.SealedAge; age >= r.f.MarginMs {
		return fmt.Sprintf("it was made %d s ago, and the margin is %d s", age/1000, r.f.MarginMs/1000)
	}
	return fmt.Sprintf("the timestamp of its newest record is %d s off this host's clock, the margin is %d s, and brokers forget a producer by the timestamps of its records",
		(now.Wall-b.MaxTimestamp)/1000, r.f.MarginMs/1000)
}

func (r *Resolver) finish(s Step) { r.phase, r.end = ended, s }

func (r *Resolver) park(reason, detail string) {
	r.finish(Step{Do: Park, Reason: reason, Detail: detail})
}

// settled takes n batches off the front and has it said.
func (r *Resolver) settled(n int, how string, offsets []protocol.Offset) {
	if n == 0 {
		return
	}
	last := &r.batches[n-1]
	r.f.Settled, r.f.LastMaxTimestamp = last.last(), last.MaxTimestamp
	if offsets == nil {
		offsets = make([]protocol.Offset, n)
		for i := range offsets {
			offsets[i] = protocol.NoOffset
			if r.batches[i].Acked {
				offsets[i] = r.batches[i].Offset
			}
		}
	}
	if r.settle.Do == Settle {
		r.settle.Count += n
		r.settle.Offsets = append(r.settle.Offsets, offsets...)
	} else {
		r.settle = Step{Do: Settle, Count: n, How: how, Offsets: offsets}
	}
	r.batches = r.batches[n:]
	r.named -= n
	if r.named < 0 {
		r.named = -1
	}
	r.refused, r.odd = false, 0
}
