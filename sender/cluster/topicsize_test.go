package cluster

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

func TestATopicsSizeIsAskedAtMostOnceInFiveMinutes(t *testing.T) {
	r := newRig(t, nil)
	topic := r.Follow("t", protocol.TopicID{})
	if AskSize(r.View, topic); len(r.Requests()) != 0 {
		t.Fatal("asked with no connection")
	}
	r.metadata(r.asked())
	r.connect(1)
	r.Requests()
	AskSize(r.View, topic)
	q := r.Requests()
	if len(q) != 1 || q[0].Broker != 1 {
		t.Fatalf("asks %+v, want one request to broker 1", q)
	}
	m := q[0].Message.(*kmsg.DescribeConfigsRequest).Resources[0]
	if m.ResourceType != kmsg.ConfigResourceTypeTopic || m.ResourceName != "t" || m.ConfigNames[0] != maxMessage {
		t.Errorf("asks about %+v", m)
	}
	if AskSize(r.View, topic); len(r.Requests()) != 0 {
		t.Error("asked again")
	}
	r.Begin(r.now + askSizeEvery - 1)
	if AskSize(r.View, topic); len(r.Requests()) != 0 {
		t.Error("asked again within five minutes")
	}
	r.Begin(r.now + askSizeEvery)
	if AskSize(r.View, topic); len(r.Requests()) != 1 {
		t.Error("not asked after five minutes")
	}
}

func TestOnlyASizeThatIsOneIsTaken(t *testing.T) {
	text := kmsg.StringPtr
	for _, tt := range []struct {
		name   string
		topic  string
		answer Answer
		want   int // 0: nothing is taken
	}{
		{"a size", "t", Answer{Message: configs(0, maxMessage, text("10000"))}, 10_000},
		{"none", "t", Answer{Message: configs(0, maxMessage, text("0"))}, 0},
		{"another topic", "u", Answer{Message: configs(0, maxMessage, text("10000"))}, 0},
		{"no number", "t", Answer{Message: configs(0, maxMessage, text("much"))}, 0},
		{"more than Kafka can have", "t", Answer{Message: configs(0, maxMessage, text("9999999999"))}, 0},
		{"no value", "t", Answer{Message: configs(0, maxMessage, nil)}, 0},
		{"another setting", "t", Answer{Message: configs(0, "segment.bytes", text("5"))}, 0},
		{"no right to ask", "t", Answer{Message: configs(protocol.TopicAuthorizationFailed, maxMessage, text("5"))}, 0},
		{"no answer", "t", Answer{Err: errors.New("cut")}, 0},
	} {
		r := newRig(t, nil)
		r.Follow("t", protocol.TopicID{})
		if m, ok := tt.answer.Message.(*kmsg.DescribeConfigsResponse); ok {
			m.Resources[0].ResourceName = tt.topic
		}
		r.Handle(Request{kind: askSize}, tt.answer)
		got, taken := 0, false
		for _, c := range r.Changes() {
			if c.Kind == SizeRead {
				got, taken = c.Bytes, true
			}
		}
		if got != tt.want || taken != (tt.want > 0) {
			t.Errorf("%s: took %d, want %d", tt.name, got, tt.want)
		}
	}
}
