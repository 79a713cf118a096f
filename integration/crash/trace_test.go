//go:build crash

package crash

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/link"
)

// maxTrace bounds the file: a producer that spins says the same for ever.
const maxTrace = 256 << 20

// trace writes the events of links, producer and test to a file, in one order, and counts them. go test -artifacts keeps it.
type trace struct {
	mu     sync.Mutex
	size   int
	out    *os.File
	counts map[string]int
}

func newTrace(t *testing.T) *trace {
	t.Helper()
	path := filepath.Join(t.ArtifactDir(), "trace.log")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trace{out: out, counts: make(map[string]int)}
	t.Cleanup(func() {
		_ = out.Close() // written for whoever reads it now
		if t.Failed() {
			if raw, err := os.ReadFile(path); err == nil {
				lines := strings.Split(string(raw), "\n")
				t.Logf("the last events of %d:\n%s", len(lines), strings.Join(lines[max(0, len(lines)-120):], "\n"))
			}
		}
	})
	return tr
}

func (tr *trace) add(line string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.size > maxTrace {
		return
	}
	tr.size += len(line)
	_, _ = fmt.Fprintf(tr.out, "%s %s\n", time.Now().Format("15:04:05.000"), line) // a trace that cannot be written is only missed
}

func (tr *trace) decision(d link.Decision) { tr.add(d.String()) }

func (tr *trace) count(what string, n int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.counts[what] += n
}

// see adds an event of the producer and counts it.
func see[E any](tr *trace, what func(E) string) func(E) {
	return func(e E) {
		tr.add(fmt.Sprintf("%T %+v", e, e))
		tr.count(what(e), 1)
	}
}

func (tr *trace) hooks() spoold.Hooks {
	return spoold.Hooks{
		BatchAcked:         see(tr, func(e spoold.BatchAcked) string { return "settled by " + e.How }),
		BatchRetried:       see(tr, func(e spoold.BatchRetried) string { return again + e.Code.String() }),
		PartitionParked:    see(tr, func(spoold.PartitionParked) string { return "parked" }),
		EpochBumped:        see(tr, func(spoold.EpochBumped) string { return "epoch bumped" }),
		RecordDeadLettered: see(tr, func(spoold.RecordDeadLettered) string { return "dead-lettered" }),
		LinkChanged:        see(tr, func(spoold.LinkChanged) string { return "link changed" }),
		Recovery:           see(tr, func(spoold.Recovery) string { return "recovery" }),
	}
}

const again = "sent again after "

// again is how many batches were sent once more.
func (tr *trace) again() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	n := 0
	for what, k := range tr.counts {
		if strings.HasPrefix(what, again) {
			n += k
		}
	}
	return n
}
