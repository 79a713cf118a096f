package bolt

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spoold/spoold/spool"
)

// ErrUnitOver: the unit was committed or aborted, or the spool was opened again meanwhile. Nothing was stored.
var ErrUnitOver = errors.New("the unit is over")

// ErrStagedFull: what units hold on the disk that are not committed would be more than Options.StagedBytes. Nothing was stored.
var ErrStagedFull = errors.New("no room for more records of units that are not committed")

// StagedUnit is a unit whose records are written to the disk before it is committed, because there are too many for
// one commit. They cost their bytes once, nobody can read them before Commit, and they are gone, with their room, after
// Abort, and after a crash before Commit. For one goroutine at a time.
type StagedUnit struct {
	s      *Store
	number uint64
	topics []string
	firsts []RecordInput // by topic: the unit's first record, which Commit writes
	counts []int         // by topic
	staged []int64       // bytes on the disk, by topic
	bytes  int64         // on the disk; under mu
	over   bool

	replaces []DeadLetter // that it is a copy of, and that its commit gives up
}

// BeginUnit begins a unit. It does not wait, and writes nothing.
func BeginUnit(s *Store) *StagedUnit {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.staging.last++
	// Blocks of a former start's units may still be there: a number is never used again.
	return &StagedUnit{s: s, number: s.state.Binding.Incarnation<<32 | s.staging.last}
}

// Stage writes records of the unit, all of them or, with an error, none. It returns when they are on the disk. Their slices
// must not change before Commit. ErrTooLarge: they are more than MaxBatch; ErrStagedFull; ErrFull comes only when ctx ends.
// Any other error ends the unit.
func (u *StagedUnit) Stage(ctx context.Context, records []RecordInput) error {
	wait, err := u.Put(ctx, records)
	if err != nil || wait == nil {
		return err
	}
	return wait()
}

// Put is Stage that does not wait for the disk: wait does, and must be called before anything else is done with the unit. It is
// nil if nothing goes to the disk before Commit.
func (u *StagedUnit) Put(ctx context.Context, records []RecordInput) (wait func() error, err error) {
	if u.over {
		return nil, ErrUnitOver
	}
	if _, err := u.s.checkBatch(&BatchInput{Records: records}); err != nil {
		return nil, err
	}
	before := len(u.topics)
	counts := slices.Clone(u.counts)
	back := func(err error) error {
		u.topics, u.firsts, u.counts, u.staged = u.topics[:before], u.firsts[:before], counts, u.staged[:before]
		return err
	}
	chunk := &stagedChunk{unit: u}
	for i := range records {
		chunk.add(&records[i], u.s.clock.now().Wall)
	}
	if n := len(u.topics); n > spool.MaxUnitRuns {
		return nil, back(fmt.Errorf("%w: a transaction for %d topics, allowed are %d: use more than one", ErrInvalid, n, spool.MaxUnitRuns))
	}
	if size := u.firstSize(); size > u.s.space.largest {
		return nil, back(fmt.Errorf("%w: the first records of a transaction for its %d topics have %d bytes together, the spool takes %d at once",
			ErrTooLarge, len(u.topics), size, u.s.space.largest))
	}
	if chunk.bytes == 0 {
		return nil, nil
	}
	receipt, err := u.s.staging.append(ctx, chunk)
	if err != nil {
		return nil, back(err)
	}
	return func() error {
		<-receipt.done // a commit ends, or the store does
		if receipt.err != nil {
			u.over = true
			return receipt.err
		}
		for i := range chunk.sections {
			u.staged[chunk.sections[i].topic] += int64(len(chunk.sections[i].buf))
		}
		return nil
	}, nil
}

// firstSize is at most what the first records take in a commit.
func (u *StagedUnit) firstSize() int {
	size := len(u.topics) * spool.UnitSize(len(u.topics))
	for i := range u.firsts {
		r := &u.firsts[i]
		size += spool.EntrySize(spool.BodySize(r.Key, r.Value, r.Headers), r.Partition)
	}
	return size
}

// Commit makes notes durable and all that was staged records of their topics, behind everything that was appended before, in one commit of the
// spool. The tickets are those of the first record for each topic: what becomes of them becomes of all. After an error the unit is as before,
// unless it is ErrUnitOver or ErrClosed.
func (u *StagedUnit) Commit(ctx context.Context, notes []Note) (Tickets, error) {
	s := u.s
	if u.over {
		return Tickets{}, ErrUnitOver
	}
	if len(u.topics) == 0 {
		u.over = true
		return Tickets{receipt: s.past}, nil
	}
	b := &BatchInput{Records: u.firsts, Unit: true, Notes: notes}
	size := u.firstSize()
	for _, n := range notes {
		size += len(n.Name) + len(n.Value)
	}
	s.mu.Lock()
	for w := (*turn)(nil); ; {
		g, err := s.room(w, size)
		if err == nil {
			t, err := s.staging.commit(g, u, b)
			s.wake()
			s.mu.Unlock()
			return t, err
		}
		if w, err = s.turns.wait(ctx, w, size, err); err != nil {
			return Tickets{}, err
		}
	}
}

// Abort gives up what was staged: its room is free again with the next commit.
func (u *StagedUnit) Abort() {
	s := u.s
	if u.over {
		return
	}
	u.over = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.staging.bytes -= u.bytes
	if u.bytes > 0 && s.err == nil && !s.closing {
		s.staging.ended = append(s.staging.ended, u.number)
		s.wake()
	}
}

// stagedChunk is what one commit writes of a unit.
type stagedChunk struct {
	unit     *StagedUnit
	sections []stagedSection
	bytes    int
}

type stagedSection struct {
	topic int // its number in the unit
	from  int // of the unit's entries for the topic
	count int
	buf   []byte
}

// add encodes a record, or keeps it for Commit if it is the first for its topic.
func (c *stagedChunk) add(r *RecordInput, now int64) {
	u := c.unit
	topic := slices.Index(u.topics, r.Topic)
	if topic < 0 {
		first := *r
		if first.Timestamp == NoTimestamp {
			first.Timestamp = now
		}
		u.topics, u.firsts, u.counts, u.staged = append(u.topics, r.Topic), append(u.firsts, first), append(u.counts, 1), append(u.staged, 0)
		return
	}
	at := slices.IndexFunc(c.sections, func(s stagedSection) bool { return s.topic == topic })
	if at < 0 {
		at = len(c.sections)
		c.sections = append(c.sections, stagedSection{topic: topic, from: u.counts[topic]})
	}
	sect := &c.sections[at]
	ts := r.Timestamp
	if ts == NoTimestamp {
		ts = now
	}
	before := len(sect.buf)
	sect.buf = spool.AppendEntry(sect.buf, ts, r.Partition, r.Key, r.Value, r.Headers, spool.BodySize(r.Key, r.Value, r.Headers))
	sect.count++
	u.counts[topic]++
	c.bytes += len(sect.buf) - before
}

// seal is the block of the commit with a number.
func (c *stagedChunk) seal(number uint64) []byte {
	b := make([]byte, spool.BlockHeader, spool.BlockHeader+c.bytes+64*len(c.sections)+64)
	var sections []spool.BlockSection
	for i := range c.sections {
		sect := &c.sections[i]
		sections = append(sections, spool.BlockSection{
			Unit: c.unit.number, Lane: spool.LaneID(sect.topic), Off: len(b), Len: len(sect.buf),
			Spans: []spool.Span{{First: spool.Index(sect.from), End: spool.Index(sect.from + sect.count)}},
		})
		b = append(b, sect.buf...)
	}
	return spool.SealBlock(b, number, sections)
}

// Held is how many bytes of memory the unit keeps.
func (u *StagedUnit) Held() int64 { return int64(u.firstSize()) }

// Firsts are the first records for each topic, in the order of the tickets that Commit gives.
func (u *StagedUnit) Firsts() []RecordInput { return u.firsts }
