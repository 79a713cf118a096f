package bolt

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spoold/spoold/spool"
	bbolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
)

// Repaired is what Repair has made.
type Repaired struct {
	Damage   []spool.SegmentDamage // what was damaged, and what is lost
	Counters spool.Counters        // of the new spool
	Topics   []string              // by LaneID
}

// Repair makes a new spool in a directory that is not there yet, of all that can be vouched for of one that may be damaged, and
// changes nothing in that one. Damage to records costs those; without its state a spool cannot be repaired, for it cannot be
// known what was delivered of it: that is a *spool.CorruptError. copied is called with the bytes that were copied, and all
// there are. After an error there is no new spool.
func Repair(from, to string, copied func(done, all int64)) (_ *Repaired, err error) {
	l, err := takeLock(from, false)
	if err != nil {
		return nil, err
	}
	defer l.release()
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = &os.PathError{Op: "mkdir", Path: to, Err: fs.ErrExist}
		}
		return nil, err
	}
	if err := makeDir(to); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(to)
		}
	}()
	if err := copySpool(from, to, copied); err != nil {
		return nil, err
	}
	if err := retire(to); err != nil {
		return nil, damageIn(from, err)
	}
	if err := standIn(to); err != nil {
		return nil, damageIn(from, err)
	}
	// The new one must have what the old one had at last.
	if err := os.WriteFile(filepath.Join(to, lockName), []byte("0\n\n"+newestLine(l.newest)), 0o600); err != nil {
		return nil, err
	}
	numbers, _, err := listSegments(to)
	if err != nil {
		return nil, err
	}
	s, r, err := Open(Options{Path: to, Adopt: true, Verify: numbers, MinFreeBytes: -1, RewriteAfter: -1})
	if err != nil {
		var damage *spool.CorruptError
		if errors.As(err, &damage) {
			damage.Path = segmentFile(from, damage.Segment)
		}
		return nil, err
	}
	go func() {
		for c := range s.Commits() {
			c.Release()
		}
	}()
	rep := &Repaired{Damage: r.Damage, Counters: r.Counters}
	for i := range r.Lanes {
		rep.Topics = append(rep.Topics, r.Lanes[i].Topic)
	}
	return rep, s.Close(context.Background())
}

// copySpool copies a spool's segments, durably.
func copySpool(from, to string, copied func(done, all int64)) error {
	numbers, _, err := listSegments(from)
	if err != nil {
		return err
	}
	paths, all := damagedFiles(from)
	for _, n := range numbers {
		paths = append(paths, segmentPath(from, n))
		if st, err := os.Stat(segmentPath(from, n)); err == nil {
			all += st.Size()
		}
	}
	if len(paths) == 0 {
		return &NoSpoolError{Path: from}
	}
	done := int64(0)
	for _, path := range paths {
		n, err := copyFile(path, filepath.Join(to, filepath.Base(path)))
		if err != nil {
			return err
		}
		done += n
		copied(done, all)
	}
	return syncDir(to)
}

func copyFile(from, to string) (n int64, err error) {
	in, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(out, in)
	return n, errors.Join(err, out.Sync(), out.Close())
}

// retire has the active segment of a spool followed by a new one, if its records are damaged and its state is not: then it is an
// older one, whose damage a start sets aside.
func retire(dir string) error {
	numbers, _, err := listSegments(dir)
	if err != nil || len(numbers) == 0 {
		return err
	}
	v, _, err := newest(dir, numbers)
	var damage *spool.CorruptError
	if !errors.As(err, &damage) {
		if v == nil && err == nil {
			err = &NoSpoolError{Path: dir}
		}
		return err
	}
	im, pairs, stateErr := readState(dir, damage.Segment)
	if stateErr != nil || im.head == nil {
		return err // the state is what is damaged
	}
	return writeState(dir, im, pairs)
}

// standIn makes an empty file for each older segment whose file is missing: it is set aside then, as one that is damaged throughout.
func standIn(dir string) error {
	numbers, _, err := listSegments(dir)
	if err != nil || len(numbers) == 0 {
		return err
	}
	v, _, err := newest(dir, numbers)
	if err != nil || v == nil {
		return err
	}
	for _, info := range v.state.Segments() {
		_, err := os.Lstat(segmentFile(dir, info.Number))
		if info.Number < v.number && errors.Is(err, fs.ErrNotExist) {
			err = os.WriteFile(segmentPath(dir, info.Number), nil, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readState reads head and state of a segment, whose blocks of records may be damaged.
func readState(dir string, number uint64) (im *image, pairs []spool.KV, err error) {
	if im, err = readFile(dir, number, imageParts{state: true, keysOnly: true}); err != nil {
		return nil, nil, err
	}
	f, err := os.Open(segmentPath(dir, number))
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	p, err := openPages(f, st.Size())
	if err != nil {
		return nil, nil, err
	}
	err = p.walk(p.root, true, func(x pair, _ bool) error {
		if !bytes.Equal(x.key, nameState) {
			return nil
		}
		return p.bucket(x, true, func(kv pair) error {
			pairs = append(pairs, spool.KV{Key: bytes.Clone(kv.key), Value: append([]byte{}, kv.value...)})
			return nil
		})
	})
	return im, pairs, err
}

// writeState makes the segment above im's, with im's state, in which im is an older segment that has whatever no other has.
func writeState(dir string, im *image, pairs []spool.KV) error {
	h := *im.head
	info := spool.SegmentInfo{Number: im.number, Blocks: h.Blocks, Sum: h.BlockSum, Keys: h.Keys, KeySum: h.KeySum, Extents: elsewhere(im.state)}
	var changes spool.Changes
	im.state.PutSegment(info, &changes)
	pairs = append(pairs, changes.List...)
	fl := &Faults{}
	if err := createSegment(dir, im.number+1, fileSlack, fl); err != nil {
		return err
	}
	db, _, err := openBolt(segmentPath(dir, im.number+1)+tempSuffix, 0, fl)
	if err != nil {
		return err
	}
	next := spool.Head{Segment: im.number + 1, Block: h.Block, Age: h.Age, BootTime: h.BootTime, Boot: h.Boot}
	err = db.Update(func(tx *bbolt.Tx) error {
		state, err := tx.CreateBucket(nameState)
		for i := 0; err == nil && i < len(pairs); i++ {
			_, err = putPair(state, &pairs[i], &next)
		}
		if err != nil {
			return err
		}
		head, err := tx.CreateBucket(nameHead)
		if err != nil {
			return err
		}
		return head.Put(keyHead, spool.AppendHead(nil, &next))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(nameSegment(d, im.number+1, fl), d.Close())
}

// elsewhere is which entries are needed and in no older segment.
func elsewhere(st *spool.State) (out []spool.Extent) {
	listed := make([]*spool.Set, st.Lanes())
	for i := range listed {
		listed[i] = spool.NewSet(0)
		for _, sp := range st.Missing(spool.LaneID(i)) {
			listed[i].Add(sp)
		}
	}
	for _, info := range st.Segments() {
		for _, e := range info.Extents {
			listed[e.Lane].Add(e.Span)
		}
	}
	for i := range listed {
		id := spool.LaneID(i)
		gone := st.Gone(id)
		var spans []spool.Span
		for at := spool.Index(0); at < st.End(id); at++ {
			if !gone.Contains(at) && !listed[i].Contains(at) {
				spans = addIndex(spans, at)
			}
		}
		for _, sp := range spans {
			out = append(out, spool.Extent{Lane: id, Span: sp})
		}
	}
	return out
}
