package bolt

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/spoold/spoold/spool"
)

// NoTimestamp as a timestamp means the time of the call.
const NoTimestamp = math.MinInt64

// group is what one commit will make durable of callers' doing. It fills under
// Store.mu; from the swap on it belongs to the committer, and after the
// commit its buffers to the loop until Commit.Release.
type group struct {
	receipt  *Receipt
	sections []*section // in the order of their first entries
	free     []*section // of an earlier use, with their buffers
	lanes    []spool.NewLane
	notes    []Note
	keys     []spool.KeyRecord
	clears   []deadRef // dead letters that are dropped, or were replayed
	dropped  int       // how many of them the operator gave up
	replayed int       // how many come again as records of this group
	audit    []string  // what else is to be recorded
	keyBlock *spool.KeyBlock
	bytes    int
	records  int
	most     int             // bytes that a section's buffer grows to by doubling
	joined   []byte          // where several sections become one block
	unit     []spool.UnitRun // being appended

	staged     *stagedChunk // of a unit that is not committed; nil: none
	unitCommit *unitCommit  // of a staged unit; nothing is appended behind it
}

// section is one lane's part of a group.
type section struct {
	lane  *lane
	first spool.Index
	count int
	buf   []byte // room for a block's header, then entries
}

// lane is what appending needs of a topic. Guarded by Store.mu.
type lane struct {
	id    spool.LaneID
	topic string
	end   spool.Index // one above the last appended entry, committed or not
	group *group      // section belongs to it
	sect  *section
	index int32  // of section in its group
	quota *quota // nil: none

	places   []place // committed, ascending, not overlapping
	sweepAt  int     // look for dead places when there are so many
	attached []place // of repeats, in no order
}

// Append puts a record into the open group and returns at once, unless the spool is full or closed.
// The Ticket is answered when it is on disk. ErrFull comes only when ctx ends.
// Safe for concurrent use.
func (s *Store) Append(ctx context.Context, topic string, ts int64, partition int32, key, value []byte, headers []spool.Header) (Ticket, error) {
	t, _, err := s.AppendStamped(ctx, topic, ts, partition, key, value, headers)
	return t, err
}

// AppendStamped is Append, and returns the record's timestamp, too: for one without, the time at which it was taken. Those of
// one topic never go back, unless the host's clock does.
func (s *Store) AppendStamped(ctx context.Context, topic string, ts int64, partition int32, key, value []byte, headers []spool.Header) (Ticket, int64, error) {
	body := spool.BodySize(key, value, headers)
	size := spool.EntrySize(body, partition)
	if size > s.space.largest {
		return Ticket{}, 0, fmt.Errorf("%w: record of %d bytes, the spool takes %d at once", ErrTooLarge, size, s.space.largest)
	}
	if partition < -1 {
		return Ticket{}, 0, fmt.Errorf("%w: partition %d", ErrInvalid, partition)
	}
	var demands []demand
	if s.opt.Quota != nil {
		demands = []demand{{topic, int64(size)}}
	}
	s.mu.Lock()
	for p := (queued{}); ; {
		if waited, err := s.quotas.await(ctx, &p, demands); err != nil {
			return Ticket{}, 0, err
		} else if waited {
			continue
		}
		g, err := s.room(p.room, size)
		if err == nil {
			l, err := s.lane(g, topic)
			if err != nil {
				s.mu.Unlock()
				return Ticket{}, 0, err
			}
			if ts == NoTimestamp {
				ts = s.stamps.now(g.records)
			}
			t := g.append(l, size, ts, partition, key, value, headers, body)
			s.wake()
			s.mu.Unlock()
			return t, ts, nil
		}
		if p.room, err = s.turns.wait(ctx, p.room, size, err); err != nil {
			return Ticket{}, 0, err
		}
	}
}

var errGroupFull = errors.New("the commit before it is not on the disk yet: the disk is slow")

// room is the open group, if size more bytes may go in, and nobody waits before w; nil is a caller who has not waited. Then the
// place is given up. Under mu.
func (s *Store) room(w *turn, size int) (*group, error) {
	switch {
	case s.err != nil:
		return nil, s.err
	case s.closing:
		return nil, ErrClosed
	case s.space.full != nil:
		return nil, s.space.full
	case s.open.unitCommit != nil:
		return nil, errGroupFull
	case size <= s.space.hardCap && len(s.turns.list) > 0 && s.turns.list[0] != w:
		return nil, errGroupFull
	case size > s.space.hardCap && size > s.space.granted:
		if s.space.noGrant != nil {
			return nil, s.space.noGrant
		}
		return nil, errGroupFull // the committer looks for room first
	case s.open.bytes > 0 && s.open.bytes+size > s.space.hardCap:
		return nil, errGroupFull
	case s.space.granted > 0 && size <= s.space.hardCap:
		return nil, errGroupFull // one that needs a group of its own would wait for ever
	}
	if size > s.space.hardCap {
		s.space.granted = 0 // it is used
	}
	s.turns.leave(w)
	return s.open, nil
}

// waitForRoom is turns.wait for what has no turn.
func (s *Store) waitForRoom(ctx context.Context, size int, why error) error {
	if s.err != nil || s.closing {
		s.mu.Unlock()
		return why
	}
	if s.roomy == nil {
		s.roomy = make(chan struct{})
	}
	roomy := s.roomy
	big := 0
	if size > s.space.hardCap {
		big = 1
		s.space.wanted = max(s.space.wanted, size)
	}
	s.wake()
	s.space.big += big
	s.mu.Unlock()
	select {
	case <-roomy:
		s.mu.Lock()
		s.space.big -= big
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		if s.space.big -= big; big > 0 {
			s.space.wanted, s.space.granted = 0, 0 // others ask again
			s.wakeWaiters()
		}
		why = s.space.stillFull(size, why)
		s.mu.Unlock()
		return fmt.Errorf("%w: %w: %w", ErrFull, why, context.Cause(ctx))
	}
}

// stillFull says why there is no room at the end of a wait that began because of why: the committer has looked since. Under mu.
func (s *space) stillFull(size int, why error) error {
	switch {
	case s.full != nil:
		return s.full
	case size > s.hardCap && s.noGrant != nil:
		return s.noGrant
	}
	return why
}

// lane finds or gives a topic's lane. Under mu.
func (s *Store) lane(g *group, topic string) (*lane, error) {
	if l, ok := s.lanes[topic]; ok {
		return l, nil
	}
	if topic == "" || len(topic) > maxTopic {
		return nil, fmt.Errorf("%w: topic name of %d bytes, allowed are 1 to %d", ErrInvalid, len(topic), maxTopic)
	}
	if err := s.space.roomForTopics(topic, 1); err != nil {
		return nil, err
	}
	l := &lane{id: spool.LaneID(len(s.laneByID)), topic: topic}
	l.quota = s.quotas.of(topic, l.id)
	s.lanes[topic] = l
	s.laneByID = append(s.laneByID, l)
	g.lanes = append(g.lanes, spool.NewLane{ID: l.id, Topic: topic})
	return l, nil
}

// roomForTopics refuses n more topics if there would be too many: each takes memory and
// room on the disk for as long as the spool is there. Under mu.
func (s *space) roomForTopics(topic string, n int) error {
	if s.stateFull {
		return fmt.Errorf("%w: what the spool keeps about %d topics takes a sixty-fourth of what its files may own (spool.max.bytes, or the disk): raise that, or look for misspelt topics in spoold ls",
			ErrTooManyTopics, len(s.laneByID))
	}
	if len(s.laneByID)+n <= s.opt.MaxTopics {
		return nil
	}
	return fmt.Errorf("%w: the spool has %d topics, and %q would be one more than spool.max.topics = %d allows: raise it and start again, or look for a misspelt topic in spoold ls",
		ErrTooManyTopics, len(s.laneByID), topic, s.opt.MaxTopics)
}

// append encodes one record. There is room.
func (g *group) append(l *lane, size int, ts int64, partition int32, key, value []byte, headers []spool.Header, body int) Ticket {
	if l.group != g {
		g.addSection(l)
	}
	sect := l.sect
	sect.reserve(size, g.most)
	before := len(sect.buf)
	if g.unit != nil && g.beginsUnit(l) {
		sect.buf = spool.AppendUnitEntry(sect.buf, g.unit, ts, partition, key, value, headers, body)
	} else {
		sect.buf = spool.AppendEntry(sect.buf, ts, partition, key, value, headers, body)
	}
	l.quota.took(len(sect.buf) - before)
	t := Ticket{receipt: g.receipt, section: l.index, ordinal: int32(sect.count)}
	sect.count++
	l.end++
	g.bytes += size
	g.records++
	return t
}

// appendRaw is append for an entry as it was encoded once, of no unit.
func (g *group) appendRaw(l *lane, raw []byte) error {
	if g.unit != nil && g.beginsUnit(l) {
		e, _, err := spool.NextEntry(raw)
		if err != nil {
			return err
		}
		raw = spool.AppendAgain(nil, &e, g.unit)
	}
	if l.group != g {
		g.addSection(l)
	}
	l.sect.reserve(len(raw), g.most)
	l.sect.buf = append(l.sect.buf, raw...)
	l.quota.took(len(raw))
	l.sect.count++
	l.end++
	g.bytes += len(raw)
	g.records++
	return nil
}

func (g *group) addSection(l *lane) {
	var sect *section
	if n := len(g.free); n > 0 {
		sect, g.free = g.free[n-1], g.free[:n-1]
	} else {
		sect = new(section)
	}
	*sect = section{lane: l, first: l.end, buf: append(sect.buf[:0], make([]byte, spool.BlockHeader)...)}
	l.group, l.sect, l.index = g, sect, int32(len(g.sections))
	g.sections = append(g.sections, sect)
}

// reserve makes room for size more bytes. The buffer doubles up to most, which is what all groups but those of one large batch take:
// append would let it grow by quarters, and what that leaves behind is more than all groups. A larger one grows by quarters.
func (sect *section) reserve(size, most int) {
	need := len(sect.buf) + size
	if need <= cap(sect.buf) {
		return
	}
	room := min(2*cap(sect.buf), most)
	if need > room {
		room = need + need/4
	}
	grown := make([]byte, len(sect.buf), room)
	copy(grown, sect.buf)
	sect.buf = grown
}

// wake signals an idle committer that there is work. Under mu.
func (s *Store) wake() {
	if s.idle {
		s.idle = false
		select {
		case s.kick <- struct{}{}:
		default: // the signal is there already
		}
	}
}

// recycle empties a group for its next use. It keeps buffers of keep bytes in all, and
// half as much again for what append rounds up: larger ones were the exception.
func (g *group) recycle(keep int) {
	keep += keep / 2
	free, total := g.free[:0], 0
	for _, list := range [2][]*section{slices.Clone(g.free), g.sections} {
		for _, sect := range list {
			if total += cap(sect.buf); total <= keep {
				sect.lane = nil
				free = append(free, sect)
			}
		}
	}
	joined := g.joined[:0]
	if cap(joined) > keep {
		joined = nil
	}
	clear(g.sections)
	*g = group{sections: g.sections[:0], free: free, joined: joined}
}
