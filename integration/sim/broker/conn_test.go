package broker_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/raw"
)

// SocketServer mutes a channel while its request is served: a client that pipelines is served in order, and one request that waits
// holds up those behind it.
func TestRequestsOfOneConnectionAreServedOneAtATime(t *testing.T) {
	l, topic, leader := three(t, broker.Config{Lag: 10_000, Session: 10_000}, 1)
	l.Slow((leader+1)%3, true)
	k, _ := l.Open(leader, func() {})
	var order []string
	for i := range int32(3) {
		k.Receive(l.batch(topic, 2*i, 1000), func(r kmsg.Response) {
			order = append(order, outcome(&r.(*kmsg.ProduceResponse).Topics[0].Partitions[0]))
		})
	}
	k.Receive(raw.ListOffsets(7, topic, raw.Latest, 0), func(kmsg.Response) { order = append(order, "end") })
	l.pass(500)
	if r := l.of2(topic, leader); r.End != 2 || len(order) != 0 {
		t.Errorf("the first request waits for a follower: log ends at %d, want 2; answers %v", r.End, order)
	}
	l.pass(4000)
	want := []string{"REQUEST_TIMED_OUT", "REQUEST_TIMED_OUT", "REQUEST_TIMED_OUT", "end"}
	if !slices.Equal(order, want) {
		t.Errorf("answers %v, want %v", order, want)
	}
}

// A broker reads what is in the socket; that nobody is there any more it notices later, or never.
func TestALateRequestMayBeServedAfterItsClientHasGone(t *testing.T) {
	for _, serve := range []bool{true, false} {
		l, topic, leader := three(t, broker.Config{}, 1)
		k, _ := l.Open(leader, func() { t.Error("down after the client's own end") })
		answered := false
		for i := range int32(2) {
			k.Receive(l.batch(topic, 2*i, 1000), func(kmsg.Response) { answered = true })
		}
		k.Close(serve)
		l.pass(1000)
		want := "0:e0 s0+2" // it was being served already
		if serve {
			want += " 2:e0 s2+2"
		}
		if got := l.log(topic); got != want || answered {
			t.Errorf("serve %v: log %q, want %q; answered %v", serve, got, want, answered)
		}
		l.Kill(leader) // must not call down
	}
}

// What a frozen process has read of a socket it serves when it goes on, unless the world forgets it.
func TestAFrozenBrokerServesWhatItHasTakenUnlessThatIsForgotten(t *testing.T) {
	for _, forget := range []bool{true, false} {
		l, topic, leader := three(t, broker.Config{Session: 10_000}, 1)
		k, _ := l.Open(leader, func() {})
		l.Pause(leader)
		k.Receive(l.batch(topic, 0, 1000), func(kmsg.Response) {})
		l.pass(50)
		want := "0:e0 s0+2"
		if forget {
			k.Forget()
			want = ""
		} else {
			k.Close(false)
		}
		l.Resume(leader)
		l.pass(1000)
		if got := l.log(topic); got != want {
			t.Errorf("forgotten %v: log %q, want %q", forget, got, want)
		}
	}
}

// What a killed broker was about to answer never arrives; what it answered before came in order.
func TestAnswersOfOneConnectionComeInOrderUntilTheBrokerIsKilled(t *testing.T) {
	shapes := map[string]bool{}
	for steps := range 60 {
		l, topic, leader := three(t, broker.Config{Seed: uint64(steps)}, 2)
		var got []string
		k, _ := l.Open(leader, func() { got = append(got, "closed") })
		for i := range int32(5) {
			k.Receive(l.batch(topic, 2*i, 30_000), func(r kmsg.Response) {
				got = append(got, outcome(&r.(*kmsg.ProduceResponse).Topics[0].Partitions[0]))
			})
		}
		for range steps {
			l.a.Step()
		}
		l.Kill(leader)
		l.pass(1000)
		want := []string{"NONE off=0", "NONE off=2", "NONE off=4", "NONE off=6", "NONE off=8"}[:len(got)-1]
		if !slices.Equal(got, append(slices.Clone(want), "closed")) {
			t.Fatalf("seed %d: answers %v, want the first ones in order and then the end", steps, got)
		}
		shapes[strings.Join(got, ",")] = true
	}
	if len(shapes) < 3 {
		t.Errorf("a kill at 60 moments gives only %d kinds of answers: %v", len(shapes), shapes)
	}
}

// A paused broker keeps its connections, and serves what has reached it when it goes on.
func TestAPausedBrokerServesItsSocketsWhenItGoesOn(t *testing.T) {
	l := newLab(t, broker.Config{})
	topic := l.topic(1, broker.TopicConfig{})
	k, _ := l.Open(0, func() { t.Error("down") })
	l.Pause(0)
	var got string
	k.Receive(l.batch(topic, 0, 1000), func(r kmsg.Response) { got = outcome(&r.(*kmsg.ProduceResponse).Topics[0].Partitions[0]) })
	l.pass(10_000)
	if got != "" {
		t.Fatalf("a paused broker answers %s", got)
	}
	l.Resume(0)
	l.pass(10)
	if got != "NONE off=0" {
		t.Errorf("after the pause: %q; it leads still, by the metadata that it has", got)
	}
}

// KIP-219: the answer goes out at once, and the next request is read when the time is over.
func TestAThrottledConnectionIsAnsweredAtOnceAndReadAgainLater(t *testing.T) {
	l := newLab(t, broker.Config{})
	topic := l.topic(1, broker.TopicConfig{})
	l.Weather = broker.Weather{Throttle: 1, ThrottleMs: 500}
	k, _ := l.Open(0, func() {})
	var at []int64
	var told int64
	for i := range int32(2) {
		k.Receive(l.batch(topic, 2*i, 1000), func(r kmsg.Response) {
			at = append(at, l.a.Now())
			if len(at) == 1 {
				told = int64(r.(*kmsg.ProduceResponse).ThrottleMillis)
			}
		})
	}
	l.pass(2000)
	if len(at) != 2 || told == 0 || at[1]-at[0] < told {
		t.Errorf("answers at %v, throttled by %d ms", at, told)
	}
}

func TestWhatIsProducedWithoutAcksIsAppendedAndNotAnswered(t *testing.T) {
	l := newLab(t, broker.Config{})
	topic := l.topic(1, broker.TopicConfig{})
	k, _ := l.Open(0, func() {})
	m := l.batch(topic, 0, 1000)
	m.Acks = 0
	k.Receive(m, func(kmsg.Response) { t.Error("answered") })
	ended := false
	k.Receive(raw.ListOffsets(7, topic, raw.Latest, 0), func(kmsg.Response) { ended = true })
	l.pass(100)
	if !ended || l.log(topic) != "0:e0 s0+2" {
		t.Errorf("log %q; the next request was answered: %v", l.log(topic), ended)
	}
}
