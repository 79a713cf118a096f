package bolt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
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
	keyBlock *spool.KeyBlock
	bytes    int
	records  int
	joined   []byte // where several sections become one block
}

// section is one lane's part of a group.
type section struct {
	lane  *lane
	first spool.Index
	count int
	buf   []byte // room for a block's header, then entries
}

// lane is what appending needs to know of a topic. Guarded by Store.mu.
type lane struct {
	id    spool.LaneID
	topic string
	end   spool.Index // one above the last appended entry, committed or not
	group *group      // section belongs to it
	sect  *section
	index int32 // of section in its group

	places   []place // committed, ascending, not overlapping
	sweepAt  int     // look for dead places when there are so many
	attached []place // of repeats, in no order
}

// Note is a caller's fact. A nil Value deletes it.
type Note struct {
	Name  string // 1 to 255 bytes
	Value []byte // up to 4 KiB
}

// RecordInput is one record of a batch. Its slices are copied.
type RecordInput struct {
	Topic      string
	Timestamp  int64 // ms, or NoTimestamp
	Partition  int32 // or -1
	Key, Value []byte
	Headers    []spool.Header
}

// BatchInput goes into one commit, or nowhere.
type BatchInput struct {
	Records []RecordInput
	Notes   []Note
	Scope   string // of Key
	Key     string // "": none
}

// Append puts a record into the open group and returns at once, unless the spool is full or closed.
// The Ticket tells when it is on disk. ErrFull comes only when ctx ends.
// Safe for concurrent use.
func (s *Store) Append(ctx context.Context, topic string, ts int64, partition int32, key, value []byte, headers []spool.Header) (Ticket, error) {
	body := spool.BodySize(key, value, headers)
	size := spool.EntrySize(body, partition)
	if size > s.largest {
		return Ticket{}, fmt.Errorf("%w: record of %d bytes, the spool takes %d at once", ErrTooLarge, size, s.largest)
	}
	if partition < -1 {
		return Ticket{}, fmt.Errorf("%w: partition %d", ErrInvalid, partition)
	}
	if ts == NoTimestamp {
		ts = s.clock.wall().UnixMilli()
	}
	s.mu.Lock()
	for {
		g, err := s.room(size)
		if err == nil {
			l, err := s.lane(g, topic)
			if err != nil {
				s.mu.Unlock()
				return Ticket{}, err
			}
			t := g.append(l, size, ts, partition, key, value, headers, body)
			s.wake()
			s.mu.Unlock()
			return t, nil
		}
		if err := s.waitForRoom(ctx, size, err); err != nil {
			return Ticket{}, err
		}
	}
}

var errGroupFull = errors.New("bolt: the disk is behind")

// room is the open group, if size more bytes may go in. Under mu.
func (s *Store) room(size int) (*group, error) {
	switch {
	case s.err != nil:
		return nil, s.err
	case s.closing:
		return nil, ErrClosed
	case s.full != nil:
		return nil, s.full
	case s.open.bytes > 0 && s.open.bytes+size > s.hardCap:
		return nil, errGroupFull
	case s.big > 0 && size <= s.hardCap:
		return nil, errGroupFull // one that needs a group of its own would wait for ever
	}
	return s.open, nil
}

// waitForRoom gives mu away until there may be room, and takes it back. If it returns an
// error, mu is not held.
func (s *Store) waitForRoom(ctx context.Context, size int, why error) error {
	if s.err != nil || s.closing {
		s.mu.Unlock()
		return why
	}
	if s.roomy == nil {
		s.roomy = make(chan struct{})
	}
	roomy := s.roomy
	s.wake()
	big := 0
	if size > s.hardCap {
		big = 1
	}
	s.big += big
	s.mu.Unlock()
	select {
	case <-roomy:
		s.mu.Lock()
		s.big -= big
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		if s.big -= big; big > 0 {
			s.letIn()
		}
		s.mu.Unlock()
		return fmt.Errorf("%w: %w: %w", ErrFull, why, context.Cause(ctx))
	}
}

// lane finds or gives a topic's lane. Under mu.
func (s *Store) lane(g *group, topic string) (*lane, error) {
	if l, ok := s.lanes[topic]; ok {
		return l, nil
	}
	if topic == "" || len(topic) > maxTopic {
		return nil, fmt.Errorf("%w: topic name of %d bytes, allowed are 1 to %d", ErrInvalid, len(topic), maxTopic)
	}
	if err := s.roomForTopics(topic, 1); err != nil {
		return nil, err
	}
	l := &lane{id: spool.LaneID(len(s.laneByID)), topic: topic}
	s.lanes[topic] = l
	s.laneByID = append(s.laneByID, l)
	g.lanes = append(g.lanes, spool.NewLane{ID: l.id, Topic: topic})
	return l, nil
}

// roomForTopics refuses n more topics if there would be too many: each takes memory and
// room on the disk for as long as the spool is there. Under mu.
func (s *Store) roomForTopics(topic string, n int) error {
	if len(s.laneByID)+n <= s.opt.MaxTopics {
		return nil
	}
	return fmt.Errorf("%w: the spool has %d topics, and %q would be one more than spool.max.topics = %d allows: raise it and start again, or look for a misspelt topic in spoold ls",
		ErrTooManyTopics, len(s.laneByID), topic, s.opt.MaxTopics)
}

// checkTopics is roomForTopics for all new topics of a batch. Under mu.
func (s *Store) checkTopics(b *BatchInput) error {
	var fresh map[string]struct{}
	for i := range b.Records {
		topic := b.Records[i].Topic
		if _, ok := s.lanes[topic]; ok {
			continue
		}
		if fresh == nil {
			fresh = make(map[string]struct{})
		}
		fresh[topic] = struct{}{}
		if err := s.roomForTopics(topic, len(fresh)); err != nil {
			return err
		}
	}
	return nil
}

// append encodes one record. There is room.
func (g *group) append(l *lane, size int, ts int64, partition int32, key, value []byte, headers []spool.Header, body int) Ticket {
	if l.group != g {
		g.addSection(l)
	}
	sect := l.sect
	sect.buf = spool.AppendEntry(sect.buf, ts, partition, key, value, headers, body)
	t := Ticket{receipt: g.receipt, section: l.index, ordinal: int32(sect.count)}
	sect.count++
	l.end++
	g.bytes += size
	g.records++
	return t
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

// AppendBatch puts records and notes into the open group, all of them. With a Key that is known,
// it stores nothing and gives the tickets of the first batch with it;
// ErrKeyReused if that one was another. ErrKeyWindow: too many keys in too short
// a time; nothing was stored. Safe for concurrent use.
func (s *Store) AppendBatch(ctx context.Context, b *BatchInput) (Tickets, error) {
	size, err := s.checkBatch(b)
	if err != nil {
		return Tickets{}, err
	}
	if len(b.Records) == 0 && len(b.Notes) == 0 && b.Key == "" {
		return Tickets{receipt: s.past}, nil // nothing to wait for
	}
	var digest spool.KeyDigest
	var bodyDigest uint64
	if b.Key != "" {
		digest, bodyDigest = b.digests()
	}
	s.mu.Lock()
	for {
		// A repeat needs no room, and is answered on a full disk, too.
		if b.Key != "" && s.err == nil && !s.closing {
			hit, verdict := s.keys.Find(digest, bodyDigest, s.clock.now().Age)
			switch verdict {
			case spool.KeyRepeat:
				t, err := s.attach(b, hit)
				s.mu.Unlock()
				return t, err
			case spool.KeyReused:
				s.mu.Unlock()
				return Tickets{}, ErrKeyReused
			case spool.KeyNoRoom:
				s.mu.Unlock()
				return Tickets{}, ErrKeyWindow
			}
		}
		g, err := s.room(size)
		if err == nil {
			t, err := s.appendAll(g, b, digest, bodyDigest)
			s.wake()
			s.mu.Unlock()
			return t, err
		}
		if err := s.waitForRoom(ctx, size, err); err != nil {
			return Tickets{}, err
		}
	}
}

// MaxBatch is the largest batch, and record, that is taken, encoded.
func (s *Store) MaxBatch() int { return s.largest }

// checkBatch says how much room a batch needs, or why it cannot be stored.
func (s *Store) checkBatch(b *BatchInput) (int, error) {
	size := 0
	for i := range b.Records {
		r := &b.Records[i]
		if r.Topic == "" || len(r.Topic) > maxTopic {
			return 0, fmt.Errorf("%w: record %d: topic name of %d bytes, allowed are 1 to %d", ErrInvalid, i, len(r.Topic), maxTopic)
		}
		if r.Partition < -1 {
			return 0, fmt.Errorf("%w: record %d: partition %d", ErrInvalid, i, r.Partition)
		}
		size += spool.EntrySize(spool.BodySize(r.Key, r.Value, r.Headers), r.Partition)
	}
	for _, n := range b.Notes {
		if n.Name == "" || len(n.Name) > maxNoteName {
			return 0, fmt.Errorf("%w: note name of %d bytes, allowed are 1 to %d", ErrInvalid, len(n.Name), maxNoteName)
		}
		if len(n.Value) > maxNoteValue {
			return 0, fmt.Errorf("%w: note %q of %d bytes, allowed are %d", ErrTooLarge, n.Name, len(n.Value), maxNoteValue)
		}
		size += len(n.Name) + len(n.Value)
	}
	if size > s.largest {
		return 0, fmt.Errorf("%w: batch of %d bytes, the spool takes %d at once", ErrTooLarge, size, s.largest)
	}
	return size, nil
}

// appendAll is AppendBatch once there is room. Under mu.
func (s *Store) appendAll(g *group, b *BatchInput, digest spool.KeyDigest, bodyDigest uint64) (Tickets, error) {
	if err := s.checkTopics(b); err != nil {
		return Tickets{}, err
	}
	t := Tickets{list: make([]Ticket, 0, len(b.Records)), receipt: g.receipt}
	now := s.clock.now()
	var runs []spool.KeyRun
	for i := range b.Records {
		r := &b.Records[i]
		l, err := s.lane(g, r.Topic)
		if err != nil {
			return Tickets{}, err // checkBatch and checkTopics have looked: not reached with records appended
		}
		ts := r.Timestamp
		if ts == NoTimestamp {
			ts = now.Wall
		}
		if b.Key != "" {
			runs = addToRun(runs, l)
		}
		body := spool.BodySize(r.Key, r.Value, r.Headers)
		t.list = append(t.list, g.append(l, spool.EntrySize(body, r.Partition), ts, r.Partition, r.Key, r.Value, r.Headers, body))
	}
	for _, n := range b.Notes {
		g.notes = append(g.notes, Note{n.Name, slices.Clone(n.Value)})
		g.bytes += len(n.Name) + len(n.Value)
	}
	if b.Key != "" {
		rec := spool.KeyRecord{Digest: digest, Body: bodyDigest, Age: now.Age, Runs: runs}
		if g.keyBlock == nil {
			g.keyBlock = new(spool.KeyBlock)
		}
		s.keys.Add(rec, g.keyBlock)
		g.keys = append(g.keys, rec)
		g.bytes += 32
	}
	return t, nil
}

func addToRun(runs []spool.KeyRun, l *lane) []spool.KeyRun {
	for i := range runs {
		if runs[i].Lane == l.id {
			runs[i].Count++
			return runs
		}
	}
	return append(runs, spool.KeyRun{Lane: l.id, First: l.end, Count: 1})
}

// digests of the key and of what was sent with it.
func (b *BatchInput) digests() (spool.KeyDigest, uint64) {
	h := sha256.New()
	var n [binary.MaxVarintLen64]byte
	number := func(v int64) { _, _ = h.Write(n[:binary.PutVarint(n[:], v)]) }
	text := func(v []byte) {
		if v == nil {
			number(-1)
			return
		}
		number(int64(len(v)))
		_, _ = h.Write(v)
	}
	text([]byte(b.Scope))
	text([]byte(b.Key))
	digest := spool.KeyDigest(h.Sum(nil)[:16])
	h.Reset()
	for i := range b.Records {
		r := &b.Records[i]
		text([]byte(r.Topic))
		number(r.Timestamp)
		number(int64(r.Partition))
		text(r.Key)
		text(r.Value)
		number(int64(len(r.Headers)))
		for _, x := range r.Headers {
			text([]byte(x.Key))
			text(x.Value)
		}
	}
	return digest, binary.LittleEndian.Uint64(h.Sum(nil))
}

// wake tells an idle committer that there is work. Under mu.
func (s *Store) wake() {
	if s.idle {
		s.idle = false
		select {
		case s.kick <- struct{}{}:
		default: // it is told already
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
