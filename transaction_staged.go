package spoold

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/spoold/spoold/spool/bolt"
)

// stageChunk is about how much of a transaction one commit writes that is not committed.
const stageChunk = 1 << 20

// add puts records into the transaction: into memory, or on the disk if they do not fit there. Under mu.
func (t *Transaction) add(ctx context.Context, records []Record, partitions []Partition, size int64, now *clockReading) error {
	e, err := t.p.current()
	if err != nil {
		return err
	}
	most := int64(e.store.MaxBatch())
	if size > most {
		return fmt.Errorf("%w: %d bytes in one call, allowed are %d: add them in several", ErrTooLarge, size, most)
	}
	memory := most
	if t.staged != nil {
		memory = min(most, stageChunk)
	}
	if t.bytes+size <= memory && t.p.units.take(size, t.p.cfg.UnitMemory) {
		t.bytes += size
		t.keep(records, partitions, now)
		return nil
	}
	if len(t.groups) > 0 {
		return fmt.Errorf("%w: a transaction with consumer offsets must fit into memory: %d bytes, and what all open ones hold within unit.memory.bytes = %d",
			ErrTooLarge, most, t.p.cfg.UnitMemory)
	}
	if err := t.stage(ctx); err != nil {
		return err
	}
	list := make([]bolt.RecordInput, 0, len(records))
	for i := range records {
		list = append(list, t.copyRecord(&records[i], partitions[i], now))
	}
	return t.write(ctx, list)
}

// stage writes the records that are in memory to the disk. Under mu.
func (t *Transaction) stage(ctx context.Context) error {
	for len(t.records) > 0 {
		size, n := int64(0), 0
		for ; n < len(t.records); n++ {
			r := &t.records[n]
			more := inputMemory(r.Partition, r.Key, r.Value, r.Headers)
			if size > 0 && size+more > stageChunk {
				break
			}
			size += more
		}
		if err := t.write(ctx, t.records[:n]); err != nil {
			return err
		}
		t.records = t.records[n:]
		t.p.units.give(size)
		t.bytes -= size
	}
	t.records, t.arena = nil, bytesArena{}
	return nil
}

// write puts records on the disk, where nobody sees them before Commit. Under mu.
func (t *Transaction) write(ctx context.Context, list []bolt.RecordInput) error {
	e, err := t.p.current()
	if err != nil {
		return err
	}
	if t.staged == nil {
		t.staged, t.store = bolt.BeginUnit(e.store), e.store
	}
	if t.store != e.store {
		t.close("aborted: the disk was full, and the spool was opened again")
		return t.overError()
	}
	err = t.staged.Stage(noWait, list)
	if errors.Is(err, bolt.ErrFull) {
		ended := t.p.room.blocked(t.p.meter, t.store)
		wait, cancel := context.WithTimeoutCause(ctx, t.p.cfg.MaxBlock, ErrMaxBlock)
		err = t.staged.Stage(wait, list)
		cancel()
		ended(err)
	}
	switch {
	case err == nil:
		more := t.staged.Held() - t.firsts
		t.firsts += more
		t.p.room.taken(t.store)
		t.p.units.take(more, math.MaxInt64) // it is held already
		return nil
	case errors.Is(err, bolt.ErrStagedFull):
		return fmt.Errorf("%w: open transactions hold %d bytes on the disk (unit.staged.bytes): commit or abort some of them", ErrFull, t.p.cfg.UnitStaged)
	case errors.Is(err, bolt.ErrPoisoned) || errors.Is(err, bolt.ErrUnitOver):
		t.close("aborted: " + err.Error())
		return t.overError()
	}
	return public(err)
}

// commitStaged ends a transaction that is on the disk. Under mu.
func (t *Transaction) commitStaged(ctx context.Context) (Deliveries, error) {
	if err := t.stage(ctx); err != nil {
		return Deliveries{}, err
	}
	notes := make([]bolt.Note, 0, len(t.notes))
	for _, n := range t.notes {
		notes = append(notes, bolt.Note(n))
	}
	tickets, err := t.staged.Commit(noWait, notes)
	if errors.Is(err, bolt.ErrFull) {
		ended := t.p.room.blocked(t.p.meter, t.store)
		wait, cancel := context.WithTimeoutCause(ctx, t.p.cfg.MaxBlock, ErrMaxBlock)
		tickets, err = t.staged.Commit(wait, notes)
		cancel()
		ended(err)
	}
	switch {
	case err == nil:
	case errors.Is(err, bolt.ErrUnitOver) || errors.Is(err, bolt.ErrPoisoned):
		t.close("aborted: the spool was opened again, or its disk has failed")
		return Deliveries{}, t.overError()
	default:
		return Deliveries{}, public(err)
	}
	return Deliveries{tickets, t.staged.Firsts()}, nil
}

// maxTransactionNotes bounds what a transaction keeps besides records.
const maxTransactionNotes = 100

// SetNote has Commit write a caller's fact in the same commit of the spool, or not at all: how far an input was read, for
// instance. A second one of the same name replaces the first. ErrInvalidRecord: its name or value is too long, there are
// more than 100, or the transaction has SendOffsets, and so is not spooled. ErrTransactionOver.
func (t *Transaction) SetNote(n Note) error {
	if len(n.Name) == 0 || len(n.Name) > 255 || len(n.Value) > 4096 {
		return fmt.Errorf("%w: note with a name of %d and a value of %d bytes, allowed are 1 to 255 and 4096", ErrInvalidRecord, len(n.Name), len(n.Value))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over != "" {
		return t.overError()
	}
	if len(t.groups) > 0 {
		return fmt.Errorf("%w: a transaction with consumer offsets is not spooled, and nor are notes of it", ErrInvalidRecord)
	}
	n.Value = slices.Clone(n.Value)
	for i := range t.notes {
		if t.notes[i].Name == n.Name {
			t.notes[i] = n
			return nil
		}
	}
	if len(t.notes) >= maxTransactionNotes {
		return fmt.Errorf("%w: more than %d notes", ErrInvalidRecord, maxTransactionNotes)
	}
	t.notes = append(t.notes, n)
	return nil
}
