package bolt

import (
	"context"
	"fmt"

	"github.com/spoold/spoold/spool"
)

// Replay says how dead letters are sent again. The zero value sends them to their own topics, and leaves those in doubt.
type Replay struct {
	MayDuplicate bool   // those in doubt as well
	Topic        string // "": each to its own
	Timestamp    int64  // ms since 1970, for all; 0: each keeps its own
	Choose       bool   // their partitions are chosen anew
	// Headers are put behind the record's own; nil: none.
	Headers func(*DeadLetter) []spool.Header
}

// ReplayDead puts copies of dead letters at the ends of their lanes, as records that have just come, and gives the dead
// letters up in the same commits. It says how many, and how many stay what they are: those in doubt, and those that are too
// large with more headers. ErrFull comes only when ctx ends.
func (s *Store) ReplayDead(ctx context.Context, f DeadFilter, how Replay) (done, left int, err error) {
	s.dead.dlq.Lock()
	defer s.dead.dlq.Unlock()
	list := s.DeadLetters(f, -1)
	for len(list) > 0 {
		chunk := &replayed{to: how.Topic}
		for len(list) > 0 && (len(chunk.letters) == 0 || chunk.size+int(list[0].Bytes) <= s.space.hardCap/2) {
			d := &list[0]
			list = list[1:]
			if d.InDoubt && !how.MayDuplicate {
				left++
				continue
			}
			raw, err := s.dead.sentAgain(d, &how)
			if err != nil {
				return done, left, err
			}
			if len(raw) > s.space.largest {
				left++
				continue
			}
			chunk.letters, chunk.raw, chunk.size = append(chunk.letters, *d), append(chunk.raw, raw), chunk.size+len(raw)
		}
		if len(chunk.letters) == 0 {
			continue
		}
		if err := s.dead.replay(ctx, chunk); err != nil {
			return done, left, err
		}
		done += len(chunk.letters)
	}
	return done, left, nil
}

// sentAgain is the entry of a dead letter as it is appended once more.
func (s *deadLetters) sentAgain(d *DeadLetter, how *Replay) ([]byte, error) {
	b, err := s.DeadEntry(d.Lane, d.Index)
	if err != nil {
		return nil, err
	}
	e, _, err := spool.NextEntry(b)
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
		return spool.AppendAgain(nil, &e), nil // it is of no unit any more
	}
	r, err := e.Record()
	if err != nil {
		return nil, err
	}
	headers := r.Headers
	if how.Headers != nil {
		headers = append(headers[:len(headers):len(headers)], how.Headers(d)...)
	}
	return spool.AppendEntry(nil, r.Timestamp, r.Partition, r.Key, r.Value, headers, spool.BodySize(r.Key, r.Value, headers)), nil
}

// replayed is what one commit sends again.
type replayed struct {
	to      string // topic; "": each to its own
	letters []DeadLetter
	raw     [][]byte
	size    int
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
		for i := range c.letters {
			d := &c.letters[i]
			l := s.laneByID[d.Lane]
			if c.to != "" {
				if l, err = s.lane(g, c.to); err != nil {
					s.mu.Unlock()
					return err
				}
			}
			g.appendRaw(l, c.raw[i])
			g.clears = append(g.clears, deadRef{d.Lane, d.Index})
		}
		if c.to == "" {
			g.replayed += len(c.letters)
		} else {
			g.audit = append(g.audit, fmt.Sprintf("%d dead letters sent to topic %s, numbers %d to %d",
				len(c.letters), c.to, c.letters[0].Serial, c.letters[len(c.letters)-1].Serial))
		}
		r := g.receipt
		s.wake()
		s.mu.Unlock()
		return r.spooled(ctx)
	}
}
