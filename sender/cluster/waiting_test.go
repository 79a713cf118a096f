package cluster

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// While nothing waited, metadata said that the topic is not there, or that it has fewer partitions than it had: nobody had
// to be asked again then. When a record comes, it must not wait until metadata is old.
func TestARecordForATopicThatWasGoneIsAskedAboutAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		was  kmsg.MetadataResponseTopic
		asks bool
	}{
		{"it was deleted", failed("a", protocol.UnknownTopicOrPartition), true},
		{"access was denied", failed("a", protocol.TopicAuthorizationFailed), true},
		{"it had fewer partitions", topic("a", id(1), [2]int32{1, 5}), true},
		{"it was there", topic("a", id(1), [2]int32{1, 5}, [2]int32{1, 5}), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			a := r.Follow("a", id(1))
			a.Expected = 2
			r.SetPending(a, true)
			r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 5}, [2]int32{1, 5}))
			r.SetPending(a, false)
			r.after(1000)
			r.Want()
			r.metadata(r.asked(), tt.was)
			r.after(1000)
			if r.Update(); len(r.Requests()) != 0 {
				t.Fatal("asked again although nothing waits")
			}
			r.SetPending(a, true)
			r.Update()
			if asked := len(r.Requests()) == 1; asked != tt.asks {
				t.Errorf("asked: %v, want %v", asked, tt.asks)
			}
		})
	}
}

// Records for a topic may be given up before it could be asked about: it is asked about when others come.
func TestATopicGivenUpBeforeItWasAskedAboutIsAskedLater(t *testing.T) {
	r := newRig(t, nil)
	q := r.asked()
	a, b := r.Follow("a", id(1)), r.Follow("b", id(2))
	for range 3 { // neither is listed twice
		for _, topic := range []*Topic{a, b} {
			r.SetPending(topic, true)
			r.SetPending(topic, false)
		}
	}
	r.SetPending(b, true)
	r.metadata(q)
	q = r.asked()
	if got := names(q); !slices.Equal(got, []string{"b"}) {
		t.Fatalf("asked about %v, want b", got)
	}
	r.SetPending(a, true)
	r.metadata(q, topic("b", id(2), [2]int32{1, 1}))
	if got := names(r.asked()); !slices.Equal(got, []string{"a"}) {
		t.Errorf("asked about %v, want a", got)
	}
}

// Who asks again and again because a broker does not lead what metadata says it leads waits longer each time, as long as metadata says the
// same, and no longer than retry.backoff.max.ms.
func TestTheSameMetadataAgainIsAskedForMoreAndMoreSlowly(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", id(1))
	r.SetPending(a, true)
	epoch := int32(1)
	r.metadata(r.asked(), topic("a", id(1), [2]int32{0, epoch}))
	// wait answers, and gives how long the next request waits.
	wait := func() int64 {
		r.Want()
		began := r.now
		for r.Update(); ; r.Update() {
			if q := r.Requests(); len(q) == 1 {
				r.metadata(q[0], topic("a", id(1), [2]int32{0, epoch}))
				return r.now - began
			}
			if r.now-began > 10_000 || r.WakeAt() <= r.now {
				t.Fatalf("after %d ms: not asked, wake at %d", r.now-began, r.WakeAt()-began)
			}
			r.after(r.WakeAt() - r.now)
		}
	}
	wait()
	for n, most := range []int64{120, 240, 480, 960, 1000, 1000} {
		if w := wait(); w > most || w < most*2/3 {
			t.Errorf("time %d: asked after %d ms, want %d at most", n, w, most)
		}
	}
	epoch++
	wait() // it brings news
	if w := wait(); w != 100 {
		t.Errorf("after news: asked after %d ms, want retry.backoff.ms", w)
	}
	// What comes long after is nobody's repetition.
	wait()
	wait()
	r.after(10_000)
	wait()
	if w := wait(); w != 100 {
		t.Errorf("after a quiet time: asked after %d ms, want retry.backoff.ms", w)
	}
}

// A topic that is created, deleted and missing again is asked for again.
func TestATopicThatIsMissingAgainIsCreatedAgain(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AutoCreate = true })
	a := r.Follow("a", protocol.TopicID{})
	r.SetPending(a, true)
	for n := range byte(3) {
		r.after(100_000)
		r.Want()
		r.metadata(r.asked(), failed("a", protocol.UnknownTopicOrPartition))
		q := r.asked()
		if m := q.Message.(*kmsg.MetadataRequest); !m.AllowAutoTopicCreation || !slices.Equal(names(q), []string{"a"}) {
			t.Fatalf("time %d: asked about %v, creation %v", n, names(q), m.AllowAutoTopicCreation)
		}
		r.metadata(q, topic("a", id(1), [2]int32{1, 1}))
		r.after(100_000)
		if q := r.asked(); q.Message.(*kmsg.MetadataRequest).AllowAutoTopicCreation {
			t.Fatalf("time %d: what is there is created", n)
		} else {
			r.metadata(q, topic("a", id(1), [2]int32{1, 1}))
		}
	}
}

// An answer about new topics alone is no reason to look at any other, unless it shows another cluster, link or broker.
func TestAnAnswerAboutAFewTopicsConcernsNoOthers(t *testing.T) {
	r := newRig(t, nil)
	old := r.Follow("old", id(1))
	r.SetPending(old, true)
	here := func(topics ...kmsg.MetadataResponseTopic) *kmsg.MetadataResponse {
		m := &kmsg.MetadataResponse{ClusterID: kmsg.StringPtr("here"), Topics: topics}
		m.Brokers = append(m.Brokers, kmsg.NewMetadataResponseBroker())
		return m
	}
	if !r.Handle(r.asked(), Answer{Message: here(topic("old", id(1), [2]int32{0, 1}))}) {
		t.Error("a full answer concerns all")
	}
	fresh := func(name string, m *kmsg.MetadataResponse) bool {
		r.SetPending(r.Follow(name, protocol.TopicID{}), true)
		return r.Handle(r.asked(), Answer{Message: m})
	}
	if fresh("a", here(topic("a", id(2), [2]int32{0, 1}))) {
		t.Error("an answer about one new topic concerns all")
	}
	more := here(topic("b", id(3), [2]int32{0, 1}))
	more.Brokers = append(more.Brokers, kmsg.MetadataResponseBroker{NodeID: 1})
	if !fresh("b", more) {
		t.Error("a new broker concerns all")
	}
	foreign := here()
	foreign.ClusterID = kmsg.StringPtr("elsewhere")
	if !fresh("c", foreign) {
		t.Error("another cluster concerns all")
	}
	r.after(100_000)
	if !r.Handle(r.asked(), Answer{Message: here()}) {
		t.Error("the right cluster again concerns all")
	}
}

// One more topic costs the same beside 10,000 others as beside 10: it is asked about alone.
func BenchmarkNewTopic(b *testing.B) {
	for _, others := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			v := New(Config{AutoCreate: true, MetadataMaxAgeMs: 1 << 50, MetadataMaxIdleMs: 1 << 50, Backoff: &protocol.Backoff{Ms: 1, MaxMs: 1}})
			v.Begin(1)
			answer := &kmsg.MetadataResponse{ClusterID: kmsg.StringPtr("here")}
			for n := range others {
				name := fmt.Sprintf("old-%d", n)
				v.SetPending(v.Follow(name, id(1)), true)
				answer.Topics = append(answer.Topics, topic(name, id(1), [2]int32{-1, 0}))
			}
			v.Update()
			v.Handle(v.Requests()[0], Answer{Message: answer})
			answer.Topics = answer.Topics[:1]
			for n := 0; b.Loop(); n++ {
				v.Begin(1)
				name := fmt.Sprintf("new-%d", n)
				v.SetPending(v.Follow(name, id(2)), true)
				v.Update()
				answer.Topics[0] = topic(name, id(2), [2]int32{-1, 0})
				v.Handle(v.Requests()[0], Answer{Message: answer})
			}
		})
	}
}

// One of two brokers may be cut off; where there is one, its answer is enough.
func TestOneOfTwoBrokersIsNotEnoughForATopicToBeAbsent(t *testing.T) {
	for n := range int32(2) {
		r := newRig(t, nil)
		a := r.Follow("a", protocol.TopicID{})
		m := &kmsg.MetadataResponse{Topics: []kmsg.MetadataResponseTopic{failed("a", protocol.UnknownTopicOrPartition)}}
		m.Brokers = brokerList(0, 1)[:n+1]
		r.Handle(r.asked(), Answer{Message: m})
		if got, want := r.Absent(a), n == 0; got != want {
			t.Errorf("%d brokers: absent %v, want %v", n+1, got, want)
		}
	}
}

// With no broker to ask by itself, whichever answers is asked again; what it says is not believed before the time is over.
func TestARecreatedTopicIsNotBelievedOfBrokersUnknown(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", id(1))
	r.SetPending(a, true)
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 1}))
	ask := func() Request {
		r.after(2000)
		r.Want()
		r.Update()
		for _, q := range r.Requests() {
			if q.Message != nil {
				return q
			}
		}
		t.Fatal("not asked")
		return Request{}
	}
	for range 3 {
		q := ask()
		if q.Broker != AnyBroker {
			t.Fatalf("broker %d is asked, which is not connected", q.Broker)
		}
		if r.metadata(q, topic("a", id(2), [2]int32{1, 1})); a.Recreated || !a.Uncertain() {
			t.Fatalf("recreated %v, uncertain %v", a.Recreated, a.Uncertain())
		}
	}
	r.after(300_000)
	if r.metadata(ask(), topic("a", id(2), [2]int32{1, 1})); !a.Recreated {
		t.Error("it is not believed after metadata.max.age.ms")
	}
}
