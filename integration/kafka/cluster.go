package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold/integration/link"
)

// Options say what cluster to start. The zero value is one broker of the newest
// version.
type Options struct {
	Version string            // default Newest
	Brokers int               // default 1
	Props   map[string]string // over the defaults of props.go, for every broker
	// Links puts a breakable link in front of every broker. Clients are sent through
	// it; brokers among each other, and this package, are not.
	Links bool
	// Faults are links that can also break single requests and answers.
	Faults bool
	// FormatArgs are passed to StorageTool, for instance "-f", "transaction.version=1".
	FormatArgs []string
	// ClusterID is a base64url UUID; default: the same for every cluster.
	ClusterID string
	// Classes is a folder with more classes for the brokers; "": none.
	Classes string
	// Inner puts a link that can break single requests in front of what brokers send each other.
	Inner bool
	// Fast gives the brokers memory and the optimising compiler, for measurements.
	Fast bool
}

// Cluster is a running cluster. Brokers are numbered from 0 here; their node ids are
// one higher. Not safe for concurrent use, apart from reading.
type Cluster struct {
	opts Options
	id   string
	jars string
	dir  string
	// archiving is where the JVMs of this cluster leave an archive of their classes at their end; "": nowhere.
	archiving string
	brokers   []*broker
	client    *kgo.Client
	adm       *kadm.Client
}

// Run starts a cluster for one test and stops it at its end. It fails the test
// if Kafka cannot be started: a run without Kafka proves nothing.
func Run(t testing.TB, opts Options) *Cluster {
	t.Helper()
	began := time.Now()
	c, err := Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, b := range c.brokers {
				t.Logf("end of the log of broker %d:\n%s", b.id, b.tail())
			}
		}
		c.Close()
	})
	t.Logf("Apache Kafka %s, %d brokers, ready after %.1f s", c.opts.Version, len(c.brokers), time.Since(began).Seconds())
	return c
}

// Start starts a cluster and waits until it takes produce requests.
func Start(ctx context.Context, opts Options) (*Cluster, error) {
	if opts.Version == "" {
		opts.Version = Newest
	}
	if opts.Brokers == 0 {
		opts.Brokers = 1
	}
	jars, err := Jars(ctx, opts.Version)
	if err != nil {
		return nil, err
	}
	return startAnew(ctx, opts, jars, "")
}

// startAnew starts a cluster, and once more where a port was taken.
func startAnew(ctx context.Context, opts Options, jars, archiving string) (*Cluster, error) {
	var last error
	for range 5 { // ports are chosen, given back and taken again: a race may be lost
		c, err := start(ctx, opts, jars, archiving)
		if err == nil {
			return c, nil
		}
		last = err
		if !errors.Is(err, errBind) {
			break
		}
	}
	return nil, last
}

// errBind: somebody took a port between our choice and the broker's start.
var errBind = errors.New("a chosen port was taken")

func start(ctx context.Context, opts Options, jars, archiving string) (_ *Cluster, err error) {
	c := &Cluster{opts: opts, jars: jars, id: opts.ClusterID, archiving: archiving}
	if c.id == "" {
		c.id = clusterID
	}
	if c.dir, err = os.MkdirTemp("", "spoold-kafka-"); err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	if err := c.place(); err != nil {
		return nil, err
	}
	for i := range c.brokers {
		if err := c.format(ctx, i); err != nil {
			return nil, err
		}
	}
	for i := range c.brokers {
		if err := c.launch(i); err != nil {
			return nil, err
		}
	}
	if err := c.connect(); err != nil {
		return nil, err
	}
	return c, c.ready(ctx)
}

// place chooses folders, ports and links. The ports are held until all are
// chosen, so that they differ.
func (c *Cluster) place() error {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close() // nothing was ever accepted
		}
	}()
	port := func() (string, error) {
		l, err := link.Listen()
		if err != nil {
			return "", fmt.Errorf("kafka: %w", err)
		}
		held = append(held, l)
		return l.Addr().String(), nil
	}
	for i := range c.opts.Brokers {
		dir := filepath.Join(c.dir, fmt.Sprintf("broker-%d", i+1))
		b := &broker{id: i + 1, data: dir, props: dir + ".properties", log: dir + ".log"}
		for _, addr := range []*string{&b.client, &b.internal, &b.controller} {
			var err error
			if *addr, err = port(); err != nil {
				return err
			}
		}
		var err error
		if c.opts.Inner {
			if b.inner, err = link.NewKafka(link.Options{Name: fmt.Sprintf("inner-%d", i), Target: b.internal}); err != nil {
				return err
			}
		}
		switch {
		case c.opts.Faults:
			b.link, err = link.NewKafka(link.Options{Name: fmt.Sprintf("broker-%d", i), Target: b.client})
		case c.opts.Links:
			b.link, err = link.New(b.client)
		}
		if err != nil {
			return err
		}
		c.brokers = append(c.brokers, b)
	}
	return nil
}

func (c *Cluster) connect() error {
	var seeds []string
	for _, b := range c.brokers {
		seeds = append(seeds, b.internal)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.MetadataMinAge(100*time.Millisecond),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return fmt.Errorf("kafka: admin client: %w", err)
	}
	c.client, c.adm = client, kadm.NewClient(client)
	return nil
}

// brokerPatience is how long brokers may take to be there: seconds, but for a host that does something else.
const brokerPatience = 3 * time.Minute

const probeTopic = "spoold-probe"

// ready waits until Metadata shows every broker and a produce request is acked: a
// line in a log or an open port promises neither.
func (c *Cluster) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	if err := c.awaitBrokers(ctx, len(c.brokers)); err != nil {
		return err
	}
	if err := c.CreateTopic(ctx, probeTopic, 1, nil); err != nil {
		return err
	}
	return c.Probe(ctx)
}

// Probe produces one record with acks=all through no link, and waits for the answer.
func (c *Cluster) Probe(ctx context.Context) error {
	if err := c.client.ProduceSync(ctx, &kgo.Record{Topic: probeTopic, Value: []byte("probe")}).FirstErr(); err != nil {
		return fmt.Errorf("kafka: probe record was not acked: %w%s", err, c.tails())
	}
	return nil
}

func (c *Cluster) awaitBrokers(ctx context.Context, n int) error {
	var last error
	err := until(ctx, func() (bool, error) {
		for _, b := range c.brokers {
			if b.process == nil || b.process.Running() {
				continue
			}
			if bytes.Contains([]byte(b.tail()), []byte("Address already in use")) {
				return false, errBind
			}
			if n == len(c.brokers) {
				return false, fmt.Errorf("broker %d ended: %w", b.id, errors.Join(b.process.Err()))
			}
		}
		ask, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		brokers, err := c.adm.ListBrokers(ask)
		last = err
		return err == nil && len(brokers) >= n, nil
	})
	if err != nil {
		return fmt.Errorf("kafka: waiting for %d brokers: %w%s", n, errors.Join(err, last), c.tails())
	}
	return nil
}

// until calls done every 50 ms until it says so, fails, or ctx ends.
func until(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// Bootstrap is the clients' way in, as bootstrap.servers has it: behind the links, if there are any.
func (c *Cluster) Bootstrap() string {
	var addrs []string
	for _, b := range c.brokers {
		addrs = append(addrs, b.advertised())
	}
	return strings.Join(addrs, ",")
}

// Direct is a way in that no link is on.
func (c *Cluster) Direct() string {
	var addrs []string
	for _, b := range c.brokers {
		addrs = append(addrs, b.internal)
	}
	return strings.Join(addrs, ",")
}

// Links are the links in front of the brokers, in their order.
func (c *Cluster) Links() []*link.Link {
	var links []*link.Link
	for _, b := range c.brokers {
		if b.link != nil {
			links = append(links, b.link)
		}
	}
	return links
}

// Logs are the paths of what the brokers say, in their order; they go with Close.
func (c *Cluster) Logs() []string {
	var paths []string
	for _, b := range c.brokers {
		paths = append(paths, b.log)
	}
	return paths
}

// Brokers is how many there are.
func (c *Cluster) Brokers() int { return len(c.brokers) }

// Kill ends broker i with SIGKILL.
func (c *Cluster) Kill(i int) error { return c.brokers[i].process.Kill() }

// Stop ends broker i with SIGTERM: a controlled shutdown.
func (c *Cluster) Stop(i int) error { return c.brokers[i].process.Stop(stopPatience) }

// Start starts broker i again on its old log, and waits until the cluster lists
// as many brokers as run.
func (c *Cluster) Start(ctx context.Context, i int) error {
	if err := c.launch(i); err != nil {
		return err
	}
	n := 0
	for _, b := range c.brokers {
		if b.process.Running() {
			n++
		}
	}
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	return c.awaitBrokers(ctx, n)
}

// Roll restarts the brokers one after the other, as an upgrade does: the next one when all replicas of the topics are
// in sync again, and after pause.
func (c *Cluster) Roll(ctx context.Context, pause func() error, topics ...string) error {
	for i := range c.brokers {
		for _, topic := range topics {
			if err := c.InSync(ctx, topic); err != nil {
				return err
			}
		}
		if err := pause(); err != nil {
			return err
		}
		if err := c.Stop(i); err != nil {
			return err
		}
		if err := pause(); err != nil {
			return err
		}
		if err := c.Start(ctx, i); err != nil {
			return err
		}
	}
	for _, topic := range topics {
		if err := c.InSync(ctx, topic); err != nil {
			return err
		}
	}
	return nil
}

// Running reports whether broker i has a process.
func (c *Cluster) Running(i int) bool { return c.brokers[i].process.Running() }

// Pause stops broker i with SIGSTOP: it hangs and resets nothing.
func (c *Cluster) Pause(i int) error { return c.brokers[i].process.Signal(syscall.SIGSTOP) }

// Resume continues a paused broker.
func (c *Cluster) Resume(i int) error { return c.brokers[i].process.Signal(syscall.SIGCONT) }

// Close kills the brokers and removes their folders.
func (c *Cluster) Close() {
	if c.client != nil {
		c.client.Close()
	}
	for _, b := range c.brokers {
		if b.process != nil {
			_ = b.process.Kill() // SIGKILL to our own child fails only when it is gone
		}
		if b.inner != nil {
			b.inner.Close()
		}
		if b.link != nil {
			b.link.Close()
		}
	}
	_ = os.RemoveAll(c.dir) // a left-over folder of the system's temporary one
}
