package cluster

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

func TestTheLinkIsDownSinceTheFirstCallAlsoAtAgeZero(t *testing.T) {
	for _, first := range []int64{0, 5} {
		v := New(Config{})
		v.Begin(first)
		v.Begin(first + 10)
		if l := v.Link(); l.Up || l.Since != first {
			t.Errorf("link %+v, want it down since %d", l, first)
		}
	}
}

func TestALeaderIsConfirmedWithoutAnotherBrokerOnlyAfterItsTime(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", protocol.TopicID{})
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 1}))
	var c LeaderCheck
	r.Confirm(a, 0, &c)
	r.after(299_999)
	if v, _ := r.Confirm(a, 0, &c); v != Later {
		t.Errorf("1 ms before metadata.max.age.ms: verdict %d, want %d", v, Later)
	}
	r.after(1)
	if v, _ := r.Confirm(a, 0, &c); v != Confirmed {
		t.Errorf("after metadata.max.age.ms: verdict %d, want %d", v, Confirmed)
	}
}

func TestConnectedBrokersAreCounted(t *testing.T) {
	r := newRig(t, nil)
	r.metadata(r.asked())
	r.connect(0)
	r.connect(2)
	if n := r.Connected(); n != 2 {
		t.Errorf("%d brokers are connected, want 2", n)
	}
}

// Each answer has a throttle_time_ms, and most say 0.
func TestAnAnswerWithoutThrottleEndsNone(t *testing.T) {
	r := newRig(t, nil)
	r.metadata(r.asked())
	r.Throttle(1, 500)
	r.Throttle(1, 0)
	if !r.Throttled(r.Broker(1)) {
		t.Error("a throttle of 500 ms is over at once")
	}
}

func TestAPartitionThatNothingIsKnownOfHasNoLeader(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", protocol.TopicID{})
	if l, e := a.Leader(0); l != -1 || e != 0 {
		t.Errorf("leader %d, epoch %d, want -1 and 0", l, e)
	}
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 7}))
	r.after(1000)
	r.Want()
	r.metadata(r.asked(), topic("a", id(1), [2]int32{2, 0}))
	if l, e := a.Leader(0); l != 1 || e != 7 {
		t.Errorf("leader %d, epoch %d after news of epoch 0, want 1 and 7", l, e)
	}
}

func TestALeaderOfANewEpochIsToldFromOneThatCameBack(t *testing.T) {
	r := newRig(t, nil)
	r.Follow("a", protocol.TopicID{})
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 7}))
	for _, tt := range []struct {
		leader, epoch int32
		up            bool
	}{{-1, 7, false}, {1, 7, false}, {1, 8, true}} {
		r.after(1000)
		r.Want()
		c, ok := kinds(r.metadata(r.asked(), topic("a", id(1), [2]int32{tt.leader, tt.epoch})))[LeaderChanged]
		if !ok || c.Up != tt.up {
			t.Errorf("leader %d in epoch %d: change %v, of a new epoch %v, want %v", tt.leader, tt.epoch, ok, c.Up, tt.up)
		}
	}
}

func TestATopicThatFailedHasNoWayUntilAnAnswerNamesALeader(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", protocol.TopicID{})
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 7}))
	r.connect(0)
	r.after(1000)
	r.Want()
	r.metadata(r.asked(), failed("a", protocol.LeaderNotAvailable))
	if l, _ := a.Leader(0); l != -1 {
		t.Errorf("leader %d of a topic that failed", l)
	}
	if _, o, ok := r.Way(a, 0); ok || o != (Obstacle{Hold: PassedBy}) {
		t.Errorf("way %v, obstacle %+v, want that it is passed by for what was reported", ok, o)
	}
	r.Leads(a, 0, 0, 8)
	if _, o, ok := r.Way(a, 0); !ok {
		t.Errorf("no way to the leader of an answer: %+v", o)
	}
}

func TestAPartitionWithoutLeaderIsAskedForWhenItsWayIs(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", protocol.TopicID{})
	r.metadata(r.asked(), topic("a", id(1), [2]int32{-1, 7}))
	r.after(10_000)
	if r.Update(); len(r.Requests()) != 0 {
		t.Error("asked for, and nobody wants to write to it")
	}
	if _, o, ok := r.Way(a, 0); ok || o.Why != "no leader" || o.Hold != PassedBy {
		t.Errorf("way %v, obstacle %+v", ok, o)
	}
	r.asked()
}

func TestAWayIsUsableWhileItsConnectionAndLeaderAre(t *testing.T) {
	for name, change := range map[string]func(r *rig, a *Topic){
		"":                   func(*rig, *Topic) {},
		"another leader":     func(r *rig, a *Topic) { r.Leads(a, 0, 2, 2) },
		"it is cut":          func(r *rig, _ *Topic) { r.Disconnected(1, errors.New("cut")) },
		"another connection": func(r *rig, _ *Topic) { r.Disconnected(1, errors.New("cut")); r.after(5000); r.connect(1) },
		"another cluster": func(r *rig, _ *Topic) {
			r.after(5000)
			r.Want()
			r.Handle(r.asked(), Answer{Message: &kmsg.MetadataResponse{ClusterID: kmsg.StringPtr("there")}})
		},
	} {
		r := newRig(t, nil)
		a := r.Follow("a", protocol.TopicID{})
		r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 1}))
		r.connect(1)
		w, _, _ := r.Way(a, 0)
		change(r, a)
		if got, want := r.Usable(a, 0, w), name == ""; got != want {
			t.Errorf("%q: usable %v, want %v", name, got, want)
		}
	}
}

func TestPausesBetweenMetadataRequestsInVainGrow(t *testing.T) {
	r := newRig(t, nil)
	for range 8 {
		r.Handle(r.asked(), Answer{Err: errors.New("cut")})
		r.after(2000)
	}
	q := r.asked()
	r.Handle(q, Answer{Err: errors.New("cut")})
	if ms := r.WakeAt() - r.now; ms < 500 {
		t.Errorf("the pause after 9 in vain is %d ms, want about 1000", ms)
	}
}

func TestATopicIsIdleAfterItsTime(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", protocol.TopicID{})
	r.SetPending(a, true)
	r.SetPending(a, false)
	if r.after(299_999); r.idle(a) {
		t.Error("idle 1 ms early")
	}
	if r.after(1); !r.idle(a) {
		t.Error("not idle after metadata.max.idle.ms")
	}
}

func TestATopicBoundAnewForgetsItsLeaders(t *testing.T) {
	for count := range int32(2) {
		r := newRig(t, nil)
		a := r.Follow("a", protocol.TopicID{})
		if count > 0 {
			r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 7}))
		}
		a.partition(0).leader = 1
		r.Rebind(a)
		if l, e := a.Leader(0); l != -1 || e != 0 || a.known != (count > 0) {
			t.Errorf("of %d partitions, leader %d, epoch %d, known %v", count, l, e, a.known)
		}
	}
}

// Where there is one broker, twice is enough; of two, the same one is believed after metadata.max.age.ms.
func TestHowOftenOneBrokerMustShowARecreatedTopic(t *testing.T) {
	for _, tt := range []struct {
		brokers int
		ms      int64 // until it is shown for the second time
		want    bool
	}{{1, 2000, true}, {2, 2000, false}, {2, 299_999, false}, {2, 300_000, true}} {
		r := newRig(t, nil)
		a := r.Follow("a", id(1))
		show := func(tid protocol.TopicID) {
			r.Want()
			m := &kmsg.MetadataResponse{Brokers: brokerList(0, 1)[:tt.brokers], Topics: []kmsg.MetadataResponseTopic{topic("a", tid, [2]int32{0, 1})}}
			r.Handle(r.asked(), Answer{Message: m})
		}
		show(id(1))
		r.after(2000)
		show(id(2))
		r.after(tt.ms)
		if show(id(2)); a.Recreated != tt.want {
			t.Errorf("%d brokers, again after %d ms: recreated %v, want %v", tt.brokers, tt.ms, a.Recreated, tt.want)
		}
	}
}

func TestAMissingTopicIsReportedAfterThreeTriesToCreateIt(t *testing.T) {
	r := newRig(t, func(c *Config) { c.AutoCreate = true })
	a := r.Follow("a", protocol.TopicID{})
	r.SetPending(a, true)
	tries := 0
	for range 20 {
		r.after(5000)
		q := r.asked()
		if q.Message.(*kmsg.MetadataRequest).AllowAutoTopicCreation {
			tries++
		}
		if kinds(r.metadata(q, failed("a", protocol.UnknownTopicOrPartition)))[TopicFailed].Text != "" {
			break
		}
	}
	if tries != createTries {
		t.Errorf("reported after %d tries, want %d", tries, createTries)
	}
}

func TestMetadataIsNotAskedForBeforeItIsOld(t *testing.T) {
	r := newRig(t, nil)
	r.metadata(r.asked())
	r.after(299_999)
	if r.Update(); len(r.Requests()) != 0 || r.WakeAt() != r.now+1 {
		t.Errorf("asked 1 ms early, or woken at %d, now %d", r.WakeAt(), r.now)
	}
	r.after(1)
	r.asked()
}
