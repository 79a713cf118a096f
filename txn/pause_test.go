package txn

import (
	"testing"

	"github.com/spoold/spoold/protocol"
)

// An outage may take all night. What a look-up of the coordinator is answered does not end it.
func TestPausesGrowWhileACoordinatorRequestIsInVain(t *testing.T) {
	m := New(Config{ID: "id", TimeoutMs: 60_000, RetryBackoffMs: 100, RetryBackoffMaxMs: 1000})
	b := &bench{t: t, m: m}
	m.Finalized(V2)
	m.Init()
	var pauses []int64
	for range 20 {
		b.answer(b.next(FindCoordinator), 0)
		began := b.now
		b.answer(b.next(InitProducerID), protocol.CoordinatorNotAvailable)
		pauses = append(pauses, m.retryAt-began)
	}
	if pauses[0] != 100 || pauses[9] != 100 || pauses[10] != 200 || pauses[19] != 1000 {
		t.Errorf("pauses %v ms, want 100 ten times, and then up to 1000", pauses)
	}
	b.answer(b.next(FindCoordinator), 0)
	b.answer(b.next(InitProducerID), 0)
	b.state(Ready)
	m.Begin()
	b.offsets()
	b.answer(b.next(FindCoordinator), 0)
	began := b.now
	b.answer(b.next(CommitOffsets), protocol.CoordinatorLoadInProgress)
	if m.retryAt-began != 100 {
		t.Errorf("after a success the pause is %d ms, want 100", m.retryAt-began)
	}
}
