package spoold

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// SendBatch adds records to the transaction, all of them or, with an error, none. A *RecordError says which record cannot be taken. Otherwise as Send.
func (t *Transaction) SendBatch(ctx context.Context, records []Record) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, err := t.p.current(); err != nil {
		return err
	}
	var seen []observedRecord
	if !t.p.plain {
		records, seen = t.observe(ctx, records)
	}
	err := t.accept(ctx, records, seen)
	if err != nil {
		t.p.interceptors.notSpooled(seen, err)
	}
	return err
}

// accept checks records and adds them; seen are those that interceptors or a tracer observe.
func (t *Transaction) accept(ctx context.Context, records []Record, seen []observedRecord) error {
	size := int64(0)
	partitions := make([]Partition, len(records))
	now := clockReading{now: t.p.env.Now}
	for i := range records {
		err := t.p.rules.check(&records[i], &now)
		if err == nil {
			partitions[i], err = t.p.counts.place(ctx, t.p, &records[i], false)
		}
		if err != nil {
			return &RecordError{i, len(records), err}
		}
		size += recordMemory(&records[i])
	}
	t.mu.Lock()
	defer t.unlock()
	if t.over != "" {
		return t.overError()
	}
	topics, err := t.withTopics(records)
	if err != nil {
		return err
	}
	more := observedMemory(seen)
	if more > 0 && !t.p.units.take(more, t.p.cfg.UnitMemory) {
		return fmt.Errorf("%w: what is kept for interceptors of all open transactions does not fit into unit.memory.bytes = %d", ErrTooLarge, t.p.cfg.UnitMemory)
	}
	if err := t.add(ctx, records, partitions, size, &now); err != nil {
		t.p.units.give(more)
		return err
	}
	if t.over == "" { // as it is, unless writing to the disk ended it
		t.topics = topics
		t.observed, t.observedBytes = append(t.observed, seen...), t.observedBytes+more
	}
	return nil
}

// withTopics is which topics the transaction has records for, with these. Under mu.
func (t *Transaction) withTopics(records []Record) (map[string]bool, error) {
	topics := t.topics
	for i := range records {
		topic := records[i].Topic
		if topics[topic] {
			continue
		}
		if len(topics) == spool.MaxUnitRuns {
			return nil, &RecordError{i, len(records), fmt.Errorf("%w: a transaction has records for at most %d topics, and %s would be one more",
				ErrInvalidRecord, spool.MaxUnitRuns, topic)}
		}
		more := make(map[string]bool, len(topics)+1)
		maps.Copy(more, topics)
		more[topic], topics = true, more
	}
	return topics, nil
}

// input is what Commit spools. The records were checked by Send.
func (t *Transaction) input() *bolt.BatchInput {
	in := &bolt.BatchInput{Unit: true, Records: t.records}
	if in.Records == nil { // notes alone: a batch of nothing all the same
		in.Records = []bolt.RecordInput{}
	}
	for _, n := range t.notes {
		in.Notes = append(in.Notes, bolt.Note(n))
	}
	return in
}

// recordMemory is about what a record takes in an open transaction, and more than its entry in the spool.
func recordMemory(r *Record) int64 {
	return inputMemory(r.Partition.Number(), r.Key, r.Value, r.Headers)
}

func inputMemory(partition int32, key, value []byte, headers []Header) int64 {
	return int64(spool.EntrySize(spool.BodySize(key, value, headers), partition)) + 128 + 40*int64(len(headers))
}

// bytesArena copies short byte slices into larger allocations.
type bytesArena struct {
	chunk []byte // what is free of the last allocation is behind its length
}

const (
	arenaFirst = 1 << 10
	arenaMost  = 64 << 10
)

// clone is a copy of b; nil of nil.
func (a *bytesArena) clone(b []byte) []byte {
	if len(b) == 0 || len(b) > arenaMost/8 {
		return slices.Clone(b)
	}
	if len(b) > cap(a.chunk)-len(a.chunk) {
		a.chunk = make([]byte, 0, min(max(arenaFirst, 2*cap(a.chunk), 2*len(b)), arenaMost))
	}
	from := len(a.chunk)
	a.chunk = append(a.chunk, b...)
	return slices.Clip(a.chunk[from:])
}

// copyRecord is a record in bytes of the transaction's own.
func (t *Transaction) copyRecord(r *Record, partition Partition, now *clockReading) bolt.RecordInput {
	at := r.Timestamp
	if at.IsZero() {
		at = now.get()
	}
	in := recordInput(r, partition, at.UnixMilli())
	in.Key, in.Value, in.Headers = t.arena.clone(r.Key), t.arena.clone(r.Value), slices.Clone(r.Headers)
	for i := range in.Headers {
		in.Headers[i].Value = t.arena.clone(in.Headers[i].Value)
	}
	return in
}

// keep adds records to those in memory. Under mu.
func (t *Transaction) keep(records []Record, partitions []Partition, now *clockReading) {
	if n := len(t.records) + len(records); n > cap(t.records) {
		t.records = slices.Grow(t.records, max(len(records), len(t.records)))
	}
	for i := range records {
		t.records = append(t.records, t.copyRecord(&records[i], partitions[i], now))
	}
}

// clockReading is one look at the clock, taken when the first record of a call needs it.
type clockReading struct {
	now func() time.Time
	at  time.Time
}

func (c *clockReading) get() time.Time {
	if c.at.IsZero() {
		c.at = c.now()
	}
	return c.at
}
