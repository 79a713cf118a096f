package transaction

import (
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/txn"
)

// The marker of the next transaction ends what this producer id has pending in a partition of __consumer_offsets, of all groups: so none
// begins before it is seen whether the last one has ended in the offsets of groups.
func TestNothingBeginsBeforeTheLastEndIsSeenInGroups(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := newWorld(t, 1, version, "a")
		w.spooled(1, 0)
		w.run()
		x := inGroups{&w.s.markers}.place("inputs")
		w.spooled(1, 0)
		ends := w.ends
		for n := 0; n < 1000 && (w.s.sending == nil || w.s.sending.healing != nil); n++ {
			if !w.step() {
				w.now.Age += 20
				w.do(w.s.Tick(w.now))
			}
		}
		if w.s.sending == nil || x.sight != seen {
			t.Errorf("version %d: a transaction was begun (%v) with sight %v of the group", version, w.s.sending != nil, x.sight)
		}
		// A broker does not show what is pending for a partition of which the group has never committed an offset: a start has the marker
		// written once, whatever it shows.
		if n := w.ends - ends; n != 1 || w.s.markers.healed != 0 {
			t.Errorf("version %d: %d transactions that carry nothing have ended, want 1; %d markers are said to have been lost", version, n, w.s.markers.healed)
		}
	}
}

// A group whose coordinator cannot be asked does not hold transactions up for longer than unsureAfter: its offsets are in another partition
// than ours.
func TestAGroupThatCannotBeAskedHoldsUpFor5Seconds(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.spooled(1, 0)
	w.run()
	x := inGroups{&w.s.markers}.place("inputs")
	x.listed, x.asked, x.since = true, true, w.s.now.Age
	for _, tt := range []struct {
		after int64
		sight sight
		open  bool
		want  bool
	}{
		{0, unseen, false, true}, {unsureAfter - 1, unseen, false, true}, {unsureAfter, unseen, false, false}, {unsureAfter, unseen, true, true},
		{unsureAfter, lost, true, true}, {0, seen, false, false},
	} {
		w.s.now.Age, x.sight, x.open, w.s.eff.WakeAt = x.since+tt.after, tt.sight, tt.open, 0
		if got := (inGroups{&w.s.markers}).unsure(); got != tt.want {
			t.Errorf("%+v: unsure is %v", tt, got)
		}
		if at := w.s.eff.WakeAt; at > 0 && at != x.since+unsureAfter { // in an outage of hours it would look each millisecond
			t.Errorf("%+v: the next look is %d ms from now", tt, at-w.s.now.Age)
		}
	}
}

// After a start, what is pending in a group is of the committed transaction that was not spooled, if its markers were not all seen: its
// marker is written with commit. Else it is of one that was not decided on.
func TestWhatIsPendingInAGroupIsOfTheCommittedOne(t *testing.T) {
	for name, tt := range map[string]struct {
		unconfirmed []spool.Decision
		want        uint64
	}{
		"none waits":        {nil, 0},
		"one not spooled":   {[]spool.Decision{{Ordinal: 3, Outcome: spool.OutcomeCommitted}}, 3},
		"one and its heal":  {[]spool.Decision{{Ordinal: 3, Outcome: spool.OutcomeCommitted}, {Ordinal: 4, Outcome: spool.OutcomeCommitted}}, 4},
		"spooled ones only": {[]spool.Decision{{Ordinal: 3, Outcome: spool.OutcomeCommitted, Cut: []spool.CutLane{{Lane: 0, Span: spool.Span{First: 0, End: 1}}}}}, 0},
	} {
		rec := spool.NewState().Recovered()
		rec.SpoolID, rec.Incarnation = "us", 1
		rec.Lanes = []spool.Lane{{ID: 0, Topic: "a", End: 2, Settled: newSettled()}}
		rec.Transaction = spool.Transaction{ID: "id", Groups: []string{"inputs"}, Unconfirmed: tt.unconfirmed}
		s := New(Config{Config: sender.Config{BatchSize: 1 << 10, BufferMemory: 1 << 20, MaxRequestSize: 1 << 20, MaxInFlight: 5}, ID: "id", TimeoutMs: 60_000, MaxBytes: 1 << 20, MaxRecords: 10}, rec)
		got := uint64(0)
		if of := (inGroups{&s.markers}).place("inputs").of; of != nil {
			got = of.d.Ordinal
		}
		if got != tt.want {
			t.Errorf("%s: pending offsets are of transaction %d, want %d", name, got, tt.want)
		}
	}
}

// One with offsets does not begin before it is on disk that the markers of the last one were seen: after a kill, what is pending would be
// taken for the last one's.
func TestOffsetsWaitUntilTheLastEndIsOnDisk(t *testing.T) {
	w := newWorld(t, 1, 2, "a")
	w.spooled(1, 0)
	w.run()
	m := &w.s.markers
	inGroups{m}.place("inputs")
	m.confirm(&committed{d: spool.Decision{Ordinal: 9}})
	o := &online{unit: &sender.OnlineUnit{Groups: []txn.GroupOffsets{{Group: txn.Group{ID: "inputs"}}}}}
	w.s.known.Groups = []string{"inputs"}
	if m.note(o) || !w.s.urgent {
		t.Errorf("it may begin, or the disk is not in a hurry (%v)", w.s.urgent)
	}
	for _, f := range w.s.then {
		f()
	}
	if !m.note(o) {
		t.Error("it may not begin when that is on disk")
	}
}

// A group that may be looked at and not written to holds nothing up for long: its marker is tried once.
func TestAGroupThatMayNotBeWrittenToIsTriedOnce(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := newWorld(t, 1, version, "a")
		w.spooled(1, 0)
		w.run()
		inGroups{&w.s.markers}.place("inputs")
		began, refused := w.now.Age, 0
		w.spooled(1, 0)
		for n := 0; n < 10_000 && w.settled[0] < 2; n++ {
			k := slices.IndexFunc(w.requests, func(r sender.Request) bool {
				q, ok := r.Message.(*kmsg.AddOffsetsToTxnRequest)
				return ok && q.Group == "inputs"
			})
			if k >= 0 {
				r := kmsg.NewPtrAddOffsetsToTxnResponse()
				r.ErrorCode = int16(protocol.GroupAuthorizationFailed)
				id := w.requests[k].ID
				w.requests = slices.Delete(w.requests, k, k+1)
				refused++
				w.do(w.s.Handle(w.now, sender.Response{ID: id, Message: r}))
			} else if !w.step() {
				w.now.Age += 20
				w.do(w.s.Tick(w.now))
			}
		}
		if took := w.now.Age - began; refused != 1 || w.settled[0] != 2 || took > 20_000 {
			t.Errorf("version %d: refused %d times, %d of 2 records delivered after %d ms", version, refused, w.settled[0], took)
		}
	}
}
