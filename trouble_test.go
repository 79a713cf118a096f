package spoold_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/poll"
)

// eventually waits until ok says so.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !poll.Until(ok) {
		t.Fatalf("not in time: %s", what)
	}
}

// The first of two bootstrap servers refuses, the other takes the connection and says nothing. A spool that is hours old must
// not be said to have been without a link for hours.
func TestALinkThatWasNotUpYetSaysWhyAndSinceItsStart(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = gone.Close()
	cfg := spoold.DefaultConfig()
	cfg.SpoolPath, cfg.SpoolMinFreeBytes = t.TempDir(), 1<<20
	cfg.BootstrapServers = []string{gone.Addr().String(), silent.Addr().String()}
	for range 2 {
		opened := time.Now()
		p, err := spoold.Open(cfg, spoold.Env{})
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the refusal is shown", func() bool { return strings.Contains(p.Status().LinkError, gone.Addr().String()) })
		if s := p.Status(); s.Link != "down" || s.LinkSinceSeconds > time.Since(opened).Seconds() {
			t.Errorf("link %s for %v s, %v s after the start", s.Link, s.LinkSinceSeconds, time.Since(opened).Seconds())
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestAFullSpoolRefusesAfterMaxBlockUntilItHasDrained(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.link.down()
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) {
		cfg.SpoolSegmentBytes, cfg.SpoolMaxBytes, cfg.MaxBlock = 64<<10, 1<<20, 20*time.Millisecond
		cfg.SpoolSettle = 10 * time.Millisecond
	})
	r := spoold.Record{Topic: "t", Value: make([]byte, 50_000)}
	sent := 0
	eventually(t, "the spool is full", func() bool {
		_, err := p.Send(patient(t), r)
		if err == nil {
			sent++
			return false
		}
		if !errors.Is(err, spoold.ErrFull) || !strings.Contains(err.Error(), "max.block.ms") {
			t.Fatalf("Send number %d = %v, want ErrFull", sent, err)
		}
		return strings.Contains(err.Error(), "spool.max.bytes") // else the disk was slower than max.block.ms
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.Send(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("Send with an ended context = %v", err)
	}
	if st := p.Status(); st.SpoolFull == "" {
		t.Errorf("Status does not say that the spool is full: %+v", st)
	}
	c.link.up()
	eventually(t, "a record is taken again", func() bool {
		_, err := p.Send(patient(t), r)
		return err == nil
	})
	flush(t, p)
	c.read(t, "t", sent+1) // those that were taken, and the last one
}

func TestAnUnknownTopicWaitsAndStopsNobodyElse(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.TopicsCreate = false })
	send(t, p, "missing", 0, 10)
	for _, d := range send(t, p, "t", 0, 10) {
		if _, err := d.Acked(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the status names the unknown topic", func() bool {
		for _, topic := range p.Status().Topics {
			if topic.Topic == "missing" {
				return topic.State == "unknown-topic" && topic.Pending == 10
			}
		}
		return false
	})
}

func TestWhatIsNotAKafkaBrokerIsNamedAsSuch(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			c.Close()
		}
	}()
	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers, cfg.SpoolPath, cfg.SpoolMinFreeBytes = []string{ln.Addr().String()}, t.TempDir(), 0
	p, err := spoold.Open(cfg, spoold.Env{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, p)
	send(t, p, "t", 0, 1)
	eventually(t, "the status says what answers", func() bool { return strings.Contains(p.Status().LinkError, "HTTP") })
}

// Of several addresses that cannot be used, the last one's error once stood for all.
func TestEachBootstrapServerIsNamedWithItsOwnError(t *testing.T) {
	t.Parallel()
	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers, cfg.SpoolPath, cfg.SpoolMinFreeBytes = []string{"one:1", "two:2"}, t.TempDir(), 0
	p, err := spoold.Open(cfg, spoold.Env{Dial: func(_ context.Context, _, addr string) (net.Conn, error) { return nil, errors.New("no way to " + addr) }})
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, p)
	eventually(t, "both are named", func() bool {
		text := p.Status().LinkError
		return strings.Contains(text, "connect to one:1: no way to one:1") && strings.Contains(text, "connect to two:2: no way to two:2")
	})
}

func TestRecoveredRecordsAreToldByHooks(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	dir := t.TempDir()
	c.link.down()
	p := c.open(t, dir)
	send(t, p, "t", 0, 7)
	closeNow(t, p)
	c.link.up()
	var pending, acked atomic.Int64
	p, err := spoold.Open(c.config(t, dir), spoold.Env{Dial: c.link.dial, Hooks: spoold.Hooks{
		Recovery:   func(e spoold.Recovery) { pending.Store(int64(e.Pending)) },
		BatchAcked: func(e spoold.BatchAcked) { acked.Add(int64(e.Records)) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer closeNow(t, p)
	flush(t, p)
	if pending.Load() != 7 || acked.Load() != 7 {
		t.Errorf("hooks told of %d pending and %d acked records, want 7 of each", pending.Load(), acked.Load())
	}
}

func TestADirectoryThatCannotBeMadeIsToldWithItsOwnExitCode(t *testing.T) {
	c := newCluster(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := spoold.Open(c.config(t, filepath.Join(file, "spool")), spoold.Env{})
	if code := spoold.ExitCode(err); code != spoold.ExitCantCreate {
		t.Errorf("Open = %v, exit code %d, want %d", err, code, spoold.ExitCantCreate)
	}
}

// The broker is replaced by one of another cluster, at the same address.
func TestAnotherClusterIsAnOutageAndNothingIsSentThere(t *testing.T) {
	t.Parallel()
	one := newCluster(t, kfake.SeedTopics(1, "t"), kfake.ClusterID("one"))
	other := newCluster(t, kfake.SeedTopics(1, "t"), kfake.ClusterID("other"))
	var elsewhere atomic.Bool
	p, err := spoold.Open(one.config(t, t.TempDir()), spoold.Env{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if elsewhere.Load() {
			addr = other.ListenAddrs()[0]
		}
		return one.link.dial(ctx, network, addr)
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(t, p) })
	send(t, p, "t", 0, 1)
	flush(t, p)
	elsewhere.Store(true)
	one.link.down()
	one.link.up()
	send(t, p, "t", 1, 1)
	eventually(t, "the link is down for the other cluster", func() bool {
		st := p.Status()
		return st.Link == "down" && st.ForeignCluster == "other" && strings.Contains(st.LinkError, "cluster other")
	})
	send(t, p, "t", 2, 1)
	if high := other.PartitionInfo("t", 0).HighWatermark; high != 0 || p.Status().State != "running" {
		t.Errorf("%d records were sent to the other cluster, the producer is %s", high, p.Status().State)
	}
	elsewhere.Store(false)
	flush(t, p)
	one.read(t, "t", 3)
	if id := p.Status().ForeignCluster; id != "" {
		t.Errorf("the link is up again, and the status shows cluster %q", id)
	}
}

func TestARecreatedTopicWithNothingInDoubtIsBoundAnew(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	var anew atomic.Int32
	p, err := spoold.Open(c.config(t, t.TempDir()), spoold.Env{Dial: c.link.dial,
		Hooks: spoold.Hooks{TopicRecreated: func(spoold.TopicRecreated) { anew.Add(1) }}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(t, p) })
	send(t, p, "t", 0, 5)
	flush(t, p)
	c.recreate(t, "t", 2)
	send(t, p, "t", 5, 5)
	flush(t, p)
	if n := anew.Load(); n != 1 || p.Status().State != "running" {
		t.Errorf("told %d times", n)
	}
	c.read(t, "t", 5)
}

// Metadata is asked for while the topic is not there and nothing waits for it.
func TestARecordForATopicThatWasGoneForAWhileLeaves(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir())
	send(t, p, "t", 0, 5)
	flush(t, p)
	c.admin(t, func(a *kadm.Client) error { _, err := a.DeleteTopic(patient(t), "t"); return err })
	c.link.down()
	c.link.up()
	eventually(t, "metadata shows that the topic is gone", func() bool { return p.Status().Topics[0].Partitions[0].Leader < 0 })
	c.admin(t, func(a *kadm.Client) error { _, err := a.CreateTopic(patient(t), 1, 1, nil, "t"); return err })
	send(t, p, "t", 5, 5)
	flush(t, p)
	c.read(t, "t", 5)
}

func TestASpoolOfAnotherClusterIsRefusedAtTheStartWhenAsked(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "transactional"} {
		with := func(cfg *spoold.Config) { cfg.TransactionalID = id }
		one := newCluster(t, kfake.SeedTopics(1, "t"), kfake.ClusterID("one"))
		other := newCluster(t, kfake.SeedTopics(1, "t"), kfake.ClusterID("other"))
		dir := t.TempDir()
		p := one.open(t, dir, with)
		send(t, p, "t", 0, 1)
		flush(t, p)
		closeNow(t, p)

		cfg := other.config(t, dir)
		with(&cfg)
		p, err := spoold.Open(cfg, spoold.Env{CheckCluster: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Send(patient(t), spoold.Record{Topic: "t"}); err != nil {
			t.Logf("Send = %v", err) // it may have stopped already
		}
		select {
		case <-p.Done():
		case <-time.After(patience):
			t.Fatalf("transactional.id %q: it goes on with another cluster", id)
		}
		var foreign *spoold.ForeignClusterError
		if err := p.Close(patient(t)); !errors.As(err, &foreign) {
			t.Errorf("transactional.id %q: Close = %v, want a *ForeignClusterError", id, err)
		}
		if high := other.PartitionInfo("t", 0).HighWatermark; high != 0 {
			t.Errorf("transactional.id %q: %d records were sent to the other cluster", id, high)
		}
	}
}

func TestALeaderThatMovesLosesAndDuplicatesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.NumBrokers(3), kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.BatchSize = 1024 })
	const rounds, each = 6, 500
	for round := range rounds {
		deliveries := send(t, p, "t", round*each, each)
		if err := c.MoveTopicPartition("t", 0, int32(round%3)); err != nil {
			t.Fatal(err)
		}
		if _, err := deliveries[0].Acked(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
	flush(t, p)
	c.expectValues(t, "t", rounds*each)
}

func TestALargerMaxRequestSizeTakesLargerRecords(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"), kfake.BrokerConfigs(map[string]string{"message.max.bytes": "20000000"}))
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.MaxRequestSize = 12 << 20 })
	d, err := p.Send(patient(t), spoold.Record{Topic: "t", Value: make([]byte, 11<<20)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Acked(patient(t)); err != nil {
		t.Errorf("Acked = %v; %+v", err, p.Status().Topics)
	}
}

// It does not hold up the records behind it.
func TestARecordTooLargeForTheBrokerIsADeadLetter(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"), kfake.BrokerConfigs(map[string]string{"message.max.bytes": "10000"}))
	p := c.open(t, t.TempDir())
	large, err := p.Send(patient(t), spoold.Record{Topic: "t", Value: make([]byte, 50_000)})
	if err != nil {
		t.Fatal(err)
	}
	deliveries := send(t, p, "t", 0, 5)
	_, err = large.Acked(patient(t))
	var refused *spoold.RefusedError
	if !errors.As(err, &refused) {
		t.Errorf("Acked of the large record = %v, want a *RefusedError", err)
	}
	if _, err := deliveries[4].Acked(patient(t)); err != nil {
		t.Errorf("Acked of one behind it = %v", err)
	}
	flush(t, p)
	c.expectValues(t, "t", 5)
}

// recreate deletes a topic and makes it anew.
func (c *cluster) recreate(t *testing.T, topic string, partitions int32) {
	t.Helper()
	c.admin(t, func(a *kadm.Client) error { _, err := a.DeleteTopic(patient(t), topic); return err })
	c.admin(t, func(a *kadm.Client) error { _, err := a.CreateTopic(patient(t), partitions, 1, nil, topic); return err })
}

func (c *cluster) admin(t *testing.T, do func(*kadm.Client) error) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := do(kadm.NewClient(client)); err != nil {
		t.Fatal(err)
	}
}
