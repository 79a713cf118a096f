package sender

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// expiration is the broker setting that says how long an idle producer is remembered.
const expiration = "producer.id.expiration.ms"

// askExpiration reads the cluster's setting once per start, if it may be read: the margin is
// never wider than five sixths of it (20 of 24 hours).
func (s *Sender) askExpiration() {
	if s.askedExpiration || s.connected() == 0 {
		return
	}
	for _, b := range s.brokers {
		if !b.up {
			continue
		}
		s.askedExpiration = true
		r := kmsg.NewPtrDescribeConfigsRequest()
		res := kmsg.NewDescribeConfigsRequestResource()
		res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(b.id))
		res.ConfigNames = []string{expiration}
		r.Resources = append(r.Resources, res)
		s.request(Request{Kind: KindControl, Broker: b.id, Message: r, MaxVersion: -1}, &request{kind: reqExpiration})
		return
	}
}

// onExpiration narrows the margin. No answer, or no right to one, leaves it.
func (s *Sender) onExpiration(resp Response) {
	r, ok := resp.Message.(*kmsg.DescribeConfigsResponse)
	if resp.Err != nil || !ok {
		return
	}
	for _, res := range r.Resources {
		if protocol.ErrorCode(res.ErrorCode) != protocol.None {
			continue
		}
		for _, c := range res.Configs {
			if c.Name != expiration || c.Value == nil {
				continue
			}
			if ms, err := strconv.ParseInt(*c.Value, 10, 64); err == nil && ms > 0 {
				s.cfg.MarginMs = min(s.cfg.MarginMs, max(ms/6*5, 1))
			}
		}
	}
}
