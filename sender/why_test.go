package sender_test

import (
	"testing"

	"github.com/spoold/spoold/sender"
)

// What dead letters say of why they were put aside holds for the partition that is meant, and advises nothing: they have left.
func TestPutAsideRecordsSayWhatTheyWaitedFor(t *testing.T) {
	why := func(w *world, n int32) string {
		t.Helper()
		x := w.Core().Waiting("a", n, sender.ResolveDeadLetterWaiting)
		if x == nil {
			t.Fatalf("nothing waits for partition %d", n)
		}
		return x.Why
	}
	w := scenario(1)
	w.acked(t, 1)
	far := record("a", "far")
	far.Partition = 99
	w.Append(far)
	w.until(t, "the missing partition is known", func() bool { return w.status().Detail != "" })
	for n, want := range map[int32]string{
		99: "the topic has no partition 99: it has 1",
		-1: "records wait for partition 99, the topic has 1",
		0:  "the cluster had not acked it",
	} {
		if got := why(w, n); got != want {
			t.Errorf("partition %d: %q, want %q", n, got, want)
		}
	}
}
