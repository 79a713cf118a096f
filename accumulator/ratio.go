package accumulator

import "github.com/spoold/spoold/protocol"

// ratio is how many bytes on the wire a thousand bytes of records are expected to make: an estimate per topic, since a
// process has one codec (Kafka's CompressionRatioEstimator). 0: none yet, counts as 1000.
type ratio int32

const (
	ratioNone    = ratio(1000) // nothing is gained
	ratioImprove = ratio(5)    // how much better the estimate gets with each batch that was better
	ratioWorsen  = ratio(50)   // how much worse it gets at least with one that was worse
	estimated    = 105         // percent of the estimate that room is left for
)

func (r ratio) perMille() ratio {
	if r == 0 {
		return ratioNone
	}
	return r
}

// observe takes what one batch came to. The estimate follows a worse one at once, and a better one slowly.
func (r *ratio) observe(records, wire int) {
	seen, now := observed(records, wire), r.perMille()
	switch {
	case seen > now:
		now = min(max(now+ratioWorsen, seen), ratioNone)
	case seen < now:
		now = max(now-ratioImprove, seen)
	}
	*r = now
}

// observed is rounded up, and never more than nothing gained: what does not get smaller is sent as it is.
func observed(records, wire int) ratio {
	if records <= 0 {
		return ratioNone
	}
	return min(max(ratio((int64(wire)*1000+int64(records)-1)/int64(records)), 1), ratioNone)
}

// wire is the estimate for so many bytes of records.
func (r ratio) wire(records int) int { return int((int64(records)*int64(r.perMille()) + 999) / 1000) }

// records is how many bytes of records may be put where wire bytes are allowed.
func (r ratio) records(wire int) int {
	if p := r.perMille(); p < ratioNone {
		return max(int(int64(wire)*1000*100/(int64(p)*estimated)), wire)
	}
	return wire
}

// Sizing is how large a topic's batches may get: as large as Config.BatchSize and as the topic was seen to allow, both on
// the wire, by an estimate of what its records come to when they are compressed.
type Sizing struct {
	limit sizeLimit
	ratio ratio
}

// TooLarge notes that a batch of more than one record was refused for its size. What its topic's records come to is
// estimated anew.
func (s *Sizing) TooLarge(now int64, b *Batch) {
	s.limit.tooLarge(now, b.WireSize())
	s.ratio = ratioNone
}

// WantsSize reports whether a batch was refused for its size since the last call: then the topic's max.message.bytes is worth
// asking for.
func (s *Sizing) WantsSize() bool {
	wants := s.limit.wanted
	s.limit.wanted = false
	return wants
}

// Configured notes the topic's max.message.bytes.
func (s *Sizing) Configured(bytes int) { s.limit.configured(bytes) }

// Acked notes that a batch was acked.
func (s *Sizing) Acked(b *Batch) { s.limit.ackedBatch(b.WireSize()) }

// batchSize is how many bytes a batch may have now, before it is compressed. Where more than half of the budget is
// taken, none gets larger than it may be on the wire.
func (s *Sizing) batchSize(a *Accumulator) int {
	wire := a.cfg.BatchSize
	if s.limit.bytes > 0 {
		wire = min(s.limit.bytes, wire)
	}
	if !a.cfg.Compressed || a.used > a.cfg.BufferMemory/2 {
		return wire
	}
	return min(protocol.BatchHeaderSize+s.ratio.records(wire-protocol.BatchHeaderSize), max(a.most, wire))
}

// Encoded says how many bytes a batch has on the wire. The shell calls it once for each encoding, between calls of the core.
func (b *Batch) Encoded(bytes int) {
	b.wire = bytes
	if b.sizing != nil {
		b.sizing.ratio.observe(len(b.Buf)-protocol.BatchHeaderSize, bytes-protocol.BatchHeaderSize)
	}
}

// WireSize is how many bytes the batch has on the wire, or an estimate until that is known.
func (b *Batch) WireSize() int {
	switch {
	case b.wire > 0:
		return b.wire
	case b.sizing == nil:
		return len(b.Buf)
	}
	return protocol.BatchHeaderSize + b.sizing.ratio.wire(len(b.Buf)-protocol.BatchHeaderSize)
}
