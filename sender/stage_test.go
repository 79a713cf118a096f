package sender_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	sim "github.com/spoold/spoold/integration/sim/world"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// world is a scenario's host and cluster, with the simulator's models of Kafka, of a disk and of the network.
type world struct {
	*sim.Stage
	rng    *rand.Rand
	topics []string // that produce takes
	keys   int      // different record keys; 0: none
	n      int      // records so far
	// What becomes of a request, the first that says so: it is answered at once and was not written; the connection ends before it
	// is served; it is served and never answered; it is served, and the connection ends.
	refuse, drop, hold, lose func(to int32, r sender.Request) bool
	refused                  int // requests that were
}

var scenarioCfg = sender.Config{BatchSize: 200, BufferMemory: 1 << 20, RetryBackoffMs: 5, RetryBackoffMaxMs: 40, Seed: 1}

const hour = int64(3600_000)

// newWorld has a cluster without topics, and no process yet.
func newWorld(cfg broker.Config) *world {
	w := &world{Stage: sim.NewStage(cfg), rng: rand.New(rand.NewPCG(cfg.Seed, 77))}
	w.Fate = func(to int32, r sender.Request) sim.Fate {
		is := func(f func(int32, sender.Request) bool) bool { return f != nil && f(to, r) }
		switch {
		case is(w.refuse):
			w.refused++
			return sim.Refuse
		case is(w.drop):
			return sim.Drop
		case is(w.hold):
			return sim.Hold
		case is(w.lose):
			return sim.Lose
		}
		return sim.Serve
	}
	return w
}

// scenario is a host with nothing spooled yet and a cluster with topic "a" of one partition, which each broker has.
func scenario(brokers int32) *world {
	return scenarioOf(broker.Config{Brokers: brokers}, broker.TopicConfig{})
}

func scenarioOf(cfg broker.Config, topic broker.TopicConfig) *world {
	cfg.Seed = 1
	w := newWorld(cfg)
	w.topics = []string{"a"}
	w.Cluster.CreateTopic("a", 1, int(w.Cluster.Brokers()), topic)
	w.start(scenarioCfg)
	w.run(30)
	return w
}

func (w *world) start(cfg sender.Config) { w.Start(whole(cfg)) }

// crash ends the process at once, and starts the next one.
func (w *world) crash(cfg sender.Config) {
	w.Kill()
	w.start(cfg)
}

// away is crash, with so much time between the two processes.
func (w *world) away(ms int64) {
	w.Kill()
	w.Pass(ms)
	w.start(scenarioCfg)
}

// run lets time pass, unless the core stops for good.
func (w *world) run(ms int64) {
	end := w.Ms() + ms
	for w.Stopped() == nil && w.Next() <= end {
		w.Step()
	}
	if w.Stopped() == nil {
		w.Pass(end - w.Ms())
	}
}

func (w *world) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for end := w.Ms() + 60_000; !cond(); w.Step() {
		if w.Ms() > end || w.Stopped() != nil {
			w.fail(t, "%s never came to pass (stopped: %v)", what, w.Stopped())
		}
	}
}

func (w *world) fail(t *testing.T, format string, args ...any) {
	t.Helper()
	for _, l := range w.Trace() {
		t.Log(l)
	}
	t.Fatalf(format, args...)
}

// untilEnded goes on until the core has stopped for good and its process has ended, or for so long that it never will.
func (w *world) untilEnded() {
	for end := w.Ms() + 60_000; w.Running() && w.Ms() < end; {
		w.Step()
	}
}

// produce spools n records.
func (w *world) produce(n int) { w.Append(w.records(n)...) }

// records are n new ones, with values v1, v2 and so on.
func (w *world) records(n int) (list []bolt.RecordInput) {
	for range n {
		w.n++
		r := record(w.topics[w.rng.IntN(len(w.topics))], fmt.Sprintf("v%d", w.n))
		if k := w.rng.IntN(w.keys + 1); k > 0 {
			r.Key = []byte{byte(k)}
		}
		list = append(list, r)
	}
	return list
}

func record(topic, value string) bolt.RecordInput {
	return bolt.RecordInput{Topic: topic, Value: []byte(value), Timestamp: bolt.NoTimestamp, Partition: protocol.NoPartition}
}

// old is a record that was made so long ago.
func (w *world) old(value string, ms int64) bolt.RecordInput {
	r := record("a", value)
	r.Timestamp = w.Now().Wall - ms
	return r
}

// acked spools n records and waits until they have left.
func (w *world) acked(t *testing.T, n int) {
	t.Helper()
	w.produce(n)
	w.delivered(t)
}

// delivered waits until all has left, and looks for what is lost, doubled or out of order.
func (w *world) delivered(t *testing.T) {
	t.Helper()
	w.until(t, "delivery of everything", func() bool { return w.Pending() == 0 })
	w.check(t)
}

// check reads every log and compares it with what was spooled.
func (w *world) check(t *testing.T) {
	t.Helper()
	order, seen := map[string]int{}, map[string]bool{}
	for i, v := range w.Spooled() {
		order[string(v)] = i + 1
	}
	for _, topic := range w.Cluster.Topics() {
		for p := range topic.Partitions {
			last := 0
			for _, v := range w.values(topic.ID, p) {
				switch at := order[v]; {
				case at == 0:
					w.fail(t, "%s-%d: %s is in the log, and was never spooled", topic.Name, p, v)
				case seen[v]:
					w.fail(t, "%s is in the log twice, the second time in %s-%d", v, topic.Name, p)
				case at < last:
					w.fail(t, "%s-%d: %s (%d) is behind a later record (%d)", topic.Name, p, v, at, last)
				default:
					seen[v], last = true, at
				}
			}
		}
	}
	for _, e := range w.Entries() {
		switch v := string(e.Value); {
		case e.Pending:
		case !seen[v] && !e.Dead:
			w.fail(t, "%s is lost", v)
		case seen[v] && e.Dead:
			w.fail(t, "%s is a dead letter, and in the log", v)
		}
	}
}

// values are those in a partition's log.
func (w *world) values(id protocol.TopicID, partition int32) (list []string) {
	log, _ := w.Cluster.Log(id, partition)
	for _, b := range log {
		for _, r := range b.Records {
			list = append(list, string(r.Value))
		}
	}
	return list
}

// id is that of a topic, as it is now.
func (w *world) id(topic string) protocol.TopicID {
	list := w.Cluster.Topics()
	return list[slices.IndexFunc(list, func(x broker.Incarnation) bool { return x.Name == topic && !x.Deleted })].ID
}

// batches are those in the replicated log of a partition of topic a.
func (w *world) batches(partition int32) []broker.Logged {
	log, _ := w.Cluster.Log(w.id("a"), partition)
	return log
}

// log is batches of the first partition.
func (w *world) log() []broker.Logged { return w.batches(0) }

// recreate deletes topic a and makes one of that name.
func (w *world) recreate(partitions int) {
	w.Cluster.DeleteTopic("a")
	w.Cluster.CreateTopic("a", partitions, int(w.Cluster.Brokers()), broker.TopicConfig{})
}

// configure changes the configuration of topic a, and waits until brokers go by it.
func (w *world) configure(edit func(*broker.TopicConfig)) {
	w.Cluster.Configure("a", edit)
	w.run(12)
}

// restartBroker ends a broker in order, and starts it.
func (w *world) restartBroker(t *testing.T, id int32) {
	t.Helper()
	w.Cluster.Shutdown(id)
	w.until(t, "the end of a broker", func() bool { return !w.Cluster.Alive(id) })
	w.Cluster.Start(id)
	w.until(t, "its start", w.Cluster.Quiet)
}

// forget has all brokers forget producers that are too old by the timestamps of their records.
func (w *world) forget() {
	for id := range w.Cluster.Brokers() {
		w.Cluster.Expire(id)
	}
}

func (w *world) cutAll() {
	for id := range w.Cluster.Brokers() {
		w.Cut(id)
	}
}

// dead is how many dead letters there are.
func (w *world) dead() int { return int(w.Recovered().Counters.DeadLettered) }

func (w *world) status() *sender.TopicStatus { return &w.Core().Status(w.Now()).Topics[0] }

func (w *world) parkOf() spool.Park {
	for _, topic := range w.Core().Status(w.Now()).Topics {
		for _, p := range topic.Partitions {
			if p.Park.Parked() {
				return p.Park
			}
		}
	}
	return spool.Park{}
}

// parked waits until a partition is parked, for that reason.
func (w *world) parked(t *testing.T, reason string) {
	t.Helper()
	w.until(t, "a park", func() bool { return w.parkOf().Parked() })
	if got := w.parkOf().Reason; got != reason {
		t.Errorf("parked for %q, want %q", got, reason)
	}
}

// resolve has an operator decide on what is parked of topic a; partition -1: on all of it.
func (w *world) resolve(t *testing.T, partition int32, c sender.Choice) sender.Resolved {
	t.Helper()
	e, r, err := w.Core().Resolve(w.Now(), "a", partition, c)
	if err != nil {
		t.Fatal(err)
	}
	w.Carry(e)
	return r
}

func isProduce(_ int32, r sender.Request) bool { return r.Kind == sender.KindProduce }

// doubt leaves n batches sealed and in the log, whose answers the host has not received.
func (w *world) doubt(t *testing.T, n int) {
	t.Helper()
	w.acked(t, 1)
	before := len(w.log())
	w.hold = isProduce
	for range n {
		w.produce(5) // a batch has room for no more
		w.run(12)
	}
	w.until(t, "the batches' arrival", func() bool { return len(w.log()) == before+n })
	w.hold = nil
}

// sealed waits until a batch is sealed on disk, and returns its seal.
func (w *world) sealed(t *testing.T) spool.Seal {
	t.Helper()
	w.until(t, "a seal on disk", func() bool { return len(w.Recovered().Seals) == 1 })
	return w.Recovered().Seals[0]
}

// partition is what is on disk of the first partition.
func (w *world) partition() (p spool.PartitionState) {
	if list := w.Recovered().Partitions; len(list) > 0 {
		p = list[0]
	}
	return p
}

// editTopics has brokers for which it is so say something else of topics.
func (w *world) editTopics(of func(int32) bool, edit func(*kmsg.MetadataResponseTopic)) {
	w.Edit = func(from int32, m kmsg.Response) {
		if r, ok := m.(*kmsg.MetadataResponse); ok && of(from) {
			for i := range r.Topics {
				edit(&r.Topics[i])
			}
		}
	}
}

func everyBroker(int32) bool { return true }

// makesTopics has the cluster make topics for whoever asks for them (auto.create.topics.enable).
func (w *world) makesTopics() {
	decide := w.Fate
	w.Fate = func(to int32, r sender.Request) sim.Fate {
		if m, ok := r.Message.(*kmsg.MetadataRequest); ok && m.AllowAutoTopicCreation {
			for _, x := range m.Topics {
				if !w.Cluster.Exists(*x.Topic) {
					w.Cluster.CreateTopic(*x.Topic, 1, 1, broker.TopicConfig{})
				}
			}
		}
		return decide(to, r)
	}
}
