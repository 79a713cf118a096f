package spoold_test

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/producers"
	"github.com/spoold/spoold/integration/poll"
)

func TestMain(m *testing.M) {
	poll.Parallel("8")
	poll.InMemory()
	// The embedded cluster leaves goroutines of its own where it is closed while it describes producers: one that asks it, and its
	// main one, which waits for a lock that nobody gives back.
	asks := goleak.IgnoreTopFunction("github.com/twmb/franz-go/pkg/kfake.(*Cluster).admin")
	waits := goleak.IgnoreAnyFunction("github.com/twmb/franz-go/pkg/kfake.(*Cluster).beginSleptControl")
	goleak.VerifyTestMain(m, asks, waits, goleak.Cleanup(func(code int) {
		removePrograms()
		os.Exit(code)
	}))
}

const patience = poll.Patience

func patient(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// cluster is an embedded broker behind a link that a test can cut.
type cluster struct {
	*kfake.Cluster
	link *link
}

func newCluster(t testing.TB, opts ...kfake.Opt) *cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	producers.Describe(c)
	return &cluster{c, &link{}}
}

// link is the network between a Producer and the cluster.
type link struct {
	mu    sync.Mutex
	cut   bool
	alias map[string]string // what a name stands for
	conns []net.Conn
}

func (l *link) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.mu.Lock()
	cut, to := l.cut, l.alias[addr]
	l.mu.Unlock()
	if cut {
		return nil, errors.New("the link is cut")
	}
	if to != "" {
		addr = to
	}
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, c)
	if l.cut {
		c.Close()
	}
	return c, nil
}

// down cuts every connection and refuses new ones.
func (l *link) down() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for _, c := range l.conns {
		c.Close()
	}
	l.conns = nil
}

func (l *link) up() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

func (c *cluster) config(t testing.TB, spool string) spoold.Config {
	t.Helper()
	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers = c.ListenAddrs()
	cfg.SpoolPath = spool
	cfg.SpoolMinFreeBytes = 0
	return cfg
}

func (c *cluster) open(t testing.TB, spool string, change ...func(*spoold.Config)) *spoold.Producer {
	t.Helper()
	return c.openEnv(t, spool, spoold.Env{}, change...)
}

// openEnv is open with an Env, but for its Dial, which goes over the link.
func (c *cluster) openEnv(t testing.TB, spool string, env spoold.Env, change ...func(*spoold.Config)) *spoold.Producer {
	t.Helper()
	cfg := c.config(t, spool)
	for _, f := range change {
		f(&cfg)
	}
	env.Dial = c.link.dial
	p, err := spoold.Open(cfg, env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(t, p) })
	return p
}

// closeNow closes without waiting for answers, and waits as long as a slow disk needs for it.
func closeNow(t testing.TB, p *spoold.Producer) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := p.Close(ctx)
	if errors.Is(err, context.Canceled) {
		err = p.Close(patient(t))
	}
	if err != nil {
		stacks := make([]byte, 1<<20)
		t.Errorf("Close = %v\n%s", err, stacks[:runtime.Stack(stacks, true)])
	}
}

// poll returns n records or more, read from the start by another client.
func (c *cluster) poll(t testing.TB, n int, options ...kgo.Opt) []*kgo.Record {
	t.Helper()
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(c.ListenAddrs()...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var records []*kgo.Record
	for len(records) < n {
		f := client.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatalf("read back: %v after %d of %d records", err, len(records), n)
		}
		records = append(records, f.Records()...)
	}
	return records
}

// read returns the first n records of a topic, by another client, and fails if there are more.
func (c *cluster) read(t testing.TB, topic string, n int) []*kgo.Record {
	t.Helper()
	records := c.poll(t, n, kgo.ConsumeTopics(topic))
	slices.SortStableFunc(records, func(a, b *kgo.Record) int { return int(a.Partition - b.Partition) })
	var high int64
	for _, info := range c.PartitionInfos(topic) {
		high += info.HighWatermark
	}
	if len(records) != n || int(high) != n {
		t.Fatalf("%s holds %d records, %d were read, want %d", topic, high, len(records), n)
	}
	return records
}
