package httpin

import "github.com/spoold/spoold"

// missing refuses records for a partition that the topic is known not to have: it may never get it.
func (h *Handler) missing(records []spoold.Record) *fault {
	count := int32(-1)
	for i := range records {
		n := records[i].Partition.Number()
		if n < 0 {
			continue
		}
		if count < 0 {
			count = h.sink.Partitions(records[i].Topic)
		}
		if count > 0 && n >= count {
			return faultf(404, 40402, "Partition %d not found: topic %s has %d, numbered from 0; nothing was spooled (a partition that was just added is known within metadata.max.age.ms)",
				n, records[i].Topic, count)
		}
	}
	return nil
}
