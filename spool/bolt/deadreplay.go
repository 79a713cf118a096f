package bolt

import (
	"context"
	"fmt"
	"slices"

	"github.com/spoold/spoold/spool"
)

// Replay says how dead letters are sent again. The zero value sends them to their own topics, and leaves those in doubt.
type Replay struct {
	MayDuplicate bool   // those in doubt as well
	Topic        string // "": each to its own
	Timestamp    int64  // ms since 1970, for all; 0: each keeps its own
	Choose       bool   // their partitions are chosen anew
	WholeUnits   bool   // with the others of their units, whether those match or not
	DivideUnits  bool   // those of a unit that match without the others of it, as a unit of their own
	// Headers are put behind the record's own; nil: none.
	Headers func(*DeadLetter) []spool.Header
}

// ReplayDead puts copies of dead letters at the ends of their lanes, as records that have just come, and gives the dead
// letters up in the same commits: those of a unit in one commit, as a unit. It says how many, and how many stay what they are:
// those in doubt with their units, and those that are too large with more headers. ErrFull comes only when ctx ends. ErrPartOfUnit: only a
// part of a unit matches, and nothing was changed.
func (s *Store) ReplayDead(ctx context.Context, f DeadFilter, how Replay) (done, left int, err error) {
	s.dead.dlq.Lock()
	defer s.dead.dlq.Unlock()
	items, err := s.dead.replayItems(s.DeadLetters(f, -1), &how)
	if err != nil {
		return 0, 0, err
	}
	items = slices.DeleteFunc(items, func(it deadItem) bool {
		stays := !how.MayDuplicate && slices.ContainsFunc(it.letters, func(d DeadLetter) bool { return d.InDoubt })
		if stays {
			left += len(it.letters)
		}
		return stays
	})
	for len(items) > 0 {
		if it := &items[0]; it.isUnit() && it.size() > s.space.largest {
			if err := s.dead.replayLarge(ctx, it.letters, &how); err != nil {
				return done, left, err
			}
			items, done = items[1:], done+len(it.letters)
			continue
		}
		n, size := 0, 0
		for n < len(items) && (n == 0 || size+items[n].size() <= s.space.hardCap/2) {
			size += items[n].size()
			n++
		}
		c, tooLarge, err := s.dead.compose(items[:n], &how)
		if err == nil && len(c.letters) > 0 {
			err = s.dead.replay(ctx, c)
		}
		if err != nil {
			return done, left, err
		}
		items, done, left = items[n:], done+len(c.letters), left+tooLarge
	}
	return done, left, nil
}

// replayed is what one commit sends again.
type replayed struct {
	to      string // topic; "": each to its own
	letters []DeadLetter
	raw     [][]byte // of no unit
	units   []int    // by letter: how many from it on are a unit; 0: it is of one that began before it
	size    int
}

// compose encodes items anew. Of those that go to another topic, the ones that have become too large are left out.
func (s *deadLetters) compose(items []deadItem, how *Replay) (c *replayed, tooLarge int, err error) {
	c = &replayed{to: how.Topic}
	var all []DeadLetter
	for i := range items {
		all = append(all, items[i].letters...)
	}
	entries, err := s.entriesOf(all)
	if err != nil {
		return nil, 0, err
	}
	for i := range items {
		it := &items[i]
		if it.isUnit() {
			c.size += it.marks()
		}
		for k := range it.letters {
			d := &it.letters[k]
			raw, err := sentAgain(d, entries[d.ref()], how)
			if err != nil {
				return nil, 0, err
			}
			if !it.isUnit() && len(raw) > s.space.largest {
				tooLarge++
				continue
			}
			n := 0
			if k == 0 {
				n = len(it.letters)
			}
			c.letters, c.raw, c.units, c.size = append(c.letters, *d), append(c.raw, raw), append(c.units, n), c.size+len(raw)
		}
	}
	return c, tooLarge, nil
}

// entriesOf reads the entries of dead letters.
func (s *deadLetters) entriesOf(letters []DeadLetter) (map[deadRef][]byte, error) {
	entries := make(map[deadRef][]byte, len(letters))
	err := s.eachDeadEntry(letters, func(ref deadRef, raw []byte) { entries[ref] = slices.Clone(raw) })
	if err != nil {
		return nil, err
	}
	for i := range letters {
		if d := &letters[i]; entries[d.ref()] == nil {
			return nil, fmt.Errorf("record %d of lane %d is not in the spool any more", d.Index, d.Lane)
		}
	}
	return entries, nil
}

// sentAgain is the entry of a dead letter as it is appended once more.
func sentAgain(d *DeadLetter, raw []byte, how *Replay) ([]byte, error) {
	e, _, err := spool.NextEntry(raw)
	if err != nil {
		return nil, err
	}
	if how.Timestamp != 0 {
		e.Timestamp = how.Timestamp
	}
	if how.Choose || how.Topic != "" {
		e.Partition = -1
	}
	if how.Headers == nil {
		return spool.AppendAgain(nil, &e, nil), nil
	}
	r, err := e.Record()
	if err != nil {
		return nil, err
	}
	headers := append(r.Headers[:len(r.Headers):len(r.Headers)], how.Headers(d)...)
	return spool.AppendEntry(nil, r.Timestamp, r.Partition, r.Key, r.Value, headers, spool.BodySize(r.Key, r.Value, headers)), nil
}

// replay is ReplayDead for what one commit takes.
func (s *deadLetters) replay(ctx context.Context, c *replayed) error {
	s.mu.Lock()
	for w := (*turn)(nil); ; {
		g, err := s.room(w, c.size)
		if err != nil {
			if w, err = s.turns.wait(ctx, w, c.size, err); err != nil {
				return err
			}
			continue
		}
		if err := s.appendReplayed(g, c); err != nil {
			s.mu.Unlock()
			return err
		}
		r := g.receipt
		s.wake()
		s.mu.Unlock()
		return r.spooled(ctx)
	}
}

// appendReplayed has g send c again. There is room. Under mu.
func (s *deadLetters) appendReplayed(g *group, c *replayed) error {
	defer g.endUnit()
	for i := range c.letters {
		d := &c.letters[i]
		if n := c.units[i]; n > 1 {
			g.unit = s.runsAtEnds(c.letters[i : i+n])
		} else if n == 1 {
			g.endUnit()
		}
		l := s.laneByID[d.Lane]
		if c.to != "" {
			var err error
			if l, err = s.lane(g, c.to); err != nil {
				return err
			}
		}
		if err := g.appendRaw(l, c.raw[i]); err != nil {
			return err
		}
		g.clears = append(g.clears, d.ref())
	}
	if c.to == "" {
		g.replayed += len(c.letters)
		return nil
	}
	g.audit = append(g.audit, fmt.Sprintf("%d dead letters sent to topic %s, numbers %d to %d",
		len(c.letters), c.to, c.letters[0].Serial, c.letters[len(c.letters)-1].Serial))
	return nil
}

// runsAtEnds are the runs of a unit of copies of dead letters that is appended next. Under mu.
func (s *deadLetters) runsAtEnds(letters []DeadLetter) (runs []spool.UnitRun) {
	for i := range letters {
		if n := len(runs); n == 0 || runs[n-1].Lane != letters[i].Lane {
			runs = append(runs, spool.UnitRun{Lane: letters[i].Lane, First: s.laneByID[letters[i].Lane].end})
		}
		runs[len(runs)-1].Count++
	}
	return runs
}

// replayLarge sends a unit again that is too large for one commit: the copies are staged, and the commit that makes them
// records of their lanes gives the dead letters up.
func (s *deadLetters) replayLarge(ctx context.Context, letters []DeadLetter, how *Replay) error {
	u := BeginUnit(s.Store)
	defer u.Abort()
	for rest := letters; len(rest) > 0; {
		n, size := 0, int64(0)
		for n < len(rest) && (n == 0 || size+rest[n].Bytes <= int64(s.space.hardCap/2)) {
			size += rest[n].Bytes
			n++
		}
		records, err := s.recordsOf(rest[:n], how)
		if err != nil {
			return err
		}
		if err := u.Stage(ctx, records); err != nil {
			return err
		}
		rest = rest[n:]
	}
	u.replaces = letters
	t, err := u.Commit(ctx, nil)
	if err != nil {
		return err
	}
	return t.Spooled(ctx)
}

// recordsOf are copies of dead letters, taken apart.
func (s *deadLetters) recordsOf(letters []DeadLetter, how *Replay) ([]RecordInput, error) {
	entries, err := s.entriesOf(letters)
	if err != nil {
		return nil, err
	}
	out := make([]RecordInput, 0, len(letters))
	for i := range letters {
		d := &letters[i]
		raw, err := sentAgain(d, entries[d.ref()], how)
		if err != nil {
			return nil, err
		}
		e, _, err := spool.NextEntry(raw)
		if err != nil {
			return nil, err
		}
		r, err := e.Record()
		if err != nil {
			return nil, err
		}
		out = append(out, RecordInput{Topic: d.Topic, Timestamp: r.Timestamp, Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers})
	}
	return out, nil
}
