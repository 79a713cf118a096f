//go:build kafka

package txn_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/link"
	"github.com/spoold/spoold/integration/poll"
)

// builtIn is where buildDaemon has put the daemon; "": nowhere.
var builtIn string

var buildDaemon = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "spoold-txn")
	if err != nil {
		return "", err
	}
	builtIn = dir
	return crash.Build(context.Background(), filepath.Join("..", ".."), dir)
})

// poster posts unit after unit to a daemon that is killed and started again. One whose answer did not come is posted again
// under the same key.
type poster struct {
	d    *crash.Daemon
	l    *ledger
	stop chan struct{}
	done chan error
	mu   sync.Mutex
	addr string
}

func startPoster(d *crash.Daemon, l *ledger) *poster {
	p := &poster{d: d, l: l, stop: make(chan struct{}), done: make(chan error, 1)}
	go func() { p.done <- p.run() }()
	return p
}

func (p *poster) at() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

// up says where the daemon is now.
func (p *poster) up(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addr = addr
}

func (p *poster) run() error {
	client := &http.Client{Timeout: 5 * time.Second}
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for n := 1; ; {
		select {
		case <-p.stop:
			return nil
		case <-pause.C:
		}
		addr := p.at()
		if addr == "" {
			continue
		}
		status, text, err := post(client, addr, n)
		switch {
		case err != nil || status >= 500: // it is being killed: nobody knows, the next try tells
		case status == http.StatusOK:
			p.l.spooled[n] = true
			n++
		default:
			return fmt.Errorf("unit %d was answered %d: %s", n, status, text)
		}
	}
}

func post(client *http.Client, addr string, n int) (int, string, error) {
	var body bytes.Buffer
	for _, r := range unitRecords(n) {
		line := map[string]any{"topic": r.Topic, "value": string(r.Value)}
		if r.Key != nil {
			line["key"] = string(r.Key)
		}
		if err := json.NewEncoder(&body).Encode(line); err != nil {
			return 0, "", err
		}
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+addr+"/units", &body)
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("Idempotency-Key", fmt.Sprint("unit-", n))
	resp, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var text bytes.Buffer
	_, err = text.ReadFrom(resp.Body)
	return resp.StatusCode, text.String(), err
}

// daemonRig is a daemon under a transactional id before a cluster whose links break requests one by one.
type daemonRig struct {
	t *testing.T
	c *kafka.Cluster
	d *crash.Daemon
	l *ledger
	p *poster
}

func newDaemonRig(t *testing.T, version int) *daemonRig {
	t.Helper()
	bin, err := buildDaemon()
	if err != nil {
		t.Fatal(err)
	}
	c := clusterOf(t, kafka.Options{Faults: true, FormatArgs: []string{"-f", fmt.Sprint("transaction.version=", version)}})
	d, err := crash.NewDaemon(bin, t.TempDir(), c.Bootstrap(), map[string]string{
		"transactional.id": "orders", "spool.min.free.bytes": "1MiB", "metadata.max.age.ms": "2000", "request.timeout.ms": "5000", "transaction.timeout.ms": "40000",
	})
	if err != nil {
		t.Fatal(err)
	}
	r := &daemonRig{t: t, c: c, d: d, l: &ledger{spooled: map[int]bool{}, next: 1}}
	r.start()
	t.Cleanup(func() { _ = d.End() })
	r.p = startPoster(d, r.l)
	r.p.up(d.Addr())
	return r
}

func (r *daemonRig) start() {
	r.t.Helper()
	if err := r.d.Start(); err != nil {
		r.t.Fatal(err)
	}
	limit, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	if _, err := r.d.Ready(limit); err != nil {
		r.t.Fatal(err)
	}
	if r.p != nil {
		r.p.up(r.d.Addr())
	}
}

func (r *daemonRig) kill() {
	r.t.Helper()
	if _, err := r.d.Kill(); err != nil {
		r.t.Fatal(err)
	}
}

// committed waits until more units were committed than before, and so the daemon has come over what befell it.
func (r *daemonRig) committed(more uint64) {
	r.t.Helper()
	limit, cancel := context.WithTimeout(r.t.Context(), 120*time.Second)
	defer cancel()
	known, from := false, uint64(0)
	var err error
	if !poll.Within(120*time.Second, func() bool {
		var st *crash.Status
		if st, err = r.d.Status(limit); err != nil {
			return false
		}
		if !known {
			known, from = true, st.Acked
		}
		return st.Acked >= from+more
	}) {
		r.t.Fatalf("no more than %d are committed: %v\n%s", from, err, r.d.Tail())
	}
}

// end has everything delivered, and reads it back.
func (r *daemonRig) end() {
	r.t.Helper()
	close(r.p.stop)
	if err := <-r.p.done; err != nil {
		r.t.Fatal(err)
	}
	limit, cancel := context.WithTimeout(r.t.Context(), 90*time.Second)
	defer cancel()
	var err error
	if !poll.Within(90*time.Second, func() bool {
		var st *crash.Status
		st, err = r.d.Status(limit)
		return err == nil && st.Pending == 0
	}) {
		r.t.Fatalf("not delivered: %v\n%s", err, r.d.Tail())
	}
	if err := r.d.Stop(); err != nil {
		r.t.Fatal(err)
	}
	r.l.verify(r.t, r.c)
}

func TestKillsOfTheDaemonLoseAndDoubleNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		rng := seed(t)
		r := newDaemonRig(t, version)
		for range kills(8) {
			<-time.After(time.Duration(rng.IntN(700)) * time.Millisecond) // a drawn moment, whatever the daemon does then
			r.kill()
			r.start()
		}
		r.committed(1)
		r.end()
	})
}

// The daemon is killed at each step of a transaction, and each answer is lost or late, with the daemon alive or killed.
func TestKillsAtEachStepOfATransactionLoseAndDoubleNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		r := newDaemonRig(t, version)
		r.c.Links()[0].Begin(1, link.Mix{Hold: 1500 * time.Millisecond, Delay: 1500 * time.Millisecond}, nil)
		steps := []kmsg.Key{kmsg.InitProducerID, kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn}
		for _, key := range steps {
			if only := os.Getenv("TXN_STEP"); only != "" && only != key.Name() {
				continue
			}
			if version == 2 && (key == kmsg.AddPartitionsToTxn || key == kmsg.AddOffsetsToTxn) {
				continue // Produce and TxnOffsetCommit add what they need
			}
			for _, fault := range []link.Fault{link.DropRequest, link.DropAnswer, link.HoldAnswer} {
				for _, killed := range []bool{true, false} {
					r.step(key, fault, killed)
				}
			}
		}
		r.end()
	})
}

// Under version 1 the epoch is kept from one transaction to the next. A copy of EndTxn that comes late, into the next
// transaction, must find itself fenced: it would end it as it stands. A late copy of Produce is recognised as a duplicate, or
// refused; one of TxnOffsetCommit is overwritten by the next transaction's own, or refused for its epoch. What is read in the end
// shows that none of them did anything.
func TestLateCopiesDoNothingToTheNextTransaction(t *testing.T) {
	r := newDaemonRig(t, 1)
	l := r.c.Links()[0]
	l.Begin(1, link.Mix{After: 600 * time.Millisecond}, nil)
	for _, key := range []kmsg.Key{kmsg.Produce, kmsg.TxnOffsetCommit, kmsg.EndTxn} {
		before := l.ZombieAnswers()
		for range 6 {
			r.step(key, link.Zombie, false)
			if err := l.AwaitZombies(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		fenced := 0
		for answer, n := range l.ZombieAnswers() {
			if n -= before[answer]; n > 0 {
				t.Logf("late %s: %s %d times", key.Name(), answer, n)
			}
			if strings.Contains(answer, "EPOCH") || strings.Contains(answer, "FENCED") {
				fenced += n
			}
		}
		if fenced == 0 && key == kmsg.EndTxn {
			t.Errorf("no late copy of %s was fenced", key.Name())
		}
	}
	r.end()
}

// step has the next request of an API meet a fault, with a kill of the daemon or not, and waits until it has come over it.
func (r *daemonRig) step(key kmsg.Key, fault link.Fault, killed bool) {
	r.t.Helper()
	met := make(chan struct{})
	r.c.Links()[0].Aim(int16(key), fault, func() { close(met) })
	if key == kmsg.InitProducerID { // only a start sends it
		r.kill()
		r.start()
	}
	select {
	case <-met:
	case <-time.After(20 * time.Second):
		r.t.Fatalf("no %s came\n%s", key.Name(), r.d.Tail())
	}
	if killed {
		if fault != link.DropRequest {
			<-time.After(50 * time.Millisecond) // the broker serves it, out of sight; sooner, the kill is of another kind and as good
		}
		r.kill()
		r.start()
	}
	began := time.Now()
	r.committed(1)
	r.t.Logf("%s %v, killed %v: goes on after %v", key.Name(), fault, killed, time.Since(began).Round(time.Millisecond))
}
