package cluster

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// configs answers DescribeConfigs with one setting of one broker.
func configs(code protocol.ErrorCode, name string, value *string) *kmsg.DescribeConfigsResponse {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.Value = name, value
	res := kmsg.NewDescribeConfigsResponseResource()
	res.ErrorCode, res.Configs = int16(code), []kmsg.DescribeConfigsResponseResourceConfig{c}
	return &kmsg.DescribeConfigsResponse{Resources: []kmsg.DescribeConfigsResponseResource{res}}
}

func TestExpirationIsAskedOfAConnectedBrokerOnce(t *testing.T) {
	r := newRig(t, nil)
	r.metadata(r.asked())
	if r.AskExpiration(); len(r.Requests()) != 0 {
		t.Fatal("asked with no connection")
	}
	r.connect(1)
	r.AskExpiration()
	q := r.Requests()
	if len(q) != 1 || q[0].Broker != 1 {
		t.Fatalf("asks %+v, want one request to broker 1", q)
	}
	m := q[0].Message.(*kmsg.DescribeConfigsRequest).Resources[0]
	if m.ResourceType != kmsg.ConfigResourceTypeBroker || m.ResourceName != "1" || m.ConfigNames[0] != expiration {
		t.Errorf("asks about %+v", m)
	}
	if r.AskExpiration(); len(r.Requests()) != 0 {
		t.Error("asked again")
	}
}

func TestOnlyAnExpirationThatIsOneIsTaken(t *testing.T) {
	text := kmsg.StringPtr
	for _, tt := range []struct {
		name   string
		answer Answer
		want   int64 // 0: nothing is taken
	}{
		{"a time", Answer{Message: configs(0, expiration, text("3600000"))}, 3_600_000},
		{"the least", Answer{Message: configs(0, expiration, text("1"))}, 1},
		{"none", Answer{Message: configs(0, expiration, text("0"))}, 0},
		{"no number", Answer{Message: configs(0, expiration, text("a day"))}, 0},
		{"too large a number", Answer{Message: configs(0, expiration, text("9223372036854775808"))}, 0},
		{"no value", Answer{Message: configs(0, expiration, nil)}, 0},
		{"another setting", Answer{Message: configs(0, "log.dirs", text("5"))}, 0},
		{"no right to ask", Answer{Message: configs(protocol.ClusterAuthorizationFailed, expiration, text("5"))}, 0},
		{"no answer", Answer{Err: errors.New("cut")}, 0},
		{"an answer that came too late", Answer{Message: configs(0, expiration, text("5")), Err: errors.New("cut")}, 0},
	} {
		r := newRig(t, nil)
		if !r.Handle(Request{kind: askExpiration}, tt.answer) {
			t.Errorf("%s: it concerns no partition", tt.name)
		}
		if c, taken := kinds(r.Changes())[ExpirationRead]; c.Ms != tt.want || taken != (tt.want > 0) {
			t.Errorf("%s: %d ms, want %d", tt.name, c.Ms, tt.want)
		}
	}
}
