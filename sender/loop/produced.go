package loop

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Produced is what is known of a Produce request once it has ended.
type Produced struct {
	Broker       int32
	Batches      int
	Records      int
	Bytes        int // of the batches, as they went on the wire
	Uncompressed int // of the same batches
	Duration     time.Duration
	Throttle     time.Duration // that the broker asked for
	Splits       int           // batches cut in two since the report before
	Err          error         // no answer came
}

// producing is a Produce request under way.
type producing struct {
	parts []part
	since time.Time
}

// produced reports a request that has ended. Its batches have not been recycled.
func (l *Loop) produced(broker int32, p *producing, resp kmsg.Response, err error) {
	if l.opt.Produced == nil {
		return
	}
	splits := l.core.Splits()
	stats := Produced{Broker: broker, Batches: len(p.parts), Duration: time.Since(p.since), Splits: int(splits - l.splits), Err: err}
	l.splits = splits
	for i := range p.parts {
		e := p.parts[i].encoding
		stats.Records += int(e.header.Count)
		if err == nil { // else nobody may have encoded it
			stats.Bytes += len(e.bytes())
			stats.Uncompressed += len(e.buf)
		}
	}
	if answer, ok := resp.(*kmsg.ProduceResponse); ok && answer != nil {
		stats.Throttle = time.Duration(answer.ThrottleMillis) * time.Millisecond
	}
	l.opt.Produced(stats)
}
