package idempotence

import (
	"math"
	"math/big"
	"testing"

	"github.com/spoold/spoold/integration/program"
	"github.com/spoold/spoold/protocol"
)

// FuzzNoSequenceIsEverGivenTwice reads its input as the life of a partition: sequences are taken,
// acked, given up for a new epoch or id, and carried over restarts.
//
// Law: under one producer id and epoch no sequence is given again before all 2147483648 were; an
// epoch is never above 32767 and never falls; what is known of the last ack is that of the last ack;
// and more than one batch may be unanswered only where the broker surely remembers all of them.
func FuzzNoSequenceIsEverGivenTwice(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 200, 0, 0, 9, 1, 5, 2, 1, 0, 4, 3, 7, 0, 3, 5, 0, 1, 6, 7})
	f.Fuzz(func(t *testing.T, script []byte) {
		l := newLife(t, program.New(script))
		for l.p.More() {
			l.step()
			l.check()
		}
	})
}

// life is a partition beside all that was ever given away.
type life struct {
	t      *testing.T
	p      *program.Program
	part   protocol.Sequences
	nextID protocol.ProducerID
	given  map[protocol.ProducerIdentity]*stream
	window []given // unanswered, oldest first
	// What must be known of the last ack.
	settled       protocol.Sequence
	offset        protocol.Offset
	timestamp     int64
	known         bool
	highestEpochs map[protocol.ProducerID]protocol.ProducerEpoch
}

// given is a run of sequences: from first on, n of them, as number at of all those given
// under its identity.
type given struct {
	first protocol.Sequence
	n     int32
	at    *big.Int
}

// stream is all runs given under one identity.
type stream struct {
	runs  []given
	total *big.Int
}

func newLife(t *testing.T, p *program.Program) *life {
	l := &life{t: t, p: p, part: protocol.NewSequences(), given: map[protocol.ProducerIdentity]*stream{}, settled: protocol.NoSequence,
		offset: protocol.NoOffset, highestEpochs: map[protocol.ProducerID]protocol.ProducerEpoch{}}
	if p.Yes() { // a spool that has come far
		l.nextID = 1
		l.part.Identity = protocol.ProducerIdentity{Epoch: protocol.MaxProducerEpoch - protocol.ProducerEpoch(p.Below(3))}
		l.part.Next = protocol.Sequence(p.Int32() & math.MaxInt32)
		total := new(big.Int).SetInt64(int64(l.part.Next))
		l.given[l.part.Identity] = &stream{total: total}
	}
	return l
}

func (l *life) step() {
	switch l.p.Below(9) {
	case 0:
		l.take(1 + int32(l.p.Below(200)))
	case 1:
		l.take(max(l.p.Int32()&math.MaxInt32, 1))
	case 2, 3:
		l.ack()
	case 4:
		if len(l.window) == 0 {
			l.adopt()
		}
	case 5: // a refused batch: what is in the window goes on in the next epoch, or under another id
		l.window = nil
		before := l.part
		if l.part.Bump() {
			l.settled, l.known = protocol.NoSequence, false
			if l.part.Identity.ID != before.Identity.ID || int(l.part.Identity.Epoch) != int(before.Identity.Epoch)+1 || l.part.Next != 0 {
				l.t.Fatalf("%+v was bumped to %+v", before, l.part)
			}
			return
		}
		if l.part != before {
			l.t.Fatalf("a bump that is none changed %+v to %+v", before, l.part)
		}
		if before.Identity.Valid() && before.Identity.Epoch < protocol.MaxProducerEpoch {
			l.t.Fatalf("%v was not bumped", before.Identity)
		}
		l.adopt()
	case 6: // a restart carries over what the spool keeps, and not what the broker is known to know
		old := l.part
		l.part = protocol.NewSequences()
		l.part.Identity, l.part.Next, l.part.Settled = old.Identity, old.Next, old.Settled
		l.part.LastOffset, l.part.LastMaxTimestamp = old.LastOffset, old.LastMaxTimestamp
		l.known = false
	case 7:
		l.limit()
	case 8:
		l.misuse()
	}
}

// take asks for n sequences and looks for each of them among those given before.
func (l *life) take(n int32) {
	id := l.part.Identity
	if !id.Valid() {
		return
	}
	s := l.given[id]
	if s == nil {
		s = &stream{total: new(big.Int)}
		l.given[id] = s
	}
	run := given{l.part.Assign(n), n, new(big.Int).Set(s.total)}
	circle := big.NewInt(1 << 31)
	for _, old := range s.runs {
		// How far the new run begins behind the old one, and the other way round, on the circle.
		ahead := int64(run.first) - int64(old.first)
		if ahead < 0 {
			ahead += 1 << 31
		}
		if ahead >= int64(old.n) && ahead+int64(n) <= 1<<31 {
			continue // they share nothing
		}
		// They share sequences: then a whole circle lies between the two times each was given.
		if gone := new(big.Int).Sub(new(big.Int).Add(run.at, big.NewInt(int64(n))), old.at); gone.Cmp(circle) <= 0 {
			l.t.Fatalf("%v: sequences %d+%d share some with %d+%d, only %v were given since", id, run.first, n, old.first, old.n, gone)
		}
	}
	want := new(big.Int).Mod(run.at, circle)
	if int64(run.first) != want.Int64() {
		l.t.Fatalf("%v: after %v sequences the next is %d, want %v", id, run.at, run.first, want)
	}
	s.total.Add(s.total, big.NewInt(int64(n)))
	s.runs = append(s.runs, run)
	l.window = append(l.window, run)
}

func (l *life) ack() {
	if len(l.window) == 0 {
		return
	}
	run := l.window[0]
	l.window = l.window[1:]
	last := new(big.Int).Add(run.at, big.NewInt(int64(run.n)-1))
	l.settled = protocol.Sequence(last.Mod(last, big.NewInt(1<<31)).Int64())
	l.timestamp, l.known = l.p.Int64()&math.MaxInt64, true
	offset := protocol.NoOffset
	if l.p.Yes() {
		offset = protocol.Offset(l.p.Int64() & math.MaxInt32)
		l.offset = offset + protocol.Offset(run.n-1)
	}
	l.part.Acked(run.first.Last(int(run.n)), run.n, offset, l.timestamp)
}

// adopt moves over to an id that the cluster has never given before.
func (l *life) adopt() {
	l.part.Adopt(protocol.ProducerIdentity{ID: l.nextID})
	l.nextID++
	l.settled, l.known = protocol.NoSequence, false
}

// limit compares inFlightLimit with what it says in its comment, in numbers that cannot overflow.
func (l *life) limit() {
	m := protocol.Margin{Wall: l.p.Int64() & math.MaxInt64, Ms: l.p.Int64() & math.MaxInt64}
	mayAsk, unanswered := l.p.Yes(), l.p.Yes()
	oldest, candidate := l.p.Int64()&math.MaxInt64, l.p.Int64()&math.MaxInt64
	remembered := func(timestamp int64) bool {
		age := new(big.Int).Sub(big.NewInt(m.Wall), big.NewInt(timestamp))
		return age.Cmp(big.NewInt(m.Ms)) < 0
	}
	want := 1
	if l.known && mayAsk && remembered(l.timestamp) && (!unanswered || remembered(oldest)) && remembered(candidate) {
		want = 5
	}
	if got := inFlightLimit(&l.part, m, mayAsk, oldest, unanswered, candidate); got != want {
		l.t.Fatalf("limit of %+v with %+v, may ask %v, oldest %d (%v), candidate %d is %d, want %d", l.part, m, mayAsk, oldest, unanswered, candidate, got, want)
	}
}

// misuse asks for what must never be given, and changes nothing.
func (l *life) misuse() {
	bad, n := l.part, -int32(l.p.Below(2))
	if l.p.Yes() {
		bad.Identity, n = protocol.ProducerIdentity{ID: 7, Epoch: -1}, 1
	}
	defer func() {
		if recover() == nil {
			l.t.Fatalf("%d sequences were given under %v", n, bad.Identity)
		}
	}()
	bad.Assign(n)
}

func (l *life) check() {
	p, id := l.part, l.part.Identity
	if p.Settled != l.settled || p.LastOffset != l.offset || p.LastMaxTimestamp != l.timestamp || p.Known != l.known {
		l.t.Fatalf("%+v: last acked is %d at offset %d, timestamp %d, known %v", p, l.settled, l.offset, l.timestamp, l.known)
	}
	if !id.Valid() {
		return
	}
	if id.Epoch > protocol.MaxProducerEpoch || id.Epoch < l.highestEpochs[id.ID] || p.Next < 0 {
		l.t.Fatalf("%+v after epoch %d", p, l.highestEpochs[id.ID])
	}
	l.highestEpochs[id.ID] = id.Epoch
}
