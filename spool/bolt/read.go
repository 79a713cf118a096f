package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"
	"unsafe"

	"github.com/spoold/spoold/spool"
	bbolt "go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// Read copies entries of a lane into buf, from an index on: about max bytes, at least one section
// if there is one. Every entry in [from, next) that has not left the spool, and is not Missing, is
// in the sections; the first section may begin below from, and some of their entries may have left.
// Sections point into buf2, which is buf or a larger one. Damage is a *spool.CorruptError. For one
// reader at a time; blocks on the disk.
func (s *Store) Read(lane spool.LaneID, from spool.Index, max int, buf []byte) (sections []spool.Section, next spool.Index, buf2 []byte, err error) {
	r := reading{s: s, lane: lane, at: from, max: max, buf: buf[:0]}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer r.fault(&err)
	for again := 0; ; {
		more, err := r.step()
		if passing(err) {
			if err := r.waitForMore(err); err != nil {
				return nil, from, r.buf, err
			}
			continue
		}
		if errors.Is(err, errMoved) && again < 100 {
			again++ // it settled, or was carried elsewhere, while we looked
			continue
		}
		if err != nil {
			return nil, from, r.buf, damageIn(s.dir, err)
		}
		if !more {
			break
		}
	}
	off := 0
	for i := range r.out {
		n := r.lens[i]
		r.out[i].Bytes = r.buf[off : off+n : off+n]
		off += n
	}
	return r.out, r.at, r.buf, nil
}

// fault makes an error of a page that cannot be read: bbolt finds blocks in mapped ones. The goroutine has to panic on faults.
func (r *reading) fault(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("read lane %d from %d: %v", r.lane, r.at, p)
	}
}

// shortagePause is how long a read that lacked a descriptor or memory waits before it is tried again.
const shortagePause = 50 * time.Millisecond

// waitForMore waits before a read is tried again that lacked what the system may have later.
func (r *reading) waitForMore(err error) error {
	s := r.s
	s.mu.Lock()
	closing := s.closing || s.err != nil
	s.mu.Unlock()
	if closing {
		return s.closedOr(err)
	}
	t := time.NewTimer(shortagePause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.ended:
	}
	return nil
}

var (
	errMoved   = errors.New("moved")
	errNowhere = errors.New("nowhere") // an entry that has left is not held any more
)

type reading struct {
	s    *Store
	lane spool.LaneID
	at   spool.Index
	// exact: the entry at at is wanted, though it may have left, and no other.
	exact bool
	max   int
	buf   []byte
	out   []spool.Section
	lens  []int
}

func (r *reading) done() bool { return len(r.out) > 0 && len(r.buf) >= r.max }

// step reads what one segment has at r.at.
func (r *reading) step() (more bool, err error) {
	if r.done() {
		return false, nil
	}
	s := r.s
	s.view.RLock()
	if int(r.lane) >= s.state.Lanes() {
		s.view.RUnlock()
		return false, nil
	}
	end := s.state.End(r.lane)
	if first, ok := s.coming[r.lane]; ok {
		end = first
	}
	if !r.exact {
		r.at = s.state.NextHere(r.lane, r.at)
	}
	if r.at >= end {
		r.at = end
		s.view.RUnlock()
		return false, nil
	}
	for _, x := range s.sealed {
		if x.holds(r.lane, r.at) {
			s.view.RUnlock()
			return true, r.sealed(x)
		}
	}
	refs := r.collect(s.active.index)
	if len(refs) == 0 && r.exact {
		s.view.RUnlock()
		return false, errNowhere
	}
	if len(refs) == 0 {
		number := s.active.number
		s.view.RUnlock()
		return false, corrupt(number, spool.NoBlock, "record %d of lane %d is nowhere", r.at, r.lane)
	}
	a := s.active
	tx, err := a.db.Begin(false)
	s.view.RUnlock()
	if errors.Is(err, bbolterrors.ErrDatabaseNotOpen) {
		return true, s.closedOr(errMoved) // there is another one, unless this was the last
	}
	if err != nil {
		return false, fmt.Errorf("read: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	for i := range refs {
		if err := r.active(a, tx, &refs[i]); err != nil {
			return false, err
		}
	}
	return true, nil
}

// collect gives the sections from r.at on, as many as there is room for, as
// long as no other segment may have what is between them.
func (r *reading) collect(x *index) []ref {
	l := x.lanes[r.lane]
	if l == nil {
		return nil
	}
	if r.exact {
		i := l.search(r.at)
		for i < len(l.refs) && (l.refs[i].dead || l.refs[i].span.End <= r.at) {
			i++
		}
		if i == len(l.refs) || l.refs[i].span.First > r.at {
			return nil
		}
		return []ref{l.refs[i]}
	}
	settled := r.s.state.Settled(r.lane)
	room := r.max - len(r.buf)
	var refs []ref
	at := r.at
	for i := l.search(at); i < len(l.refs) && (room > 0 || len(refs) == 0 && len(r.out) == 0); i++ {
		c := l.refs[i]
		if at = settled.NextAbsent(at); c.span.First > at {
			break // what is needed next is elsewhere
		}
		if c.span.End <= at {
			continue
		}
		refs = append(refs, c)
		room -= c.len
		at = c.span.End
	}
	return refs
}

// active reads one section of the active segment. bbolt finds it; the bytes
// are read from the file, not from the map: a bad sector is an error then, not a fault.
func (r *reading) active(a *active, tx *bbolt.Tx, c *ref) error {
	b := tx.Bucket(c.block.name())
	if b == nil {
		return corrupt(a.number, c.block.number, "it is missing")
	}
	v := b.Get(keyData)
	if len(v) != c.block.size {
		return corrupt(a.number, c.block.number, "it has %d bytes, %d were written", len(v), c.block.size)
	}
	if len(v) < pageSize/4 {
		// It may be a part of the tree's page, or a copy of that.
		return r.take(bytes.NewReader(v), a.number, c, 0)
	}
	// The value is in the map at its place in the file; its page cannot be used again while tx is open.
	offset := int64(uintptr(unsafe.Pointer(&v[0])) - a.db.Info().Data)
	return r.take(a.file, a.number, c, offset)
}

func (r *reading) sealed(x *sealed) error {
	err := r.sealedLocked(x)
	r.s.cache.touch(x) // may unload another one: not with x locked
	return err
}

func (r *reading) sealedLocked(x *sealed) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if err := x.load(); err != nil {
		r.s.view.RLock()
		defer r.s.view.RUnlock()
		for _, y := range r.s.sealed {
			if x == y {
				return err
			}
		}
		return errMoved // off the list by now
	}
	r.s.view.RLock()
	refs := r.collect(x.index)
	left := r.s.state.Settled(r.lane).Contains(r.at)
	r.s.view.RUnlock()
	if len(refs) == 0 && r.exact {
		return errNowhere
	}
	if len(refs) == 0 && left {
		return errMoved // it left while we waited for the segment
	}
	if len(refs) == 0 {
		return corrupt(x.info.Number, spool.NoBlock, "record %d of lane %d is missing", r.at, r.lane)
	}
	for i := range refs {
		if err := r.take(x.file, x.info.Number, &refs[i], refs[i].block.offset); err != nil {
			return err
		}
	}
	return nil
}

// take reads one section and verifies it.
func (r *reading) take(f io.ReaderAt, segment uint64, c *ref, offset int64) error {
	start := len(r.buf)
	if cap(r.buf)-start < c.len {
		grown := make([]byte, start, start+c.len+(start+c.len)/8)
		copy(grown, r.buf)
		r.buf = grown
	}
	r.buf = r.buf[:start+c.len]
	if _, err := f.ReadAt(r.buf[start:], offset+int64(c.off)); err != nil {
		r.buf = r.buf[:start]
		return fmt.Errorf("read block %d of segment %d: %w", c.block.number, segment, err)
	}
	if spool.CRC(r.buf[start:]) != c.crc {
		r.buf = r.buf[:start]
		return corrupt(segment, c.block.number, "checksum of lane %d's entries %v", r.lane, c.span)
	}
	spans := c.spans
	if spans == nil {
		spans = []spool.Span{c.span}
	}
	r.out = append(r.out, spool.Section{Lane: r.lane, Spans: spans})
	r.lens = append(r.lens, c.len)
	r.at = c.span.End
	return nil
}

// eachEntry calls yield with each entry's index and bytes.
func eachEntry(sect *spool.Section, yield func(spool.Index, []byte)) error {
	b := sect.Bytes
	for _, sp := range sect.Spans {
		for i := sp.First; i < sp.End; i++ {
			_, rest, err := spool.NextEntry(b)
			if err != nil {
				return fmt.Errorf("record %d of lane %d: %w", i, sect.Lane, err)
			}
			yield(i, b[:len(b)-len(rest)])
			b = rest
		}
	}
	if len(b) != 0 {
		return fmt.Errorf("%d bytes behind the records of lane %d", len(b), sect.Lane)
	}
	return nil
}
