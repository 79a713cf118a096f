package recovery

import (
	"testing"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// A batch of which records are lost is never sent again: it is found in the log, or the partition is parked.
func TestABatchThatHasLostRecordsIsOnlyLookedFor(t *testing.T) {
	id := protocol.ProducerIdentity{ID: 7}
	facts := Facts{Identity: id, Next: 3, Settled: protocol.NoSequence, MarginMs: 1000}
	batch := Batch{Base: 0, Count: 3, MaxTimestamp: 100, SealedAge: 1, Doubtful: true, Lost: true}
	now := spool.Time{Age: 5, Wall: 100}

	r := New(facts, []Batch{batch})
	r.Described(now, Named{})
	if s := r.Next(now); s.Do != ReadTail {
		t.Fatalf("not known to the leader: %+v, want its log's tail", s)
	}
	r.TailRead(now, Tail{})
	if s := r.Next(now); s.Do != Park || s.Reason != spool.ParkDamaged {
		t.Errorf("not in the log: %+v, want parked", s)
	}

	r = New(facts, []Batch{batch})
	r.Described(now, Named{Present: true, LastSequence: 2})
	if s := r.Next(now); s.Do != ReadTail {
		t.Fatalf("named by the leader: %+v, want proof from the log", s)
	}
	r.TailRead(now, Tail{Batches: []Logged{{Identity: id, Base: 0, Count: 3, Offset: 40}}})
	if s := r.Next(now); s.Do != Settle || s.Count != 1 || s.Offsets[0] != 40 {
		t.Errorf("in the log: %+v, want settled at 40", s)
	}
}
