//go:build kafka

package txn_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/proc"
)

// The child is this test's program under another name: it opens the spool, commits unit after unit and
// says of each when it is spooled. It is killed at any moment.

const childEnv = "SPOOLD_TXN_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		if err := childMain(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
	if lostMarkers.ran && lostMarkers.written == 0 {
		fmt.Fprintln(os.Stderr, "FAIL: the brokers have lost no marker in any test of lost markers, so these show nothing: run them again on a quiet machine")
		code = 1
	}
	os.Exit(code)
}

// topics of the units.
var topics = []string{"a", "b", "c"}

// unitRecords are the records of unit n: from 1 to 12, in up to three topics. What a unit is can be
// said from its number alone.
func unitRecords(n int) []spoold.Record {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	size := 1 + rng.IntN(12)
	records := make([]spoold.Record, size)
	for k := range records {
		r := spoold.Record{Topic: topics[rng.IntN(len(topics))], Value: fmt.Appendf(nil, "%d %d %d", n, k, size)}
		if rng.IntN(3) > 0 {
			r.Key = []byte(strconv.Itoa(rng.IntN(20)))
		}
		records[k] = r
	}
	return records
}

func childMain() error {
	cfg := spoold.DefaultConfig()
	for _, kv := range strings.Split(os.Getenv(childEnv), ",") {
		key, value, _ := strings.Cut(kv, "=")
		if err := cfg.Set(key, strings.ReplaceAll(value, ";", ",")); err != nil {
			return err
		}
	}
	p, err := spoold.Open(cfg, spoold.Env{})
	if err != nil {
		return err
	}
	if os.Getenv("PIPELINE") != "" {
		return pipelineMain(p)
	}
	from, _ := strconv.Atoi(os.Getenv("FROM"))
	count, _ := strconv.Atoi(os.Getenv("COUNT"))
	ctx := context.Background()
	for n := from; n < from+count; n++ {
		d, err := p.SendBatch(ctx, spoold.Batch{Records: unitRecords(n)})
		if err == nil {
			err = d.Spooled(ctx)
		}
		if err != nil {
			return err
		}
		fmt.Println("spooled", n)
		if pause := os.Getenv("PAUSE"); pause != "" {
			d, _ := time.ParseDuration(pause)
			time.Sleep(d)
		}
	}
	if os.Getenv("DRAIN") != "" {
		limit, cancel := context.WithTimeout(ctx, 90*time.Second)
		defer cancel()
		if err := p.Flush(limit); err != nil {
			st := p.Status()
			return fmt.Errorf("%w; %+v %+v", err, st.Transaction, st.Topics)
		}
		fmt.Println("drained")
	}
	limit, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return p.Close(limit)
}

// child is a running one.
type child struct {
	p    *proc.Process
	out  chan string
	errs *strings.Builder
}

func startChild(t *testing.T, set map[string]string, from, count int, env ...string) *child {
	t.Helper()
	var kv []string
	for k, v := range set {
		kv = append(kv, k+"="+strings.ReplaceAll(v, ",", ";"))
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childEnv+"="+strings.Join(kv, ","), fmt.Sprint("FROM=", from), fmt.Sprint("COUNT=", count)), env...)
	r, w := io.Pipe()
	c := &child{out: make(chan string, 1<<16), errs: new(strings.Builder)}
	cmd.Stdout, cmd.Stderr = w, c.errs
	p, err := proc.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	c.p = p
	go func() {
		for s := bufio.NewScanner(r); s.Scan(); {
			c.out <- s.Text()
		}
		close(c.out)
	}()
	go func() {
		<-p.Done()
		w.Close()
	}()
	return c
}

// ledger is what is known of units.
type ledger struct {
	spooled map[int]bool
	next    int // number of the next unit that nobody has tried

	unordered bool // several producers made the records
}

// collect takes what the child has said, until it has ended. It began with the unit that was next: where it has said nothing it may have
// spooled that one unheard.
func (l *ledger) collect(c *child) {
	l.next++
	for line := range c.out {
		if n, ok := strings.CutPrefix(line, "spooled "); ok {
			i, _ := strconv.Atoi(n)
			l.spooled[i] = true
			l.next = max(l.next, i+2) // one more may have been spooled unheard
		}
	}
}

func (c *child) wait() error {
	<-c.p.Done()
	return c.p.Err()
}
