//go:build crash

package chaos_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/chaos"
)

// maxTrace bounds the file: a producer that spins says the same for ever.
const maxTrace = 256 << 20

// trace writes the events of proxies, producer and test to a file, in one order, and counts them.
type trace struct {
	mu      sync.Mutex
	size    int
	out     *os.File
	path    string
	how     map[string]int
	retries map[string]int
	parked  []string
	bumped  int
}

func newTrace(t *testing.T) *trace {
	t.Helper()
	path := filepath.Join(t.ArtifactDir(), "trace.log")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	tr := &trace{out: out, path: path, how: make(map[string]int), retries: make(map[string]int)}
	t.Cleanup(func() {
		_ = out.Close() // written for whoever reads it now
		if t.Failed() {
			if raw, err := os.ReadFile(path); err == nil {
				lines := strings.Split(string(raw), "\n")
				t.Logf("the last events of %d (SPOOLD_CHAOS_KEEP=FILE keeps them all):\n%s", len(lines), strings.Join(lines[max(0, len(lines)-120):], "\n"))
			}
		}
		if keep := os.Getenv("SPOOLD_CHAOS_KEEP"); keep != "" {
			if err := os.Rename(path, keep); err != nil {
				t.Log(err)
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

func (tr *trace) decision(d chaos.Decision) { tr.add(d.String()) }

func (tr *trace) count(what *map[string]int, k string, n int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	(*what)[k] += n
}

func (tr *trace) hooks() spoold.Hooks {
	return spoold.Hooks{
		BatchAcked: func(e spoold.BatchAcked) {
			tr.count(&tr.how, e.How, 1)
			tr.add(fmt.Sprintf("acked %s-%d: %d records at %d by %s, recovered %v", e.Topic, e.Partition, e.Records, e.Offset, e.How, e.Recovered))
		},
		BatchRetried: func(e spoold.BatchRetried) {
			tr.count(&tr.retries, e.Code.String(), 1)
			tr.add(fmt.Sprintf("retried %s-%d after %v", e.Topic, e.Partition, e.Code))
		},
		PartitionParked: func(e spoold.PartitionParked) {
			line := fmt.Sprintf("parked %s-%d: %s: %s, %d in doubt", e.Topic, e.Partition, e.Reason, e.Detail, e.InDoubt)
			tr.add(line)
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.parked = append(tr.parked, line)
		},
		EpochBumped: func(e spoold.EpochBumped) {
			tr.add(fmt.Sprintf("epoch bumped %s-%d: %v %s", e.Topic, e.Partition, e.ProducerEpoch, e.Why))
			tr.mu.Lock()
			defer tr.mu.Unlock()
			tr.bumped++
		},
		RecordDeadLettered: func(e spoold.RecordDeadLettered) {
			tr.add(fmt.Sprintf("dead-lettered %s-%d index %d: %v %s", e.Topic, e.Partition, e.Index, e.Code, e.Message))
		},
		LinkChanged: func(e spoold.LinkChanged) { tr.add(fmt.Sprintf("link up %v %s", e.Up, e.Err)) },
		Recovery:    func(e spoold.Recovery) { tr.add(fmt.Sprintf("recovery %+v", e)) },
	}
}

// again is how many batches were sent once more.
func (tr *trace) again() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	n := 0
	for _, k := range tr.retries {
		n += k
	}
	return n
}

func (tr *trace) summary() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return fmt.Sprintf("batches settled by %v; sent again after %v; epochs bumped %d; parked %v", tr.how, tr.retries, tr.bumped, tr.parked)
}
