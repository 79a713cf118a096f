package world

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/check"
)

// received looks at an answer on its way to the core. A copy is noticed where the original went on, and only if it is shown
// all partitions there are, and by leaders that still have the producer id that both used: a broker that is cut off from
// its cluster may lack some, and one forgets who wrote what is old. What the copy then sends again is nobody's fault.
func (h *host) received(resp kmsg.Response) {
	if h.day == 0 {
		return
	}
	switch m := resp.(type) {
	case *kmsg.MetadataResponse:
		if h.fewer(m) {
			h.w.event(check.Event{Kind: check.Unchecked, Host: h.id})
		}
	case *kmsg.DescribeProducersResponse:
		if h.forgotten(m) {
			h.w.event(check.Event{Kind: check.Unchecked, Host: h.id})
		}
	}
}

func (h *host) fewer(m *kmsg.MetadataResponse) bool {
	for _, t := range h.w.cluster.Topics() {
		for i := range m.Topics {
			if rt := &m.Topics[i]; !t.Deleted && rt.Topic != nil && *rt.Topic == t.Name && rt.ErrorCode == 0 && len(rt.Partitions) < int(t.Partitions) {
				return true
			}
		}
	}
	return false
}

func (h *host) forgotten(m *kmsg.DescribeProducersResponse) bool {
	for i := range m.Topics {
		for j := range m.Topics[i].Partitions {
			rp := &m.Topics[i].Partitions[j]
			knows := slices.ContainsFunc(rp.ActiveProducers, func(a kmsg.DescribeProducersResponseTopicPartitionActiveProducer) bool {
				return a.ProducerID == int64(h.former)
			})
			if rp.ErrorCode == 0 && !knows && h.w.cluster.Wrote(m.Topics[i].Topic, rp.Partition, h.former) {
				return true
			}
		}
	}
	return false
}
