package accumulator

import (
	"encoding/binary"
	"fmt"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Batch is one record batch on its way to one partition. The sender owns it; the
// shell reads the exported fields of a batch that it was given to encode or to
// send, and writes none of them.
type Batch struct {
	Lane      spool.LaneID
	Topic     string
	TopicID   protocol.TopicID
	Partition int32

	// Identity and Base are set when the batch is sealed and never change after.
	Identity protocol.ProducerIdentity
	Base     protocol.Sequence
	Count    int32

	FirstTimestamp int64 // of the first record: what deltas count from, ms
	MaxTimestamp   int64
	Spans          []spool.Span // which entries, ascending

	// Buf is protocol.BatchHeaderSize bytes of room, then the records, not compressed.
	Buf []byte

	// Transactional: it belongs to a Kafka transaction.
	Transactional bool

	// Ordinal is the seal's, 0 before.
	Ordinal uint64

	// Shell is the shell's own, which alone reads and writes it: the batch as it was
	// encoded for the wire, so that it is forgotten together with the batch.
	Shell any

	sizing  *Sizing // its topic's; nil: it was made again
	wire    int     // bytes on the wire; 0: not known
	created int64   // Age when its first record joined: linger counts from here
	full    bool
}

// Records is the encoded records, not compressed.
func (b *Batch) Records() []byte { return b.Buf[protocol.BatchHeaderSize:] }

// add appends one record. The buffer may grow.
func (b *Batch) add(i spool.Index, timestamp int64, body []byte) {
	if b.Count == 0 {
		b.FirstTimestamp, b.MaxTimestamp = timestamp, timestamp
	}
	b.Buf = spool.AppendRecord(b.Buf, body, timestamp-b.FirstTimestamp, b.Count)
	b.Count++
	b.MaxTimestamp = max(b.MaxTimestamp, timestamp)
	if n := len(b.Spans); n > 0 && b.Spans[n-1].End == i {
		b.Spans[n-1].End++
	} else {
		b.Spans = append(b.Spans, spool.Span{First: i, End: i + 1})
	}
}

// Indexes calls yield with each entry of the batch, in order.
func (b *Batch) Indexes(yield func(int, spool.Index) bool) {
	n := 0
	for _, sp := range b.Spans {
		for i := sp.First; i < sp.End; i++ {
			if !yield(n, i) {
				return
			}
			n++
		}
	}
}

// Timestamp is that of the record at a place, ms. It needs the bytes.
func (b *Batch) Timestamp(place int32) (int64, error) {
	rest := b.Records()
	for {
		delta, _, r, err := cutRecord(rest)
		if err != nil {
			return 0, err
		}
		if rest = r; place == 0 {
			return b.FirstTimestamp + delta, nil
		}
		place--
	}
}

// Cut cuts the batch before the records at some places, ascending, into batches that keep every record's sequence (as
// Kafka's ProducerBatch.split does). None may be empty. It needs the bytes.
func (b *Batch) Cut(places []int32) ([]*Batch, error) {
	out := make([]*Batch, 0, len(places)+1)
	rest := b.Records()
	for n, i := range b.Indexes {
		delta, body, r, err := cutRecord(rest)
		if err != nil {
			return nil, err
		}
		rest = r
		if k := len(out); k == 0 || k <= len(places) && int32(n) == places[k-1] {
			out = append(out, b.sibling(b.Base.Next(n), len(b.Buf)/(len(places)+1)))
		}
		out[len(out)-1].add(i, b.FirstTimestamp+delta, body)
	}
	if len(out) != len(places)+1 {
		return nil, fmt.Errorf("a batch of %d records cannot be cut before records %v", b.Count, places)
	}
	return out, nil
}

// sibling is a batch without records yet, of about size bytes.
func (b *Batch) sibling(base protocol.Sequence, size int) *Batch {
	return &Batch{
		Lane: b.Lane, Topic: b.Topic, TopicID: b.TopicID, Partition: b.Partition,
		Identity: b.Identity, Base: base, sizing: b.sizing, created: b.created, full: true,
		Buf: make([]byte, protocol.BatchHeaderSize, protocol.BatchHeaderSize+size),
	}
}

// cutRecord takes the first record off records that this package encoded.
func cutRecord(records []byte) (timestampDelta int64, body, rest []byte, err error) {
	size, n := binary.Varint(records)
	if n <= 0 || size < 3 || size > int64(len(records)-n) {
		return 0, nil, nil, fmt.Errorf("record length %d in %d bytes", size, len(records))
	}
	raw, rest := records[n:n+int(size)], records[n+int(size):]
	timestampDelta, n = binary.Varint(raw[1:])
	if n <= 0 {
		return 0, nil, nil, fmt.Errorf("timestamp delta of a record")
	}
	_, m := binary.Varint(raw[1+n:])
	if m <= 0 {
		return 0, nil, nil, fmt.Errorf("offset delta of a record")
	}
	return timestampDelta, raw[1+n+m:], rest, nil
}

// Builder makes a sealed batch again from the spool, after a start or when its
// bytes were given up for others: the same records, so the same batch.
type Builder struct {
	Batch *Batch
	next  int // span
	at    spool.Index
}

// NewBuilder begins to build the batch of a seal.
func NewBuilder(topic string, s *spool.Seal) *Builder {
	b := &Batch{
		Lane: s.Lane, Topic: topic, TopicID: s.TopicID, Partition: s.Partition,
		Identity: s.Identity, Base: s.Base, Ordinal: s.Ordinal, full: true,
		Buf: make([]byte, protocol.BatchHeaderSize, 4096),
	}
	bu := &Builder{Batch: b, at: s.Spans[0].First}
	b.Spans = make([]spool.Span, 0, len(s.Spans))
	return bu
}

// Next is the index to read from.
func (bu *Builder) Next() spool.Index { return bu.at }

// Feed adds those entries of sections that belong to the seal and reports whether
// the batch is whole. next is where the sections end: an entry of the seal below
// it that was not in them is an error.
func (bu *Builder) Feed(s *spool.Seal, sections []spool.Section, next spool.Index) (bool, error) {
	for _, sec := range sections {
		rest := sec.Bytes
		for _, sp := range sec.Spans {
			for i := sp.First; i < sp.End; i++ {
				e, r, err := spool.NextEntry(rest)
				if err != nil {
					return false, fmt.Errorf("entry %d of lane %d: %w", i, sec.Lane, err)
				}
				rest = r
				if bu.next < len(s.Spans) && i == bu.at {
					bu.Batch.add(i, e.Timestamp, e.Body)
					bu.advance(s)
				}
			}
		}
	}
	if bu.next == len(s.Spans) {
		if bu.Batch.Count != s.Count {
			return false, fmt.Errorf("seal at sequence %d counts %d records, its spans %d", s.Base, s.Count, bu.Batch.Count)
		}
		bu.Batch.Buf = append(make([]byte, 0, len(bu.Batch.Buf)), bu.Batch.Buf...) // what it grew to is not held
		return true, nil
	}
	if bu.at < next {
		return false, fmt.Errorf("entry %d of lane %d is sealed but not in the spool", bu.at, s.Lane)
	}
	return false, nil
}

func (bu *Builder) advance(s *spool.Seal) {
	bu.at++
	if bu.at == s.Spans[bu.next].End {
		bu.next++
		if bu.next < len(s.Spans) {
			bu.at = s.Spans[bu.next].First
		}
	}
}
