package world

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/check"
)

// heard looks at an answer on its way to the core. A copy is noticed where the original went on, and only if it is told
// of all partitions there are: a broker that is cut off from its cluster may not have heard of some. What the copy then
// sends again is nobody's fault.
func (h *host) heard(resp kmsg.Response) {
	m, ok := resp.(*kmsg.MetadataResponse)
	if !ok || h.day == 0 {
		return
	}
	for _, t := range h.w.cluster.Topics() {
		for i := range m.Topics {
			if rt := &m.Topics[i]; !t.Deleted && rt.Topic != nil && *rt.Topic == t.Name && rt.ErrorCode == 0 && len(rt.Partitions) < int(t.Partitions) {
				h.w.event(check.Event{Kind: check.Unchecked, Host: h.id})
				return
			}
		}
	}
}
