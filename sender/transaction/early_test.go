package transaction

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
)

// refuseFrom has the broker refuse the records of topic a with these indexes, each with the words of Apache Kafka, as long as early says so.
// It counts how often it did.
func (w *world) refuseFrom(within string, early func() bool, indexes ...uint64) *int {
	n := new(int)
	w.longest = 1 << 30 // transactions are aborted
	w.refuse = func(b *accumulator.Batch, rp *kmsg.ProduceResponseTopicPartition) bool {
		for place, i := range b.Indexes {
			for _, bad := range indexes {
				if b.Topic == "a" && uint64(i) == bad && early() {
					e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
					e.RelativeOffset, e.ErrorMessage = int32(place), kmsg.StringPtr("Timestamp 1 is out of range. The timestamp should be within "+within)
					rp.ErrorRecords = append(rp.ErrorRecords, e)
				}
			}
		}
		if len(rp.ErrorRecords) > 0 {
			rp.ErrorCode, rp.BaseOffset = int16(protocol.InvalidTimestamp), -1
			*n++
		}
		return len(rp.ErrorRecords) > 0
	}
	return n
}

// lets has things happen for so many ms.
func (w *world) lets(ms int64) {
	for end := w.now.Age + ms; w.now.Age < end; {
		if !w.step() {
			w.now.Age += 20
			w.do(w.s.Tick(w.now))
		}
	}
}

// A host whose clock is ahead stamps what the broker takes later. Its unit waits, whole, and what stands behind it on its topics; what
// stands before it and other topics go on, tries become few, nothing becomes a dead letter, and all of it is delivered once time has come.
func TestAUnitAheadOfTheBrokersClockWaitsAndOthersGoOn(t *testing.T) {
	for seed := range uint64(8) {
		w := newWorld(t, seed, int16(1+seed%2), "a", "b", "c")
		early := true
		refused := w.refuseFrom("[-9223370241624182014, 0]", func() bool { return early }, 3, 5)
		w.spooled(2, 0)
		w.spooled(1, 0)
		w.spooled(2, 0, 1) // a: 3 and 4
		w.spooled(1, 0)
		w.spooled(1, 1)
		w.spooled(1, 2)
		w.lets(30_000)
		for range 60 {
			w.spooled(1, 2)
			w.lets(60_000)
		}
		if w.settled[0] != 3 || w.settled[1] != 0 || w.settled[2] != 61 {
			t.Fatalf("seed %d: settled %v of %v", seed, w.settled, w.next)
		}
		if *refused > 40 {
			t.Errorf("seed %d: refused %d times in an hour", seed, *refused)
		}
		for _, ts := range w.s.Status(w.now).Topics {
			if want := map[string]string{"a": "ahead of the broker's clock", "b": "ahead of the broker's clock", "c": ""}[ts.Topic]; !strings.Contains(ts.Trouble, want) || want == "" && ts.Trouble != "" {
				t.Errorf("seed %d: trouble of %s: %q", seed, ts.Topic, ts.Trouble)
			}
		}
		for range 600 { // over some tries
			for _, ts := range w.s.Status(w.now).Topics {
				if ts.Topic != "c" && (ts.State != "waiting" || !strings.Contains(ts.Detail, "ahead of the broker's clock")) {
					t.Fatalf("seed %d: %s is %s (%s) while its record waits for the broker's clock", seed, ts.Topic, ts.State, ts.Detail)
				}
			}
			if !w.step() {
				w.now.Age += 2000
				w.do(w.s.Tick(w.now))
			}
		}
		early = false
		w.lets(6 * 60_000)
		w.run()
		if w.dead > 0 {
			t.Errorf("seed %d: dead letters", seed)
		}
	}
}

// What the broker calls too old gets no younger: it is a dead letter, with its whole unit.
func TestAUnitThatIsTooOldForItsTopicDoesNotWait(t *testing.T) {
	w := newWorld(t, 1, 2, "a", "b")
	w.refuseFrom("[5, -9223370241624209928]", func() bool { return true }, 1)
	w.spooled(2, 0, 1)
	w.lets(5_000)
	w.spooled(1, 0)
	w.lets(5_000)
	if w.settled[0] != 3 || w.settled[1] != 2 || w.dead != 4 {
		t.Errorf("settled %v of %v, %d dead letters", w.settled, w.next, w.dead)
	}
}
