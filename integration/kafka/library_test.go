//go:build kafka

package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
)

const patience = 90 * time.Second

// library opens a producer on a spool of its own in dir.
func library(t *testing.T, c *kafka.Cluster, dir string, set map[string]string) (*spoold.Producer, error) {
	t.Helper()
	return spoold.Open(config(t, c, dir, set), spoold.Env{})
}

func config(t *testing.T, c *kafka.Cluster, dir string, set map[string]string) spoold.Config {
	t.Helper()
	cfg := spoold.DefaultConfig()
	for k, v := range map[string]string{"bootstrap.servers": c.Bootstrap(), "spool.path": dir, "spool.min.free.bytes": "1MiB", "metadata.max.age.ms": "2000"} {
		if err := cfg.Set(k, v); err != nil {
			t.Fatal(err)
		}
	}
	for k, v := range set {
		if err := cfg.Set(k, v); err != nil {
			t.Fatal(err)
		}
	}
	return cfg
}

func mustOpen(t *testing.T, c *kafka.Cluster, dir string, set map[string]string) *spoold.Producer {
	t.Helper()
	p, err := library(t, c, dir, set)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, p) })
	return p
}

func stop(t *testing.T, p *spoold.Producer) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := p.Close(ctx); err != nil && p.Err() == nil {
		t.Errorf("close: %v", err)
	}
}

// spooled sends v<from> … and waits until all is on disk.
func spooled(t *testing.T, p *spoold.Producer, topic string, from, n int) {
	t.Helper()
	b := spoold.Batch{}
	for i := range n {
		b.Records = append(b.Records, spoold.Record{Topic: topic, Key: []byte("k"), Value: fmt.Appendf(nil, "v%d", from+i),
			Headers: []spoold.Header{{Key: "h", Value: []byte("x")}}})
	}
	ds, err := p.SendBatch(t.Context(), b)
	if err == nil {
		err = ds.Spooled(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func drained(t *testing.T, p *spoold.Producer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := p.Flush(ctx); err != nil {
		t.Fatalf("flush: %v; status: %+v", err, p.Status())
	}
}

// comes waits until a look at the status is satisfied.
func comes(t *testing.T, p *spoold.Producer, what string, cond func(*spoold.Status) bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		st := p.Status()
		if cond(st) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s never came to pass: %+v", what, st)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestLibraryDeliversWithEveryCodecByteForByte(t *testing.T) {
	for _, version := range []string{kafka.Newest, kafka.Last3x} {
		t.Run(version, func(t *testing.T) {
			c := kafka.Run(t, kafka.Options{Version: version})
			for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
				p := mustOpen(t, c, t.TempDir(), map[string]string{"compression.type": codec})
				spooled(t, p, codec, 0, 500)
				spooled(t, p, codec, 500, 500)
				drained(t, p)
				stop(t, p)
				expect(t, c, codec, 1000)
			}
		})
	}
}

func TestLibraryIsExactlyOnceThroughBrokerSigkillAndItsOwnRestart(t *testing.T) {
	for _, version := range []string{kafka.Newest, kafka.Last3x} {
		t.Run(version, func(t *testing.T) {
			c := kafka.Run(t, kafka.Options{Version: version})
			dir := t.TempDir()
			p := mustOpen(t, c, dir, nil)
			spooled(t, p, "t", 0, 200)
			drained(t, p)
			if err := c.Kill(0); err != nil {
				t.Fatal(err)
			}
			spooled(t, p, "t", 200, 200)
			stop(t, p)
			p = mustOpen(t, c, dir, nil) // no cluster in sight
			spooled(t, p, "t", 400, 200)
			if err := c.Start(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
			drained(t, p)
			expect(t, c, "t", 600)
		})
	}
}

// S-34: a spool restored from a copy must not give a used sequence to other records.
func TestARestoredSpoolIsRefusedBeforeItSendsAnything(t *testing.T) {
	c := kafka.Run(t, kafka.Options{})
	dir := filepath.Join(t.TempDir(), "spool")
	p := mustOpen(t, c, dir, nil)
	spooled(t, p, "t", 0, 10)
	drained(t, p)
	comes(t, p, "the settlement", func(st *spoold.Status) bool { return st.Acked == 10 })
	copied := dir + ".copy"
	if out, err := exec.Command("cp", "-a", dir, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	spooled(t, p, "t", 10, 10)
	drained(t, p)
	stop(t, p)
	// The restore puts the older files into the same directory, with its lock file.
	segments, _ := filepath.Glob(filepath.Join(dir, "*.db"))
	for _, f := range segments {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	segments, _ = filepath.Glob(filepath.Join(copied, "*.db"))
	for _, f := range segments {
		if err := os.Rename(f, filepath.Join(dir, filepath.Base(f))); err != nil {
			t.Fatal(err)
		}
	}
	p = mustOpen(t, c, dir, nil)
	spooled(t, p, "t", 99, 1)
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatalf("nothing was noticed: %+v", p.Status())
	}
	var stopped *spoold.StoppedError
	if !errors.As(p.Err(), &stopped) || stopped.Recorded {
		t.Errorf("stopped with %v, want a StoppedError", p.Err())
	}
	stop(t, p)
	p = mustOpen(t, c, dir, nil)
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatal("the next start goes on")
	}
	if !errors.As(p.Err(), &stopped) || !stopped.Recorded {
		t.Errorf("the next start says %v, want a recorded StoppedError", p.Err())
	}
	expect(t, c, "t", 20)
}

// S-21, S-49: the ISR shrinks under what is in flight, and heals.
func TestAShrunkenISRNeitherLosesNorDoubles(t *testing.T) {
	c := kafka.Run(t, kafka.Options{Brokers: 3})
	if err := c.CreateTopic(t.Context(), "t", 1, nil); err != nil {
		t.Fatal(err)
	}
	leader, err := c.Leader(t.Context(), "t", 0)
	if err != nil {
		t.Fatal(err)
	}
	p := mustOpen(t, c, t.TempDir(), map[string]string{"request.timeout.ms": "4000"})
	spooled(t, p, "t", 0, 50)
	drained(t, p)
	var down []int
	for i := range 3 {
		if i != leader {
			if err := c.Pause(i); err != nil { // followers that hang: appended here, not replicated
				t.Fatal(err)
			}
			down = append(down, i)
		}
	}
	for n := 50; n < 100; n += 10 {
		spooled(t, p, "t", n, 10)
	}
	comes(t, p, "a retry", func(st *spoold.Status) bool { return st.Retries > 0 })
	for _, i := range down {
		if err := c.Resume(i); err != nil {
			t.Fatal(err)
		}
	}
	spooled(t, p, "t", 100, 50)
	drained(t, p)
	if err := c.InSync(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	expect(t, c, "t", 150)
}

// S-22: after a rolling restart a new leader remembers one batch per producer.
func TestAFailOverAfterARollingRestartIsExactlyOnce(t *testing.T) {
	c := kafka.Run(t, kafka.Options{Brokers: 3})
	if err := c.CreateTopic(t.Context(), "t", 1, nil); err != nil {
		t.Fatal(err)
	}
	p := mustOpen(t, c, t.TempDir(), map[string]string{"batch.size": "300", "linger.ms": "0"})
	spooled(t, p, "t", 0, 100)
	drained(t, p)
	for i := range 3 {
		if err := c.Stop(i); err != nil {
			t.Fatal(err)
		}
		if err := c.Start(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		if err := c.InSync(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
	}
	n := 100
	for range 3 {
		leader, err := c.Leader(t.Context(), "t", 0)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			spooled(t, p, "t", n, 20)
			n += 20
		}
		if err := c.Kill(leader); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			spooled(t, p, "t", n, 20)
			n += 20
		}
		drained(t, p)
		if err := c.Start(t.Context(), leader); err != nil {
			t.Fatal(err)
		}
		if err := c.InSync(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, c, "t", n)
}

// S-05, S-35: the broker forgets idle producers; what follows is sent one at a time, and
// nothing is doubled.
func TestAForgottenProducerGoesOnOneAtATime(t *testing.T) {
	c := kafka.Run(t, kafka.Options{Props: map[string]string{
		"producer.id.expiration.ms": "1000", "producer.id.expiration.check.interval.ms": "200",
	}})
	p := mustOpen(t, c, t.TempDir(), nil)
	for n := 0; n < 100; n += 20 {
		spooled(t, p, "t", n, 20)
		drained(t, p)
		comes(t, p, "two seconds of quiet", quiet(2*time.Second))
	}
	expect(t, c, "t", 100)
}

func quiet(d time.Duration) func(*spoold.Status) bool {
	began := time.Now()
	return func(*spoold.Status) bool { return time.Since(began) > d }
}

// A broker of another cluster is an outage: records are taken and kept, nothing is sent there, and the status says why.
func TestAnotherClusterIsAnOutageAndNothingIsSentToIt(t *testing.T) {
	one := kafka.Run(t, kafka.Options{})
	dir := t.TempDir()
	p := mustOpen(t, one, dir, nil)
	spooled(t, p, "t", 0, 3)
	drained(t, p)
	stop(t, p)
	other := kafka.Run(t, kafka.Options{ClusterID: "AAAAAAAAQACAAAAAAAAAAQ"})
	p = mustOpen(t, other, dir, nil)
	spooled(t, p, "t", 3, 3)
	comes(t, p, "the reason why the link is down", func(s *spoold.Status) bool {
		return s.Link == "down" && strings.Contains(s.LinkError, "AAAAAAAAQACAAAAAAAAAAQ")
	})
	if s := p.Status(); s.State != "running" || s.Pending != 3 {
		t.Errorf("state %s with %d records pending, want running with 3", s.State, s.Pending)
	}
	topics, err := other.Admin().ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if topics.Has("t") {
		t.Error("the topic was created on the other cluster")
	}
	stop(t, p)

	p, err = spoold.Open(config(t, other, dir, nil), spoold.Env{CheckCluster: true})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.Done():
	case <-time.After(patience):
		t.Fatal("the other cluster was not noticed, though that was asked for")
	}
	var foreign *spoold.ForeignClusterError
	if err := p.Err(); !errors.As(err, &foreign) {
		t.Errorf("stopped with %v, want a ForeignClusterError", err)
	}
}
