package recovery

import (
	"testing"

	"github.com/spoold/spoold/integration/program"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// FuzzNothingIsSettledOrSentAgainThatShouldNot reads its input as what was in doubt, and as what happens
// while it is resolved: answers that come, are lost or refuse; copies that arrive late; leaders that
// change and forget; time, retention, rights that are missing. Answers are always those of the world
// behind them, which knows how brokers do it and nothing of the machine.
//
// Law: a batch is settled only when it was seen below the high watermark, once, in order, at the
// offset where it is; no sequence is ever in the log twice; a batch is sent again only when all before it
// are in the leader's log, and one whose timestamp or age is outside the margin only if no copy of it can be
// there or the leader, over this connection, said that it has our state and not this batch; to a leader without
// our state what may be there is sent only once its log was read, and if it acked nothing lately; a gap is a
// batch that was refused and is not in the log, a final one has no copy left; where nothing happened that
// cannot be made good the machine does not park, and it never stops for good unless somebody else used
// our identity; and once faults are over it comes to an end.
//
// Where replicated records were lost (an unclean election), or somebody else used our identity, what is in
// the log is not held against it: nothing is promised then.
//
// Assumption: copies are on their way for two hours at most, and arrive at no leader whose log lacks
// what was in that of the leader they were sent to. One that is outside the margin
// when the leader answers that it has our state without it does not arrive after that answer.
func FuzzNothingIsSettledOrSentAgainThatShouldNot(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 1, 1, 0, 5, 4, 3, 1, 1, 1, 1, 1, 1, 1, 6, 1, 0, 0, 7, 2, 0, 3, 1, 4, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 1<<9 {
			return
		}
		w, r := newWorld(t, program.New(script))
		bound := len(script) + 8*len(w.all) + 60
		for range bound {
			w.healed = !w.p.More()
			if done := w.step(r); done {
				return
			}
		}
		if w.unclean {
			return
		}
		t.Fatalf("after %d steps, the last ones without a fault, %d of %d batches are not settled: %+v", bound, len(w.all)-w.n, len(w.all), r)
	})
}

// step asks the machine what to do, does it, and reports whether it has ended.
func (w *world) step(r *Resolver) bool {
	if w.healed {
		w.replicate(w.end)
		w.confused = false
	} else if w.p.Below(3) == 0 {
		w.quiet = false
		if w.event() {
			w.interrupt(r)
		}
	}
	s := r.Next(w.now)
	if testing.Verbose() {
		w.t.Logf("age %d h: %+v of %d; log %+v up to %d, replicated up to %d, leader %+v, %d copies on their way, excuse %q",
			w.now.Age/hourMs, s, len(w.all)-w.n, w.log, w.end, w.hw, w.mind, len(w.late), w.excuse)
	}
	switch s.Do {
	case Settle:
		w.settle(r, s)
	case Park, Stop, Refused, Done:
		w.ended(r, s)
		return true
	case Resend:
		w.resend(r, s.Index)
	case Ask:
		w.ask(r)
	case ReadTail:
		w.readTail(r, s)
	case Pause:
		r.Paused()
	default:
		w.t.Fatalf("the machine wants %+v", s)
	}
	return false
}

// interrupt: what was heard over a connection is not known over the next one.
func (w *world) interrupt(r *Resolver) {
	w.vouched, w.absent = false, false
	r.Interrupted()
}

// settle: in order, each once, and each on all replicas.
func (w *world) settle(r *Resolver, s Step) {
	if s.Count < 1 || s.Count > len(w.all)-w.n || len(s.Offsets) != s.Count {
		w.t.Fatalf("%+v, of %d batches that are left", s, len(w.all)-w.n)
	}
	for _, at := range s.Offsets {
		b := w.all[w.n]
		if w.n++; w.foreign || w.unclean {
			continue // what somebody else sent is taken for ours, or what is named stands behind a gap: not promised
		}
		if !b.safe {
			w.t.Fatalf("batch at sequence %d is settled (%s) and was never below the high watermark", b.Base, s.How)
		}
		if at != protocol.NoOffset && b.offset != protocol.NoOffset && at != b.offset {
			w.t.Fatalf("batch at sequence %d is settled at offset %d, it is at %d", b.Base, at, b.offset)
		}
	}
	if r.Remaining() != len(w.all)-w.n {
		w.t.Fatalf("%d batches remain, want %d", r.Remaining(), len(w.all)-w.n)
	}
}

func (w *world) inside(b *sealed) bool {
	m := protocol.Margin{Wall: w.now.Wall, Ms: margin}
	return m.Inside(b.MaxTimestamp) && w.now.Age-b.SealedAge < margin
}

// resend carries one copy to the leader, or part of the way.
func (w *world) resend(r *Resolver, i int) {
	b := w.all[w.n+i]
	for _, before := range w.all[w.n : w.n+i] {
		if before.offset == protocol.NoOffset && !w.foreign && !w.unclean { // a leader without state takes any sequence as the first
			w.t.Fatalf("batch at sequence %d is sent again while the one at %d is not in the log", b.Base, before.Base)
		}
	}
	if !w.inside(b) && b.Doubtful && (!w.vouched || w.named(b)) {
		w.t.Fatalf("batch at sequence %d is outside the margin and is sent again blindly: a copy of it may be there", b.Base)
	}
	w.blind(b)
	b.copies++
	outcome := 0
	if !w.healed {
		outcome = w.p.Below(8)
	}
	w.refused = protocol.None
	code, offset, lost, cut := protocol.RequestTimedOut, protocol.NoOffset, true, false
	switch outcome {
	case 3: // refused before the leader looks for duplicates
		code = []protocol.ErrorCode{protocol.MessageTooLarge, protocol.InvalidTimestamp, protocol.InvalidRecord}[w.p.Below(3)]
		w.refused, lost = code, false
		w.excuseFor("a batch was refused")
	case 4:
		code = []protocol.ErrorCode{protocol.NotEnoughReplicas, protocol.CorruptMessage, protocol.TopicAuthorizationFailed, protocol.ThrottlingQuotaExceeded}[w.p.Below(4)]
		lost = false
	case 5: // on its way
		w.late = append(w.late, b)
		cut = true
	case 6: // the answer is lost
		w.arrive(b)
		cut = w.p.Yes()
	case 7:
		if answer, _ := w.arrive(b); answer == protocol.None {
			code = []protocol.ErrorCode{protocol.RequestTimedOut, protocol.NotEnoughReplicasAfterAppend, protocol.NotLeaderOrFollower}[w.p.Below(3)]
		} else {
			code, lost = answer, !answer.NotAppended()
		}
	default:
		if code, offset = w.arrive(b); code == protocol.None {
			w.replicate(offset + protocol.Offset(b.Count))
			w.vouched, w.heard, w.absent = true, b.last(), false
		}
		lost = false
	}
	b.Doubtful = b.Doubtful || lost
	w.quiet = w.quiet && !lost
	r.Resent(code, offset, lost)
	if cut {
		w.interrupt(r)
	}
}

// blind: where the leader has no state for us, its log is to be read before a copy of what may be there is
// sent; and if it acked something of ours that it should still remember, none is.
func (w *world) blind(b *sealed) {
	if !w.absent || !b.Doubtful || w.foreign || w.unclean {
		return
	}
	if !w.looked {
		w.t.Fatalf("batch at sequence %d is sent again to a leader without state for us, and nobody looked for it", b.Base)
	}
	acked, stamp := w.acked, w.stamp
	if w.n > 0 {
		acked, stamp = true, w.all[w.n-1].MaxTimestamp
	}
	if acked && w.now.Wall-stamp < margin {
		w.t.Fatalf("batch at sequence %d is sent again to a leader that has forgotten what it acked %d ms ago", b.Base, w.now.Wall-stamp)
	}
}

// named reports whether the leader's last answer said that b is in its log.
func (w *world) named(b *sealed) bool { return w.vouched && b.Base.Distance(w.heard) < 1<<30 }

func (w *world) ask(r *Resolver) {
	if !w.healed && w.p.Below(8) == 7 {
		return // no answer: the sender asks again
	}
	if w.denied {
		w.absent = false
		r.Denied()
		return
	}
	if w.amnesia && !w.unclean { // all that it has is replicated then
		w.replicate(w.end)
		w.amnesia, w.early, w.mind, w.late = false, true, nil, nil
		w.excuseFor("the leader forgot us early")
	}
	n := Named{}
	w.absent, w.looked = w.mind == nil, false
	if w.vouched = false; w.mind != nil {
		n = Named{Present: true, Epoch: int32(w.mind.epoch), LastSequence: w.mind.last}
		w.vouched, w.heard = w.mind.epoch == w.me.Epoch, w.mind.last
	}
	if w.vouched {
		kept := w.late[:0]
		for _, b := range w.late {
			if w.inside(b) {
				kept = append(kept, b)
			}
		}
		w.late = kept
	}
	w.quiet = true
	r.Described(w.now, n)
}

func (w *world) readTail(r *Resolver, s Step) {
	first := w.all[w.n]
	if s.From != first.Tail {
		w.t.Fatalf("the log is to be read from %d, batch at sequence %d may lie at %d", s.From, first.Base, first.Tail)
	}
	if !w.healed && w.p.Below(8) == 7 {
		return
	}
	tail := Tail{}
	limit := w.hw
	if s.To != protocol.NoOffset {
		limit = min(s.To, w.hw)
	}
	switch {
	case w.deaf:
		tail.Err = "no right to read"
		w.excuseFor("the log cannot be read")
	case w.low > s.From:
		tail.LogStart = w.low
	default:
		for _, l := range w.log {
			if end := l.offset + protocol.Offset(l.count); end > s.From && end <= limit {
				tail.Batches = append(tail.Batches, Logged{protocol.ProducerIdentity{ID: w.me.ID, Epoch: l.epoch}, l.base, l.count, l.offset})
			}
		}
	}
	w.looked = true
	r.TailRead(w.now, tail)
}

// ended looks at what the machine came to.
func (w *world) ended(r *Resolver, s Step) {
	left := w.all[w.n:]
	switch s.Do {
	case Done:
		if len(left) != 0 {
			w.t.Fatalf("done, and %d batches are not settled", len(left))
		}
	case Stop:
		if !w.foreign {
			w.t.Fatalf("nobody else used our identity: %+v", s)
		}
	case Park:
		old := false
		for _, b := range left {
			old = old || !w.inside(b)
		}
		if w.excuse == "" && !old && !w.denied && !w.foreign {
			w.t.Fatalf("nothing happened that cannot be made good: %+v", s)
		}
		if s.Reason == "" || s.Reason == spool.ParkTopicRecreated {
			w.t.Fatalf("parked for no reason of its own: %+v", s)
		}
	case Refused:
		if s.Index != 0 || len(left) == 0 || w.refused.Class() != protocol.Refused {
			w.t.Fatalf("%+v after %v, %d are left", s, w.refused, len(left))
		}
		b := left[0]
		if b.offset != protocol.NoOffset && (s.Final || w.quiet && !w.denied) {
			w.t.Fatalf("batch at sequence %d is refused, and in the log at %d", b.Base, b.offset)
		}
		if !s.Final && s.Known && !w.vouched && w.quiet {
			w.t.Fatalf("batch at sequence %d is refused with copies about, and nobody said that the leader keeps them out", b.Base)
		}
		for _, late := range w.late {
			if s.Final && late == b {
				w.t.Fatalf("batch at sequence %d is refused for good, and a copy of it is on its way", b.Base)
			}
		}
	}
	if again := r.Next(w.now); again.Do != s.Do {
		w.t.Fatalf("after %+v the machine wants %+v", s, again)
	}
}
