package cluster

import (
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// maxMessage is the topic's setting that says how large a batch may be.
const maxMessage = "max.message.bytes"

// askSizeEvery is for how many ms the setting is not asked for again.
const askSizeEvery = 300_000

// AskSize asks a broker how large the batches of t may be, at most once in five minutes. No answer, or no right to one
// (DESCRIBE_CONFIGS), changes nothing.
func AskSize(v *View, t *Topic) {
	if t.sizeAsked > 0 && v.now-t.sizeAsked < askSizeEvery {
		return
	}
	for _, b := range v.brokers {
		if !b.Up {
			continue
		}
		t.sizeAsked = max(v.now, 1)
		r := kmsg.NewPtrDescribeConfigsRequest()
		res := kmsg.NewDescribeConfigsRequestResource()
		res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, t.Name
		res.ConfigNames = []string{maxMessage}
		r.Resources = append(r.Resources, res)
		v.request(Request{Broker: b.ID, Message: r, kind: askSize})
		return
	}
}

func onSize(v *View, a Answer) {
	r, ok := a.Message.(*kmsg.DescribeConfigsResponse)
	if a.Err != nil || !ok {
		return
	}
	for _, res := range r.Resources {
		t := v.byName[res.ResourceName]
		if t == nil || protocol.ErrorCode(res.ErrorCode) != protocol.None {
			continue
		}
		for _, c := range res.Configs {
			if c.Name != maxMessage || c.Value == nil {
				continue
			}
			if n, err := strconv.ParseInt(*c.Value, 10, 32); err == nil && n > 0 {
				v.change(Change{Kind: SizeRead, Topic: t, Bytes: int(n)})
			}
		}
	}
}
