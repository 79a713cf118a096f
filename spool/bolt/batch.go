package bolt

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/spoold/spoold/spool"
)

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
	Unit    bool   // the records are never divided between Kafka transactions
}

// checkTopics is roomForTopics for all new topics of a batch. Under mu.
func (s *space) checkTopics(b *BatchInput) error {
	if err := s.roomForNotes(b.Notes); err != nil {
		return err
	}
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
	demands := s.quotas.demands(b)
	s.mu.Lock()
	for p := (queued{}); ; {
		if t, err, known := s.answers.findKey(b, digest, bodyDigest); known {
			s.turns.leave(p.room)
			p.leaveQuota()
			s.mu.Unlock()
			return t, err
		}
		if waited, err := s.quotas.await(ctx, &p, demands); err != nil {
			return Tickets{}, err
		} else if waited {
			continue
		}
		g, err := s.room(p.room, size)
		if err == nil {
			t, err := s.appendAll(g, b, digest, bodyDigest)
			s.wake()
			s.mu.Unlock()
			return t, err
		}
		if p.room, err = s.turns.wait(ctx, p.room, size, err); err != nil {
			return Tickets{}, err
		}
	}
}

// findKey answers a batch by its idempotency key, if that is known. A repeat needs no room, and is answered on a full disk, too.
// Under mu.
func (s *answers) findKey(b *BatchInput, digest spool.KeyDigest, bodyDigest uint64) (t Tickets, err error, known bool) {
	if b.Key == "" || s.err != nil || s.closing {
		return Tickets{}, nil, false //nolint:nilerr // what stopped the spool is the answer of whoever needs room
	}
	hit, verdict := s.keys.Find(digest, bodyDigest, s.clock.now().Age)
	switch verdict {
	case spool.KeyRepeat:
		t, err = s.attach(b, hit)
		return t, err, true
	case spool.KeyReused:
		return Tickets{}, ErrKeyReused, true
	case spool.KeyNoRoom:
		return Tickets{}, ErrKeyWindow, true
	}
	return Tickets{}, nil, false
}

// MaxBatch is the largest batch, and record, that is taken, encoded.
func (s *Store) MaxBatch() int { return s.space.largest }

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
	size += b.unitSize()
	if size > s.space.largest {
		return 0, fmt.Errorf("%w: batch of %d bytes, the spool takes %d at once", ErrTooLarge, size, s.space.largest)
	}
	return size, nil
}

// appendAll is AppendBatch once there is room. Under mu.
func (s *Store) appendAll(g *group, b *BatchInput, digest spool.KeyDigest, bodyDigest uint64) (Tickets, error) {
	if err := s.space.checkTopics(b); err != nil {
		return Tickets{}, err
	}
	t := Tickets{list: make([]Ticket, 0, len(b.Records)), receipt: g.receipt}
	now := s.clock.now()
	var runs []spool.KeyRun
	if err := s.beginUnit(g, b); err != nil {
		return Tickets{}, err
	}
	defer g.endUnit()
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
