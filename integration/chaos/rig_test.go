//go:build crash

package chaos_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/chaos"
	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/kafka"
)

var seedFlag = flag.Uint64("seed", 0, "repeats a run's decisions; 0: a new one")

const (
	partitions = 6
	patience   = 2 * time.Minute
)

// settings make a producer feel the faults often: small batches, impatient.
var settings = map[string]string{
	"spool.min.free.bytes": "1MiB", "metadata.max.age.ms": "3000", "request.timeout.ms": "4000",
	"batch.size": "4KiB", "linger.ms": "2", "retry.backoff.ms": "50", "retry.backoff.max.ms": "500",
}

// period is how long the chaos lasts: as the test says, or SPOOLD_CHAOS (a duration).
func period(t *testing.T, usual time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv("SPOOLD_CHAOS")
	if text == "" {
		return usual
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("SPOOLD_CHAOS: %v", err)
	}
	return d
}

// rig is one run: a cluster behind chaos, a topic, a ledger.
type rig struct {
	t       *testing.T
	ctx     context.Context
	seed    uint64
	rand    *rand.Rand
	cluster *kafka.Cluster
	proxies []*chaos.Proxy
	topic   string
	ledger  *crash.Ledger
	trace   *trace
	ops     []string // what was done to brokers and programs
}

var clusters = make(map[int]*kafka.Cluster) // started once; tests run one after the other

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	for _, c := range clusters {
		c.Close()
	}
	os.Exit(code)
}

func newRig(t *testing.T, brokers, clients int) *rig {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d; again: go test -tags crash -count=1 -v ./integration/chaos -run '^%s$' -seed %d", seed, t.Name(), seed)
	c := clusters[brokers]
	if c == nil {
		var err error
		if c, err = kafka.Start(context.Background(), kafka.Options{Brokers: brokers, Front: place}); err != nil {
			t.Fatal(err)
		}
		clusters[brokers] = c
	}
	r := &rig{t: t, ctx: t.Context(), seed: seed, rand: rand.New(rand.NewPCG(seed, 1)), cluster: c,
		topic: fmt.Sprintf("chaos-%x", seed), ledger: crash.NewLedger(seed, clients, 200), trace: newTrace(t)}
	for i := range brokers {
		r.proxies = append(r.proxies, c.Front(i).(*chaos.Proxy))
		if !r.cluster.Running(i) {
			r.must(r.cluster.Start(r.ctx, i))
		}
	}
	r.must(r.cluster.CreateTopic(r.ctx, r.topic, partitions, nil))
	for _, p := range r.proxies {
		p.Begin(seed, chaos.Mix{}, r.trace.decision)
	}
	t.Cleanup(func() {
		for _, p := range r.proxies {
			p.Heal()
		}
	})
	return r
}

func place(i int, target string) (kafka.Front, error) {
	return chaos.New(chaos.Options{Name: fmt.Sprintf("broker-%d", i), Target: target})
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)))
}

// under runs f in the storm, and for so long at least; then it heals.
func (r *rig) under(least time.Duration, f func()) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { chaos.Storm(stop, rand.New(rand.NewPCG(r.seed, 2)), r.proxies...) })
	timer := time.NewTimer(least)
	defer timer.Stop()
	healed := false
	heal := func() {
		if !healed {
			healed = true
			close(stop)
			wg.Wait()
			for _, p := range r.proxies {
				p.Heal()
			}
		}
	}
	defer heal() // also when f fails the test
	f()
	select {
	case <-timer.C:
	case <-r.ctx.Done():
	}
	heal()
}

// note keeps what the test itself did.
func (r *rig) note(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	r.ops = append(r.ops, line)
	r.trace.add("test: " + line)
}

// killLeader kills the leader of some partition, and starts it again a little later.
func (r *rig) killLeader() {
	r.t.Helper()
	leader, err := r.cluster.Leader(r.ctx, r.topic, r.rand.Int32N(partitions))
	r.must(err)
	r.note("SIGKILL to broker %d", leader)
	r.must(r.cluster.Kill(leader))
	r.pause(between(r.rand, 500*time.Millisecond, 4*time.Second))
	r.must(r.cluster.Start(r.ctx, leader))
	r.note("broker %d runs again", leader)
	if r.cluster.Brokers() > 1 {
		r.must(r.cluster.InSync(r.ctx, r.topic))
		r.note("all in sync")
	}
}

// roll restarts every broker in turn.
func (r *rig) roll() {
	r.t.Helper()
	for i := range r.cluster.Brokers() {
		r.note("SIGTERM to broker %d", i)
		r.must(r.cluster.Stop(i))
		r.must(r.cluster.Start(r.ctx, i))
		r.note("broker %d runs again", i)
		r.must(r.cluster.InSync(r.ctx, r.topic))
	}
}

func (r *rig) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.ctx.Done():
	}
}

// open opens the library on a spool.
func (r *rig) open(dir string) *spoold.Producer {
	r.t.Helper()
	cfg := spoold.DefaultConfig()
	r.must(cfg.Set("bootstrap.servers", r.cluster.Bootstrap()))
	r.must(cfg.Set("spool.path", dir))
	for k, v := range settings {
		r.must(cfg.Set(k, v))
	}
	p, err := spoold.Open(cfg, spoold.Env{Hooks: r.trace.hooks()})
	r.must(err)
	return p
}

// drain waits until nothing is pending.
func (r *rig) drain(p *spoold.Producer) {
	r.t.Helper()
	began := time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := began.Add(patience); ; {
		s := p.Status()
		if parked := parkedIn(s); parked != "" {
			r.t.Fatalf("parked: %s", parked)
		}
		if s.State != "running" {
			r.t.Fatalf("the producer %s: %s", s.State, s.Error)
		}
		if s.Pending == 0 {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%d records are pending %v after the last fault: %+v", s.Pending, patience, s)
		}
		<-tick.C
	}
	r.t.Logf("drained %.1f s after the last fault", time.Since(began).Seconds())
}

func parkedIn(s *spoold.Status) string {
	var out []string
	for _, t := range s.Topics {
		for _, q := range t.Partitions {
			if q.ParkReason != "" {
				out = append(out, fmt.Sprintf("%s-%d: %s: %s", t.Topic, q.Partition, q.ParkReason, q.Detail))
			}
		}
	}
	return strings.Join(out, "; ")
}

// stop closes a producer for good and checks what it counted.
func (r *rig) stop(p *spoold.Producer) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, 20*time.Second)
	defer cancel()
	r.must(p.Close(ctx))
	s := p.Status()
	sent, maybe := r.ledger.Total()
	if s.Accepted < uint64(sent-maybe) || s.Accepted > uint64(sent) || s.Acked != s.Accepted || s.DeadLettered != 0 || s.Expired != 0 {
		r.t.Errorf("status says accepted %d, acked %d, dead-lettered %d, expired %d; %d were sent, %d of them never answered",
			s.Accepted, s.Acked, s.DeadLettered, s.Expired, sent, maybe)
	}
}

// finish lets every zombie in, sends all that was captured once more, and reads the topic back.
func (r *rig) finish() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	var total chaos.Counts
	zombies, replayed := make(map[string]int), make(map[string]int)
	for _, p := range r.proxies {
		r.must(p.AwaitZombies(ctx))
		total.Add(p.Counts())
		for k, n := range p.ZombieAnswers() {
			zombies[k] += n
		}
		p.Cut()
	}
	before := r.compare("after the drain")
	for _, p := range r.proxies {
		answers, err := p.ReplayAll(ctx)
		r.must(err)
		for k, n := range answers {
			replayed[k] += n
		}
	}
	r.t.Logf("requests and faults: %v; done by the test: %s", total, strings.Join(r.ops, ", "))
	r.t.Logf("zombies were answered %v; requests replayed at the end %v", zombies, replayed)
	r.t.Log(r.trace.summary())
	if total.Total() == 0 {
		r.t.Error("no fault was made: this run proves nothing")
	}
	if again, most := r.trace.again(), 1000+100*(total.Total()+len(r.ops)); again > most {
		r.t.Errorf("%d batches were sent again, after %d faults: that is a busy loop (at most %d would do)", again, total.Total(), most)
	}
	if after := r.compare("after the replay"); after.Records != before.Records {
		r.t.Errorf("the replay of former requests added %d records", after.Records-before.Records)
	}
}

// compare reads the topic back and asks the ledger.
func (r *rig) compare(when string) *crash.Verdict {
	r.t.Helper()
	reading := r.ledger.Read()
	r.must(r.cluster.Scan(r.ctx, r.topic, func(rec *kafka.Record) error {
		reading.Record(rec.Partition, rec.Offset, rec.Key, rec.Value)
		return nil
	}))
	v := reading.Verdict()
	r.t.Logf("%s: %v", when, v)
	if !v.OK() {
		r.t.Fail()
	}
	return v
}
