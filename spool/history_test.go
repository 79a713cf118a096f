package spool

import (
	"strings"
	"testing"

	"github.com/spoold/spoold/protocol"
)

// Audit entries and gaps take no more of the state than they may, and the last of each is kept, however long it is.
func TestHistoryTakesNoMoreThanItMay(t *testing.T) {
	const most = 1000
	st, out := NewState(), new(Changes)
	st.Binding = Binding{SpoolID: "id", Former: protocol.NoIdentity}
	st.Rebind(out)
	if err := st.AddLane(NewLane{0, "a"}, out); err != nil {
		t.Fatal(err)
	}
	st.SetHistoryMax(most)
	st.Append(0, 400)
	disk := map[string][]byte{}
	long := strings.Repeat("l", 2*most)
	for i := range Index(100) {
		why := strings.Repeat("w", int(i))
		if i == 99 {
			why = long
		}
		w := Write{
			Audit:  []AuditEntry{{At: int64(i), What: why}},
			Settle: []Settlement{{Lane: 0, Spans: []Span{{2 * i, 2*i + 1}}, Outcome: OutcomeExpired, Why: why}},
		}
		if err := st.Apply(&w, out); err != nil {
			t.Fatal(err)
		}
		st.Flush(out)
		for _, kv := range out.List {
			if kv.Value == nil {
				delete(disk, string(kv.Key))
			} else {
				disk[string(kv.Key)] = kv.Value
			}
		}
		out.List = out.List[:0]
		bytes, entries := map[byte]int{}, map[byte]int{}
		for k, v := range disk {
			bytes[k[0]] += len(k) + len(v)
			entries[k[0]]++
		}
		for _, kind := range []byte{prefixAudit, prefixGap} {
			if entries[kind] == 0 || bytes[kind] > most && entries[kind] > 1 {
				t.Fatalf("after %d: %d entries of kind %c take %d bytes, want at least one and at most %d bytes", i, entries[kind], kind, bytes[kind], most)
			}
		}
		if i == 50 { // what a start reads counts as well
			again, err := load(disk)
			if err != nil {
				t.Fatal(err)
			}
			if again.auditBytes != st.auditBytes || again.gapBytes != st.gapBytes {
				t.Errorf("a start counts %d and %d bytes, before it were %d and %d", again.auditBytes, again.gapBytes, st.auditBytes, st.gapBytes)
			}
		}
	}
	if got := st.Counters().Expired; got != 100 {
		t.Errorf("%d expired are counted, want 100", got)
	}
}
