package spoold_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

// With max.block.ms=0 nothing waits: a record that there is no room for is refused at once, and those before it arrive.
func TestWithoutPatienceAFullSpoolRefusesAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.link.down()
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) {
		cfg.SpoolSegmentBytes, cfg.SpoolMaxBytes, cfg.MaxBlock = 64<<10, 1<<20, 0
	})
	sent := 0
	eventually(t, "the spool is full", func() bool {
		began := time.Now()
		_, err := p.Send(patient(t), spoold.Record{Topic: "t", Value: make([]byte, 1000)})
		if err == nil {
			sent++
			return false
		}
		if !errors.Is(err, spoold.ErrFull) || time.Since(began) > 10*time.Second {
			t.Fatalf("Send number %d = %v after %v", sent, err, time.Since(began))
		}
		return strings.Contains(err.Error(), "spool.max.bytes") // else the commit before it is under way
	})
	c.link.up()
	flush(t, p)
	c.read(t, "t", sent)
}

// What names no topic is an error of the caller, and asks nobody.
func TestNoTopicIsAnErrorOfItsCaller(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.link.down()
	p := c.open(t, t.TempDir())
	if _, err := p.PartitionsFor(patient(t), ""); !errors.Is(err, spoold.ErrInvalidRecord) {
		t.Errorf("PartitionsFor without a topic = %v", err)
	}
	if _, err := p.Send(patient(t), spoold.Record{Value: []byte("v")}); !errors.Is(err, spoold.ErrInvalidRecord) || !strings.Contains(err.Error(), "topic") {
		t.Errorf("Send without a topic = %v", err)
	}
}

// Whoever waits for the cluster when the Producer is closed is told at once that it is.
func TestWhoWaitsForTheClusterIsReleasedByClose(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.link.down()
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.MaxBlock = patience })
	d := send(t, p, "t", 0, 1)[0]
	waits := map[string]func(context.Context) error{
		"PartitionsFor": func(ctx context.Context) error { _, err := p.PartitionsFor(ctx, "t"); return err },
		"Flush":         p.Flush,
		"Acked":         func(ctx context.Context) error { _, err := d.Acked(ctx); return err },
	}
	type end struct {
		who string
		err error
	}
	ends := make(chan end, len(waits))
	ctx := patient(t)
	for who, wait := range waits {
		go func() { ends <- end{who, wait(ctx)} }()
	}
	eventually(t, "the cluster is asked for", func() bool { return p.Status().LinkError != "" })
	closeNow(t, p)
	for range waits {
		if e := <-ends; !errors.Is(e.err, spoold.ErrClosed) {
			t.Errorf("%s = %v, want ErrClosed", e.who, e.err)
		}
	}
}

// A topic is deleted and made again while records go to it. What was in doubt waits for an operator; every record is called back for, once.
func TestEachRecordIsCalledBackForThoughItsTopicIsRecreated(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.BatchSize = 200 })
	const rounds, each = 4, 100
	var called [rounds * each]atomic.Int32
	for round := range rounds {
		for i := round * each; i < (round+1)*each; i++ {
			err := p.SendFunc(patient(t), spoold.Record{Topic: "t", Value: value(i)}, func(spoold.Ack, error) { called[i].Add(1) })
			if err != nil {
				t.Fatal(err)
			}
		}
		c.recreate(t, "t", 1)
	}
	eventually(t, "nothing is pending", func() bool {
		_, _ = p.Resolve(patient(t), "t", -1, spoold.Resend) // the error: nothing is parked just now
		return p.Status().Pending == 0
	})
	flush(t, p)
	eventually(t, "all callbacks have been called", func() bool {
		for i := range called {
			if called[i].Load() == 0 {
				return false
			}
		}
		return true
	})
	for i := range called {
		if n := called[i].Load(); n != 1 {
			t.Errorf("record %d was called back for %d times", i, n)
		}
	}
	if st := p.Status(); st.Accepted != rounds*each || st.Acked != rounds*each {
		t.Errorf("accepted %d, acked %d of %d", st.Accepted, st.Acked, rounds*each)
	}
}
