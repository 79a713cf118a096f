package cluster

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// expiration is the broker setting that says how long an idle producer is remembered.
const expiration = "producer.id.expiration.ms"

// AskExpiration asks for the cluster's setting once, as soon as a broker is connected. No answer, or no right to
// one, changes nothing.
func (v *View) AskExpiration() {
	if v.askedExpiration {
		return
	}
	for _, b := range v.brokers {
		if !b.Up {
			continue
		}
		v.askedExpiration = true
		r := kmsg.NewPtrDescribeConfigsRequest()
		res := kmsg.NewDescribeConfigsRequestResource()
		res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeBroker, strconv.Itoa(int(b.ID))
		res.ConfigNames = []string{expiration}
		r.Resources = append(r.Resources, res)
		v.request(Request{Broker: b.ID, Message: r, kind: askExpiration})
		return
	}
}

func (v *View) onExpiration(a Answer) {
	r, ok := a.Message.(*kmsg.DescribeConfigsResponse)
	if a.Err != nil || !ok {
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
				v.change(Change{Kind: ExpirationRead, Ms: ms})
			}
		}
	}
}
