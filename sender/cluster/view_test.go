package cluster

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// rig drives one View by hand.
type rig struct {
	*View
	t   *testing.T
	now int64
}

func newRig(t *testing.T, change func(*Config)) *rig {
	t.Helper()
	c := Config{RetryBackoffMs: 100, MetadataMaxAgeMs: 300_000, MetadataMaxIdleMs: 300_000, Backoff: &protocol.Backoff{Ms: 100, MaxMs: 1000, Rand: rand.New(rand.NewPCG(1, 1))}}
	if change != nil {
		change(&c)
	}
	r := &rig{View: New(c), t: t, now: 1}
	r.Begin(r.now)
	return r
}

func (r *rig) after(ms int64) {
	r.now += ms
	r.Begin(r.now)
}

// asked is the one request that Update makes.
func (r *rig) asked() Request {
	r.t.Helper()
	r.Update()
	q := r.Requests()
	if len(q) != 1 {
		r.t.Fatalf("Update asks for %d things, want 1", len(q))
	}
	return q[0]
}

func id(n byte) protocol.TopicID { return protocol.TopicID{n} }

// topic is one topic as metadata has it: of partition n, leaders[n] is the broker and the leader epoch.
func topic(name string, tid protocol.TopicID, leaders ...[2]int32) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic, t.TopicID = kmsg.StringPtr(name), tid
	for n, l := range leaders {
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Partition, p.Leader, p.LeaderEpoch = int32(n), l[0], l[1]
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

func failed(name string, code protocol.ErrorCode) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic, t.ErrorCode = kmsg.StringPtr(name), int16(code)
	return t
}

// metadata answers q with brokers 0 to 2 and these topics, and returns what changed.
func (r *rig) metadata(q Request, topics ...kmsg.MetadataResponseTopic) []Change {
	m := kmsg.NewPtrMetadataResponse()
	m.ClusterID = kmsg.StringPtr("here")
	for n := range int32(3) {
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID = n
		m.Brokers = append(m.Brokers, b)
	}
	m.Topics = topics
	r.Handle(q, Answer{Message: m})
	return r.Changes()
}

// connect opens the connection to a broker.
func (r *rig) connect(broker int32) {
	r.t.Helper()
	r.Connect(r.Broker(broker))
	q := r.Requests()
	if len(q) != 1 || q[0].Message != nil || q[0].Broker != broker {
		r.t.Fatalf("Connect asks for %+v, want a connection to broker %d", q, broker)
	}
	r.Handle(q[0], Answer{})
	r.Changes()
}

func kinds(cs []Change) map[ChangeKind]Change {
	m := make(map[ChangeKind]Change)
	for _, c := range cs {
		m[c.Kind] = c
	}
	return m
}

func TestLeaderEpochNeverGoesBack(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", protocol.TopicID{})
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 7}))
	for _, tt := range []struct {
		name          string
		leader, epoch int32
		wantLeader    int32
		wantEpoch     int32
	}{
		{"an older epoch", 2, 6, 1, 7},
		{"the same", 1, 7, 1, 7},
		{"a newer epoch", 2, 8, 2, 8},
		{"no leader in a newer epoch", -1, 9, -1, 9},
	} {
		r.after(1000)
		r.Want()
		r.metadata(r.asked(), topic("a", id(1), [2]int32{tt.leader, tt.epoch}))
		if l, e := a.Leader(0); l != tt.wantLeader || e != tt.wantEpoch {
			t.Errorf("%s: leader %d, epoch %d, want %d and %d", tt.name, l, e, tt.wantLeader, tt.wantEpoch)
		}
	}
	r.Leads(a, 0, 0, 9)
	if l, _ := a.Leader(0); l != -1 {
		t.Errorf("an answer with the same epoch makes %d the leader, want none", l)
	}
	if r.Leads(a, 0, 0, 10); kinds(r.Changes())[LeaderChanged].Topic != a {
		t.Error("an answer with a newer epoch is not taken")
	}
}

func TestWayIsAnotherOneAfterEachChange(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", protocol.TopicID{})
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 1}))
	if _, o, ok := r.Way(a, 0); ok || o.Hold != Gathered {
		t.Errorf("without a connection there is a way, or hold %d, want %d", o.Hold, Gathered)
	}
	q := r.Requests()
	if len(q) != 1 || q[0].Broker != 1 {
		t.Fatalf("the way to broker 1 asks for %+v", q)
	}
	r.Handle(q[0], Answer{})
	seen := map[uint64]string{}
	check := func(what string, fresh bool) {
		t.Helper()
		w, _, ok := r.Way(a, 0)
		if !ok {
			t.Fatalf("%s: no way", what)
		}
		if before, known := seen[w.Number]; known == fresh {
			t.Errorf("%s: way %d, which is that of %q: %v", what, w.Number, before, known)
		}
		seen[w.Number] = what
	}
	check("first", true)
	check("again", false)
	r.after(1000)
	r.Want()
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 2}))
	check("another epoch", true)
	r.Disconnected(1, errors.New("cut"))
	if _, o, ok := r.Way(a, 0); ok || o.Why != "cut" {
		t.Errorf("after the connection ended: way %v, obstacle %+v", ok, o)
	}
	r.Handle(r.Requests()[0], Answer{})
	check("another connection", true)
}

func TestPartitionBehindAnUnreachableBrokerIsPassedBy(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", protocol.TopicID{})
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 1}))
	r.connect(0)
	r.Way(a, 0)
	r.Handle(r.Requests()[0], Answer{Err: errors.New("refused")})
	if _, o, _ := r.Way(a, 0); o.Hold != PassedBy || o.Why != "refused" {
		t.Errorf("obstacle %+v, want that others pass it by", o)
	}
	if q := r.Requests(); len(q) != 0 {
		t.Errorf("connects again at once: %+v", q)
	}
}

func TestRecreatedTopicIsBelievedWhenTwoBrokersShowIt(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", protocol.TopicID{})
	if c := kinds(r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 1}))); c[TopicBound].Topic != a || a.Bound != id(1) {
		t.Fatalf("bound to %v", a.Bound)
	}
	for n := range int32(3) {
		r.connect(n)
	}
	// ask asks once more, and gives whom.
	ask := func(tid protocol.TopicID) (int32, map[ChangeKind]Change) {
		r.after(2000)
		r.Want()
		q := r.asked()
		return q.Broker, kinds(r.metadata(q, topic("a", tid, [2]int32{1, 1})))
	}
	// recreated shows the id until it is believed, and gives the brokers that were asked by themselves.
	recreated := func(tid protocol.TopicID) (asked []int32) {
		for range 5 {
			from, c := ask(tid)
			if from != AnyBroker {
				asked = append(asked, from)
			}
			if c[TopicRecreated].Topic == a {
				return asked
			}
			if a.Recreated || !a.Uncertain() {
				t.Errorf("not believed yet: recreated %v, uncertain %v", a.Recreated, a.Uncertain())
			}
			if _, o, ok := r.Way(a, 0); ok || o.Hold != PassedBy {
				t.Error("there is a way to an uncertain topic")
			}
		}
		t.Fatal("it is never believed")
		return nil
	}
	ask(id(2))
	if ask(id(1)); a.Recreated || a.Uncertain() {
		t.Errorf("seen under its own id again: recreated %v, uncertain %v", a.Recreated, a.Uncertain())
	}
	if asked := recreated(id(2)); len(asked) != 2 || asked[0] == asked[1] {
		t.Errorf("asked %v by themselves, want two brokers", asked)
	}
	if _, c := ask(id(1)); !c[TopicReturned].Up || a.Recreated {
		t.Errorf("seen under its own id: recreated %v", a.Recreated)
	}
	recreated(id(2))
	if r.Rebind(a); a.Bound != id(2) || a.Recreated || !a.Same() {
		t.Errorf("bound anew to %v, recreated %v", a.Bound, a.Recreated)
	}
}

func TestTopicIsAbsentWhenTwoBrokersSaySo(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", protocol.TopicID{})
	r.SetPending(a, true)
	r.metadata(r.asked(), failed("a", protocol.UnknownTopicOrPartition))
	r.connect(0)
	r.connect(1)
	var asked []int32
	for n := 0; n < 4 && !r.Absent(a); n++ {
		r.after(2000)
		q := r.asked()
		asked = append(asked, q.Broker)
		r.metadata(q, failed("a", protocol.UnknownTopicOrPartition))
	}
	if len(asked) < 2 || asked[0] == asked[1] || asked[0] == AnyBroker {
		t.Errorf("asked %v, want two brokers, each by itself", asked)
	}
	if !r.Absent(a) {
		t.Error("two brokers do not have it, and it is not absent")
	}
}

func TestMissingTopicsAreCreatedByARequestOfTheirOwn(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AutoCreate = true })
	a, b := r.Follow("a", protocol.TopicID{}), r.Follow("b", protocol.TopicID{})
	r.SetPending(a, true)
	r.SetPending(b, true)
	q := r.asked()
	if m := q.Message.(*kmsg.MetadataRequest); m.AllowAutoTopicCreation || len(m.Topics) != 2 {
		t.Fatalf("the first request: creation %v, %d topics", m.AllowAutoTopicCreation, len(m.Topics))
	}
	r.metadata(q, topic("a", id(1), [2]int32{1, 1}), failed("b", protocol.UnknownTopicOrPartition))
	q = r.asked()
	if m := q.Message.(*kmsg.MetadataRequest); !m.AllowAutoTopicCreation || len(m.Topics) != 1 || *m.Topics[0].Topic != "b" {
		t.Fatalf("the second request: creation %v, topics %+v", m.AllowAutoTopicCreation, m.Topics)
	}
	if g := r.Generation(); g != 1 {
		t.Errorf("generation %d, want 1", g)
	}
	r.metadata(q, failed("b", protocol.UnknownTopicOrPartition))
	r.SetPending(b, false)
	r.after(5000)
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 1}), failed("b", protocol.UnknownTopicOrPartition))
	r.after(5000)
	r.Want()
	if m := r.asked().Message.(*kmsg.MetadataRequest); m.AllowAutoTopicCreation {
		t.Error("a topic for which nothing waits is created")
	}
}

func TestMissingTopicIsReportedOnce(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", protocol.TopicID{})
	r.SetPending(a, true)
	reports := 0
	for range 4 {
		r.after(5000)
		if kinds(r.metadata(r.asked(), failed("a", protocol.UnknownTopicOrPartition)))[TopicFailed].Text != "" {
			reports++
		}
	}
	if reports != 1 {
		t.Errorf("reported %d times, want once", reports)
	}
}

func TestMetadataIsAskedForWhenItIsOld(t *testing.T) {
	r := newRig(t, nil)
	r.metadata(r.asked())
	if r.Update(); len(r.Requests()) != 0 || r.WakeAt() != r.now+300_000 {
		t.Errorf("woken at %d, now %d", r.WakeAt(), r.now)
	}
	r.after(300_000)
	r.asked()
}

func TestAnotherBrokerConfirmsTheLeader(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", protocol.TopicID{})
	one := topic("a", id(1), [2]int32{1, 1})
	r.metadata(r.asked(), one)
	r.connect(1)
	var c LeaderCheck
	if v, _ := r.Confirm(a, 0, &c); v != Later {
		t.Errorf("no other broker is connected: verdict %d, want %d", v, Later)
	}
	for _, q := range r.Requests() {
		r.Handle(q, Answer{})
	}
	v, gen := r.Confirm(a, 0, &c)
	if v != Again {
		t.Fatalf("verdict %d, want %d", v, Again)
	}
	r.after(2000)
	q := r.asked()
	if q.Broker == 1 || q.Broker == AnyBroker {
		t.Errorf("broker %d is asked about leader 1", q.Broker)
	}
	if r.metadata(q, one); r.Generation() < gen {
		t.Fatalf("generation %d, waited for %d", r.Generation(), gen)
	}
	if v, _ := r.Confirm(a, 0, &c); v != Confirmed {
		t.Errorf("another broker answered: verdict %d, want %d", v, Confirmed)
	}
	var waits LeaderCheck
	r.Confirm(a, 0, &waits)
	r.after(300_000)
	if v, _ := r.Confirm(a, 0, &waits); v != Confirmed {
		t.Errorf("after metadata.max.age.ms: verdict %d, want %d", v, Confirmed)
	}
}

func TestIdleTopicLeavesMetadataRequests(t *testing.T) {
	r := newRig(t, nil)
	a, b := r.Follow("a", protocol.TopicID{}), r.Follow("b", protocol.TopicID{})
	r.SetPending(a, true)
	r.SetPending(b, true)
	both := []kmsg.MetadataResponseTopic{topic("a", id(1), [2]int32{1, 1}), topic("b", id(2), [2]int32{1, 1})}
	r.metadata(r.asked(), both...)
	r.SetPending(b, false)
	names := func() (list []string) {
		q := r.asked()
		for _, t := range q.Message.(*kmsg.MetadataRequest).Topics {
			list = append(list, *t.Topic)
		}
		r.metadata(q, both[:len(list)]...)
		return list
	}
	r.after(299_999)
	r.Want()
	if got := names(); len(got) != 2 {
		t.Fatalf("1 ms before metadata.max.idle.ms it asks about %q, want both", got)
	}
	r.after(5000)
	r.Want()
	if got := names(); len(got) != 1 || got[0] != "a" {
		t.Fatalf("after metadata.max.idle.ms it asks about %q, want the other one only", got)
	}
	r.after(5000)
	r.SetPending(b, true)
	if _, _, ok := r.Way(b, 0); ok {
		t.Error("there is a way to a leader that was not asked about for long")
	}
	if got := names(); len(got) != 2 {
		t.Errorf("when a record waits again it asks about %q, want both", got)
	}
	if l, _ := b.Leader(0); l != 1 {
		t.Errorf("leader %d, want 1", l)
	}
}
