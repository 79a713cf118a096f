package spool

import (
	"reflect"
	"slices"
	"testing"
)

// everything is a state's pairs, as far as it keeps them.
func everything(st *State) *Changes {
	out := new(Changes)
	st.Rebind(out)
	for _, l := range st.lanes {
		out.lane(l)
		out.progress(l)
		out.facts(l.id, l.facts)
		if len(l.missing) > 0 {
			out.missing(l)
		}
		for o, d := range l.otherwise {
			for k, c := range d {
				out.put(outcomeKey(l.id, o, k), c.encode())
			}
		}
		for k, c := range l.dead {
			out.put(deadChunkKey(l.id, k), c.encode())
		}
		for _, k := range l.settled.keys() {
			out.chunk(l, k)
		}
	}
	if !reflect.DeepEqual(st.txn, noTransaction) {
		out.transaction(&st.txn)
	}
	for _, s := range st.seals {
		out.seal(s)
	}
	for _, x := range st.parts {
		out.partition(x)
	}
	for name, value := range st.notes {
		out.note(name, value)
	}
	for _, s := range st.segments {
		out.segment(s)
	}
	for i := range st.gaps {
		out.gap(st.firstGap+uint64(i), &st.gaps[i])
	}
	return out
}

// What is lost leaves at once, but for what is sealed or in a decided transaction: that is missing until its fate is known.
func TestLostEntriesLeaveUnlessTheyMayBeDelivered(t *testing.T) {
	st, out := NewState(), new(Changes)
	if err := st.AddLane(NewLane{0, "a"}, out); err != nil {
		t.Fatal(err)
	}
	st.Append(0, 20)
	seal := Seal{SealKey: SealKey{Lane: 0, Base: 0}, Count: 4, Spans: []Span{{2, 6}}}
	if err := st.Apply(&Write{Seals: []Seal{seal}}, out); err != nil {
		t.Fatal(err)
	}
	left, err := st.Lose(Settlement{Lane: 0, Spans: []Span{{0, 4}, {10, 12}}, Why: "damage", At: 1}, out)
	if want := []Span{{0, 2}, {10, 12}}; err != nil || !slices.Equal(left, want) {
		t.Fatalf("left %v, %v; want %v", left, err, want)
	}
	if got, want := st.Missing(0), []Span{{2, 4}}; !slices.Equal(got, want) || st.NextHere(0, 0) != 4 {
		t.Errorf("missing %v, next %d; want %v, 4", got, st.NextHere(0, 0), want)
	}
	if c := st.LaneCounters(0); c.Lost != 4 || c.Pending() != 16 {
		t.Errorf("%+v, want 4 lost, 16 pending", c)
	}
	if err := st.Apply(&Write{Settle: []Settlement{{Lane: 0, Spans: []Span{{2, 6}}, Outcome: OutcomeAcked}}}, out); err != nil {
		t.Fatal(err)
	}
	if len(st.Missing(0)) != 0 || st.Outcome(0, 3) != OutcomeAcked || st.Outcome(0, 1) != OutcomeLost {
		t.Errorf("missing %v, outcomes %d, %d", st.Missing(0), st.Outcome(0, 3), st.Outcome(0, 1))
	}
	if want := []Gap{{0, Span{0, 2}, -1, OutcomeLost, 1, "damage"}, {0, Span{10, 12}, -1, OutcomeLost, 1, "damage"}}; !reflect.DeepEqual(st.Gaps(), want) {
		t.Errorf("gaps %+v, want %+v", st.Gaps(), want)
	}
	st.ForgetOutcomes(map[LaneID]Index{0: chunkBits}, out)
	if got := st.Outcome(0, 1); got != OutcomeAcked {
		t.Errorf("outcome %d of what nobody can ask for", got)
	}
}
