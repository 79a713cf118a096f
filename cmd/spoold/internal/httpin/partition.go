package httpin

import (
	"context"

	"github.com/spoold/spoold"
)

// missing refuses records for a partition that the topic does not have, as far as that is known or the cluster says so
// now: it may never get it. All questions together end with ctx, or after AdmitTimeout.
func (h *Handler) missing(ctx context.Context, records []spoold.Record) *fault {
	topic, count, bounded := "", int32(0), false
	for i := range records {
		n := records[i].Partition.Number()
		if n < 0 {
			continue
		}
		if !bounded {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, h.cfg.AdmitTimeout)
			defer cancel()
			bounded = true
		}
		if topic != records[i].Topic {
			topic = records[i].Topic
			count = h.sink.Partitions(ctx, topic)
		}
		if count > 0 && n >= count {
			f := faultf(404, 40402, "Partition %d not found: topic %s has %d, numbered from 0; nothing was spooled (a partition that was just added is known within metadata.max.age.ms)",
				n, topic, count)
			f.alone, f.at = f, i
			return f
		}
	}
	return nil
}
