//go:build crash

package crash

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/link"
	"github.com/spoold/spoold/integration/proof"
)

var (
	seedFlag    = flag.Uint64("seed", 0, "repeats a run; 0: a new one")
	kills       = flag.Int("kills", 30, "how often the daemon is killed under load")
	brokerKills = flag.Int("broker-kills", 3, "how often the one broker is killed under load")
	clients     = flag.Int("clients", 96, "how many HTTP clients send at once")
	storm       = flag.Duration("storm", 10*time.Second, "how long requests are broken one by one on the way from a program")
	outage      = flag.Duration("outage", 8*time.Second, "how long a link stays broken")
	backlogMiB  = flag.Int64("backlog", 256, "MiB that wait in the spool while the memory is looked at")
)

const partitions = 3

var (
	binary string      // the daemon
	shared sharedState // clusters are started once
)

type sharedState struct {
	mu       sync.Mutex
	dir      string
	keys     map[string]string // what a client of a secure one needs
	clusters map[kind]*kafka.Cluster
}

// kind is which of the clusters: how many brokers, and whether clients need TLS and a password.
type kind struct {
	brokers int
	secure  bool
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx := context.Background()
	root, err := proof.Root()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "spoold-crash-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // only the binary is in it
	if binary, err = Build(ctx, root, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared.clusters, shared.dir = make(map[kind]*kafka.Cluster), dir
	defer func() {
		for _, c := range shared.clusters {
			c.Close()
		}
	}()
	p := proof.Begin("kills", "The real daemon and real brokers, killed", fmt.Sprintf("go test -tags crash -count=1 -v -timeout 90m ./integration/crash -kills %d -broker-kills %d -outage %v -storm %v -backlog %d", *kills, *brokerKills, *outage, *storm, *backlogMiB))
	code := m.Run()
	if err := sum.keep(p, root); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// cluster is a running cluster of so many brokers, each behind a link that breaks nothing unless a test says so. Tests leave it whole.
func cluster(t *testing.T, k kind) *kafka.Cluster {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if c := shared.clusters[k]; c != nil {
		mend(t, c)
		return c
	}
	o, err := kafka.Options{Faults: true}, error(nil)
	if k.secure {
		o, shared.keys, err = secured(shared.dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.Brokers = k.brokers
	c, err := kafka.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	shared.clusters[k] = c
	return c
}

// mend makes a cluster whole again that a failed test left in pieces.
func mend(t *testing.T, c *kafka.Cluster) {
	t.Helper()
	for _, l := range c.Links() {
		if err := l.Heal(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range c.Brokers() {
		if !c.Running(i) {
			if err := c.Start(t.Context(), i); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// rig is one run: a cluster, a topic, a daemon, clients.
type rig struct {
	t       *testing.T
	ctx     context.Context
	seed    uint64
	rand    *rand.Rand
	cluster *kafka.Cluster
	topic   string
	daemon  *Daemon
	ledger  *Ledger
	load    *Load
	killer  *Killer
	trace   *trace
	keys    map[string]string // -X settings of daemons and programs
	// For the tally.
	brokersKilled int
	broken        link.Counts
	verdict       Verdict
}

type setup struct {
	brokers int
	clients int
	size    int // bytes of a value
	records int // most in one request
	think   time.Duration
	keyless bool
	secure  bool
	keys    map[string]string
}

func newRig(t *testing.T, s setup) *rig {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d; again: go test -tags crash -count=1 -v ./integration/crash -run '^%s$' -seed %d -kills %d -outage %v -storm %v",
		seed, t.Name(), seed, *kills, *outage, *storm)
	if s.clients == 0 {
		s.clients = *clients
	}
	if s.size == 0 {
		s.size = 200
	}
	r := &rig{t: t, ctx: t.Context(), seed: seed, rand: rand.New(rand.NewPCG(seed, 1)), cluster: cluster(t, kind{s.brokers, s.secure}),
		topic: fmt.Sprintf("crash-%x", seed), ledger: NewLedger(seed, s.clients, s.size), trace: newTrace(t)}
	for _, l := range r.cluster.Links() {
		if s.secure {
			break // nothing can be broken inside TLS
		}
		l.Begin(seed, link.Mix{}, r.trace.decision)
	}
	if err := r.cluster.CreateTopic(r.ctx, r.topic, partitions, nil); err != nil {
		t.Fatal(err)
	}
	r.keys = map[string]string{"idempotency.max.keys": "5000000"}
	if s.secure {
		maps.Copy(r.keys, shared.keys)
	}
	maps.Copy(r.keys, s.keys)
	keys := maps.Clone(r.keys)
	keys["shutdown.timeout"] = "20s"
	var err error
	if r.daemon, err = NewDaemon(binary, t.TempDir(), r.cluster.Bootstrap(), keys); err != nil {
		t.Fatal(err)
	}
	r.killer = &Killer{Daemon: r.daemon, Rand: r.rand}
	r.load = &Load{Ledger: r.ledger, URL: "http://" + r.daemon.HTTP + "/topics/" + r.topic, Seed: seed,
		Think: s.think, Records: s.records, Keyless: s.keyless}
	t.Cleanup(func() {
		sum.note(r)
		if t.Failed() && r.daemon.life != nil {
			t.Log(r.daemon.Tail())
		}
		if r.daemon.process != nil {
			_ = r.daemon.End() // our own child: fails only when it is gone
		}
	})
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// start starts the daemon and waits until it takes records.
func (r *rig) start() {
	r.t.Helper()
	r.must(r.killer.Start(r.ctx))
}

// wait lets time pass, and notices what should not happen to the daemon, if there is one, and to its load.
func (r *rig) wait(d time.Duration) {
	r.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(d); time.Now().Before(deadline); {
		<-tick.C
		if r.daemon.life != nil {
			r.must(r.daemon.Check())
		}
		r.must(r.load.Err())
	}
}

// between is a random duration.
func (r *rig) between(low, high time.Duration) time.Duration {
	return low + time.Duration(r.rand.Int64N(int64(high-low)))
}

// kill kills the daemon now and starts it again.
func (r *rig) kill() {
	r.t.Helper()
	r.must(r.killer.Kill(r.ctx))
}

// finish ends the load, waits until nothing is pending, and compares.
func (r *rig) finish() {
	r.t.Helper()
	r.must(r.load.Stop())
	began := time.Now()
	r.drain(3 * time.Minute)
	answered, again := r.load.Requests()
	sent, _ := r.ledger.Total()
	r.t.Logf("%d requests answered, %d asked again, %d records; drained %.1f s after the last",
		answered, again, sent, time.Since(began).Seconds())
	s, err := r.daemon.Status(r.ctx)
	r.must(err)
	if s.Accepted != uint64(sent) || s.Acked != uint64(sent) || s.DeadLettered != 0 || s.Expired != 0 {
		r.t.Errorf("status says accepted %d, acked %d, dead-lettered %d, expired %d; the clients were told of %d",
			s.Accepted, s.Acked, s.DeadLettered, s.Expired, sent)
	}
	r.must(r.killer.Stop())
	r.compare()
}

// drain waits until nothing is pending.
func (r *rig) drain(patience time.Duration) {
	r.t.Helper()
	r.await(patience, func() (bool, any) {
		r.must(r.daemon.Check())
		s, err := r.daemon.Status(r.ctx)
		r.must(err)
		return s.Pending == 0, s
	})
}

// await asks until nothing is pending.
func (r *rig) await(patience time.Duration, drained func() (done bool, still any)) {
	r.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		done, still := drained()
		if done {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("still pending %v after the load ended: %+v", patience, still)
		}
	}
}

// compare reads the topic back and asks the ledger.
func (r *rig) compare() *Verdict {
	r.t.Helper()
	reading := r.ledger.Read()
	r.must(r.cluster.Scan(r.ctx, r.topic, func(rec *kafka.Record) error {
		reading.Record(rec.Partition, rec.Offset, rec.Key, rec.Value)
		return nil
	}))
	v := reading.Verdict()
	r.verdict = *v
	r.t.Log(v)
	if !v.OK() {
		r.t.Fail()
	}
	return v
}
