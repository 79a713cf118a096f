package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

func TestAdviceSaysWhatAnOperatorMayDo(t *testing.T) {
	for _, tt := range []struct {
		code   protocol.ErrorCode
		create bool
		want   string
	}{
		{protocol.TopicAuthorizationFailed, false, "grant it WRITE"},
		{protocol.UnknownTopicOrPartition, false, "the topic does not exist: create it"},
		{protocol.UnknownTopicOrPartition, true, "a cluster with auto.create.topics.enable creates it within seconds"},
		{protocol.InvalidTopicException, false, "does not take records"},
	} {
		r := newRig(t, func(c *Config) { c.AutoCreate = tt.create })
		if got := r.Advice(tt.code); !strings.Contains(got, tt.want) {
			t.Errorf("%v: %q, want %q in it", tt.code, got, tt.want)
		}
		if why := Why(tt.code); !strings.HasPrefix(r.Advice(tt.code), why) || strings.Contains(why, "spooled") || strings.Contains(why, "create") {
			t.Errorf("%v: %q is not the fact alone", tt.code, why)
		}
	}
}

func TestAReasonIsReportedAnewAfterAnother(t *testing.T) {
	topic := &Topic{}
	for n, tt := range []struct {
		code protocol.ErrorCode
		want bool
	}{{protocol.TopicAuthorizationFailed, true}, {protocol.TopicAuthorizationFailed, false},
		{protocol.UnknownTopicOrPartition, true}, {protocol.TopicAuthorizationFailed, true}} {
		if got := topic.ReportOnce(tt.code); got != tt.want {
			t.Errorf("report %d: %v, want %v", n, got, tt.want)
		}
	}
}

func TestATopicIsFoundByItsName(t *testing.T) {
	r := newRig(t, func(c *Config) { c.ID = "bound" })
	a := r.Follow("a", id(1))
	if r.Topic("a") != a || r.Topic("b") != nil || r.ID() != "bound" {
		t.Errorf("topic a is %v, b %v, the cluster %q", r.Topic("a"), r.Topic("b"), r.ID())
	}
}

// A leader epoch that an earlier process knew does not go back.
func TestARestoredLeaderEpochDoesNotGoBack(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", id(1))
	if l, e := a.Leader(3); l != -1 || e != 0 {
		t.Errorf("leader %d, epoch %d of a partition that is not known", l, e)
	}
	a.RestoreEpoch(0, 9)
	r.SetPending(a, true)
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 8}))
	if l, e := a.Leader(0); l != -1 || e != 9 {
		t.Errorf("leader %d, epoch %d, want none and 9", l, e)
	}
	_, o, ok := r.Way(a, 0)
	if ok || o.Hold != PassedBy || !strings.Contains(o.Why, "leader epoch 9") {
		t.Errorf("way %v, obstacle %+v", ok, o)
	}
	r.after(2000)
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 9}))
	if l, _ := a.Leader(0); l != 1 {
		t.Errorf("leader %d, want 1", l)
	}
}

func TestALeaderThatNoAddressIsKnownOfIsAskedFor(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", id(1))
	r.metadata(r.asked(), topic("a", id(1), [2]int32{8, 1}))
	if _, o, ok := r.Way(a, 0); ok || o != (Obstacle{}) {
		t.Errorf("way %v, obstacle %+v", ok, o)
	}
	r.after(2000)
	r.asked()
}

// The request that is under way may have been answered before what made a newer one necessary.
func TestRefreshWaitsForTheRequestAfterTheOneUnderWay(t *testing.T) {
	r := newRig(t, nil)
	q := r.asked()
	if g := r.Refresh(); g != 2 {
		t.Errorf("generation %d, want 2", g)
	}
	r.metadata(q)
	if g := r.Refresh(); g != 2 || r.Generation() != 1 {
		t.Errorf("generation %d after %d, want 2 after 1", g, r.Generation())
	}
}

// Broker 0 leads like any other, and what a broker says of partitions that its list has no place for is ignored.
func TestATopicThatIsWhollyLedIsNotAskedForAgain(t *testing.T) {
	r := newRig(t, nil)
	a := r.Follow("a", id(1))
	r.SetPending(a, true)
	m := topic("a", id(1), [2]int32{0, 1}, [2]int32{0, 1}, [2]int32{0, 1})
	m.Partitions[1].Partition, m.Partitions[2].Partition = -1, 3
	r.metadata(r.asked(), m)
	if len(a.partitions) != 1 {
		t.Errorf("%d partitions are known, want that of number 0", len(a.partitions))
	}
	r.after(10_000)
	if r.Update(); len(r.Requests()) != 0 {
		t.Error("it is asked for again")
	}
	r.connect(0)
	if _, _, ok := r.Way(a, 0); !ok {
		t.Error("there is no way to broker 0")
	}
}

func TestMetadataThatCameWithAnErrorIsNotTaken(t *testing.T) {
	r := newRig(t, nil)
	if r.Handle(r.asked(), Answer{Message: kmsg.NewPtrMetadataResponse(), Err: errors.New("cut")}); r.Generation() != 0 {
		t.Error("it was taken")
	}
}
