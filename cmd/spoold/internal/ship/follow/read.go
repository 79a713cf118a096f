package follow

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship"
	"github.com/spoold/spoold/internal/shortage"
)

// turn reads some of a log: of its oldest file that has something. It reports whether there may be more at once.
func (w *Follower) turn(ctx context.Context, g *group) (more bool, err error) {
	if w.blocked[g.base] {
		return false, nil
	}
	// All sizes before the first byte: where a later file has something, its writer is done with the earlier ones.
	for _, f := range g.files {
		f.look()
	}
	for i, f := range g.files {
		later := false
		for _, next := range g.files[i+1:] {
			later = later || next.size > 0
		}
		more, wait, err := w.readFile(ctx, f, later)
		if more || wait || err != nil {
			return more, err
		}
	}
	return false, nil
}

// readFile reads a part of a file and sends its records. later: files that were written after it have something. wait: the end of a
// line may still come, and what is in later files goes behind it.
func (w *Follower) readFile(ctx context.Context, f *file, later bool) (more, wait bool, err error) {
	if f.done && (w.o.Once || f.size == f.doneSize) {
		return false, false, nil
	}
	f.done = false
	if !f.unread() && len(f.buf) == 0 && !f.split.Skipping() {
		if w.o.Once {
			f.done = true
			f.close()
		}
		return false, false, nil
	}
	n, eof, err := w.fill(f)
	switch {
	case errors.Is(err, errReplaced):
		w.replaced(f)
		return false, true, nil
	case err != nil:
		return false, w.unreadable(f, err), nil
	}
	w.mended(f.name.Path)
	if n > 0 {
		f.changed = w.now()
	}
	if f.skipNUL {
		w.skipNULs(f)
	}
	in, end := f.buf, false
	if eof {
		in, end = w.ending(f, later)
	}
	took, err := w.records(ctx, f, in, end)
	if err != nil {
		return false, false, err
	}
	if eof && (f.read.Gzip || w.o.Once) {
		f.done, f.doneSize = true, f.size
		f.close()
	}
	return n > 0 || took > 0, later && len(f.buf) > 0, nil
}

// fill reads on. eof: there is nothing more at the moment.
func (w *Follower) fill(f *file) (n int, eof bool, err error) {
	if f.h == nil {
		w.makeRoom()
	}
	if err := f.open(); err != nil {
		return 0, false, err
	}
	f.look()
	if need := ship.MarkerSize + len(f.buf) + batchBytes; cap(w.scratch) < need {
		w.scratch = make([]byte, need)
	}
	return f.fill(w.scratch, batchBytes)
}

// ending decides what of the end of a file is whole.
func (w *Follower) ending(f *file, later bool) (in []byte, end bool) {
	quiet := w.now().Sub(f.changed) >= w.o.Quiet
	switch {
	case w.o.Once || f.read.Gzip || (later || f.missing) && quiet:
		return f.buf, true
	case quiet && w.o.Format.Starts != nil:
		// The lines that are whole make a record. One that is not may still get its end.
		if at := bytes.LastIndex(f.buf, w.o.Format.Delim); at >= 0 {
			return f.buf[:at+len(w.o.Format.Delim)], true
		}
	}
	return f.buf, false
}

// records cuts input into records, the first bytes of f.buf, and sends them. It says how many bytes it took.
func (w *Follower) records(ctx context.Context, f *file, in []byte, end bool) (took int, err error) {
	for {
		b, more, err := w.batch(f, in, end)
		took += b.took
		if err2 := w.sendBatch(ctx, f, &b); err2 != nil {
			return took, err2
		}
		in = f.buf[:len(in)-b.took] // sendBatch has moved what is left to the front
		if err != nil || !more {
			return took, err
		}
	}
}

// fileBatch is what one commit takes from a file.
type fileBatch struct {
	records []spoold.Record
	took    int            // bytes of the input
	whole   *ship.Position // behind the last record; nil: there is none
	size    int64
}

// batch cuts one batch off the input. more: there is another one in it.
func (w *Follower) batch(f *file, in []byte, end bool) (b fileBatch, more bool, err error) {
	base := clone(f.read)
	whole := -1
	count := f.pos.Records
	midLine := f.pos.MidLine
	spooled := 0 // what the records take in the spool, at most
	limit := w.o.limit()
	for spooled < w.o.MaxBatch && len(b.records) < limit {
		rest := in[b.took:]
		if len(rest) == 0 && !(end && f.split.Skipping()) {
			break
		}
		p := f.split.Next(rest, end)
		if p.Kind == ship.More {
			break
		}
		if p.Kind == ship.Record {
			if midLine || b.took == 0 && count > 0 && w.o.Format.Continues(p.Value) {
				w.splitLine(f, base.Offset+int64(b.took), midLine)
			}
			r := w.o.Record(Line{f.lineName(w.o.Single), base.Offset + int64(b.took), p.Value})
			need := recordSize(&r)
			if len(b.records) > 0 && spooled+need > w.o.MaxBatch {
				more = true
				break
			}
			b.records = append(b.records, r)
			spooled += need
			b.size += int64(p.Bytes)
			count++
			midLine = p.Cut
		} else if err = w.tooLong(f, base.Offset+int64(b.took), rest[:p.Bytes], p.Kind == ship.SkipEnd); err != nil {
			break
		}
		b.took += p.Bytes
		if p.Kind != ship.Skipped {
			whole = b.took
		}
	}
	if whole >= 0 {
		b.whole = base
		b.whole.Advance(in[:whole])
		b.whole.Records, b.whole.MidLine = count, midLine
	}
	f.read = clone(f.read)
	f.read.Advance(in[:b.took])
	return b, more || spooled >= w.o.MaxBatch || len(b.records) >= limit, err
}

// limit is how many records the next batch may have.
func (o *Options) limit() int {
	if o.MaxRecords == nil {
		return math.MaxInt
	}
	return max(o.MaxRecords(), 1)
}

// recordSize is what a record takes in the spool, at most.
func recordSize(r *spoold.Record) int {
	n := 48 + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += 10 + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return n
}

// sendBatch gives a batch and the position behind it to the spool, in one commit.
func (w *Follower) sendBatch(ctx context.Context, f *file, b *fileBatch) error {
	if b.whole != nil {
		note := w.o.note(b.whole)
		if err := w.send(ctx, f.name.Base, spoold.Batch{Records: b.records, Notes: []spoold.Note{note}}, b.size); err != nil {
			return err
		}
		f.pos = b.whole
		w.positions[f.pos.ID] = f.pos
	}
	f.buf = append(f.buf[:0], f.buf[b.took:]...)
	if len(f.buf) == 0 && cap(f.buf) > 2*batchBytes {
		f.buf = nil
	}
	return nil
}

// splitLine: the last record had no delimiter, or lines that belong to it came after --quiet.
func (w *Follower) splitLine(f *file, offset int64, midLine bool) {
	detail := "the file grew behind a last line that had no end: the rest of that line is a record of its own"
	if !midLine {
		detail = "lines came that belong to a record of several, after that was taken as whole: they are a record of their own"
	}
	w.stats.splits.Add(1)
	w.o.Report(Event{Kind: Split, Path: f.name.Path, Offset: offset, Detail: detail})
}

// skipNULs passes over what a writer leaves that does not append: after a truncation it writes where it was, and the
// bytes in front are NUL.
func (w *Follower) skipNULs(f *file) {
	n := 0
	for n < len(f.buf) && f.buf[n] == 0 {
		n++
	}
	f.read = clone(f.read)
	f.read.Advance(f.buf[:n])
	f.nuls += int64(n)
	f.buf = append(f.buf[:0], f.buf[n:]...)
	if len(f.buf) == 0 {
		return
	}
	f.skipNUL = false
	if f.nuls > 0 {
		w.stats.gaps.Add(1)
		w.o.Report(Event{Kind: Gap, Path: f.name.Path, Offset: 0,
			Detail: fmt.Sprintf("the file begins with %d NUL bytes, which a writer without O_APPEND leaves after a truncation: they are passed over", f.nuls)})
	}
}

// replaced: the file holds other bytes than those that were read. The next scan finds out where the position goes on.
func (w *Follower) replaced(f *file) {
	w.noteCut(f.pos, max(0, f.most-f.pos.Offset), true)
	w.cutFrom[f.id] = true
	w.drop(f)
	if g := w.groups[f.name.Base]; g != nil {
		for i := range g.files {
			if g.files[i] == f {
				g.files = append(g.files[:i:i], g.files[i+1:]...)
				break
			}
		}
	}
	w.watch.scan = true
}

// unreadable: a file that is not there (any more) is found by the next scan, if anywhere, and the log waits for that. Another
// fault is reported and tried again, while the rest of the log is read.
func (w *Follower) unreadable(f *file, err error) (wait bool) {
	if errors.Is(err, fs.ErrNotExist) {
		f.missing = true
		w.watch.scan = true
		return true
	}
	damaged := f.read.Gzip && isDamage(err)
	if damaged {
		err = fmt.Errorf("the compressed file is cut off or damaged: the lines in front of that were read (%w)", err)
	}
	f.close()
	w.fail(f.name.Path, err)
	if shortage.Is(err) {
		return true
	}
	if w.o.Once || damaged {
		f.done, f.doneSize = true, f.size // until it has changed
	}
	return false
}

// isDamage reports whether an error is of what a compressed file holds.
func isDamage(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.As(err, &corrupt)
}

// makeRoom closes a file that has nothing to be read when too many are open.
func (w *Follower) makeRoom() {
	open := 0
	var oldest *file
	for _, f := range w.files {
		if f.h == nil {
			continue
		}
		open++
		if !f.missing && !f.unread() && len(f.buf) == 0 && (oldest == nil || f.changed.Before(oldest.changed)) {
			oldest = f
		}
	}
	if open >= w.o.MaxOpen && oldest != nil {
		oldest.close()
	}
}
