package bolt

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spoold/spoold/spool"
	"golang.org/x/sys/unix"
)

// A damaged segment that is not the active one holds records, idempotency keys and marks of dead letters, and no state that
// counts. It is set aside: its file gets another name and is kept, what its checksums vouch for is delivered out of it, and the
// rest is lost.

// damagedSuffix is added to the name of a segment that is set aside.
const damagedSuffix = ".damaged"

// segmentFile is where a segment's file is: it may have been set aside.
func segmentFile(dir string, number uint64) string {
	path := segmentPath(dir, number)
	if _, err := os.Lstat(path); err == nil {
		return path
	}
	if _, err := os.Lstat(path + damagedSuffix); err == nil {
		return path + damagedSuffix
	}
	return path
}

// damagedFiles are the segments in dir that are set aside, and what they own on the disk.
func damagedFiles(dir string) (paths []string, bytes int64) {
	paths, _ = filepath.Glob(filepath.Join(dir, segmentPrefix+"*"+segmentSuffix+damagedSuffix)) // the pattern is well formed
	for _, p := range paths {
		if st, err := os.Lstat(p); err == nil {
			bytes += st.Size()
		}
	}
	return paths, bytes
}

// salvageFile reads what can be vouched for of a segment. info is what the list says of it. The error is one of the system.
func salvageFile(path string, info *spool.SegmentInfo) (*image, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return salvage(f, st.Size(), info)
}

// salvage reads a file page by page, and passes over what is damaged. Every section, key and mark in the result has the checksum
// that it was written with, and was committed: it hangs on the tree of one of the last two commits, or all of it together is exactly
// what the list of segments speaks of. The error is one of the system.
func salvage(f io.ReaderAt, size int64, info *spool.SegmentInfo) (*image, error) {
	s := salvager{f: f, size: size, im: &image{number: info.Number}, seen: make(map[uint64]bool), found: newFound()}
	for _, m := range s.metas() { // the older one has what the newer one's damage hides
		if !s.found.whole(info) {
			s.tree(m.root, 0)
		}
	}
	if s.system == nil && !s.found.whole(info) {
		s.scan(info)
	}
	if s.system != nil {
		return nil, fmt.Errorf("read segment %d: %w", info.Number, s.system)
	}
	s.found.into(s.im)
	return s.im, nil
}

// salvager reads one damaged segment.
type salvager struct {
	f      io.ReaderAt
	size   int64
	im     *image
	seen   map[uint64]bool // pages of trees
	found  *foundBlocks
	system error // an error of the system: nothing can be said of the file
}

// foundBlocks are what was read of a damaged segment, by the numbers of blocks.
type foundBlocks struct {
	blocks map[blockKey]blockRef
	keys   map[uint64]foundKeys
}

// blockKey names a block: a commit may have one of its own and one of staged records.
type blockKey struct {
	number uint64
	staged bool
}

func (k blockKey) name() []byte { return (&block{number: k.number, staged: k.staged}).name() }

type foundKeys struct {
	keyBlockRef
	crc uint32
}

func newFound() *foundBlocks {
	return &foundBlocks{make(map[blockKey]blockRef), make(map[uint64]foundKeys)}
}

// numbers are what the list of segments would say.
func (x *foundBlocks) numbers() (info spool.SegmentInfo) {
	info.Blocks, info.Keys = uint64(len(x.blocks)), uint64(len(x.keys))
	for n, b := range x.blocks {
		toggleBlock(&info.Sum, n.name(), b.crc)
	}
	for n, k := range x.keys {
		toggleBlock(&info.KeySum, keysName(n), k.crc)
	}
	return info
}

// whole reports whether these are the blocks that the list of segments speaks of, all of them.
func (x *foundBlocks) whole(info *spool.SegmentInfo) bool {
	n := x.numbers()
	return n.Blocks == info.Blocks && n.Sum == info.Sum && n.Keys == info.Keys && n.KeySum == info.KeySum
}

// into puts them into an image, in order.
func (x *foundBlocks) into(im *image) {
	for _, b := range x.blocks {
		im.blocks = append(im.blocks, b)
	}
	slices.SortFunc(im.blocks, func(a, b blockRef) int {
		return bytes.Compare(blockKey{a.number, a.staged}.name(), blockKey{b.number, b.staged}.name())
	})
	for _, n := range slices.Sorted(maps.Keys(x.keys)) {
		im.keyOf = append(im.keyOf, x.keys[n].keyBlockRef)
	}
	im.salvaged = x.numbers()
}

// failed notes an error of the system. All others are damage.
func (s *salvager) failed(err error) {
	var path *os.PathError
	if s.system == nil && errors.As(err, &path) {
		s.system = err
	}
}

// metas are the valid meta pages, the newest first.
func (s *salvager) metas() (list []meta) {
	for i := range uint64(2) {
		b := make([]byte, pageHeader+metaSize)
		if _, err := s.f.ReadAt(b, int64(i)*pageSize); err != nil {
			s.failed(err)
			continue
		}
		if m := parseMeta(b, i); m.valid {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b meta) int { return cmp.Compare(b.txid, a.txid) })
	return list
}

// pages gives what reads the pages of one bucket: damage in others does not matter to it.
func (s *salvager) pages() *pages {
	n := uint64(s.size) / pageSize
	return &pages{f: s.f, size: s.size, hwm: n, seen: make([]byte, n/8+1)}
}

// tree reads what is under a page of the top-level tree.
func (s *salvager) tree(id uint64, depth int) {
	if depth > maxDepth || s.seen[id] || s.system != nil {
		return
	}
	s.seen[id] = true
	b, size, err := s.pages().page(id, true)
	if err != nil {
		s.failed(err)
		return
	}
	count := int(binary.LittleEndian.Uint16(b[10:]))
	switch binary.LittleEndian.Uint16(b[8:]) {
	case flagLeaf:
		s.leaf(b, size, id, s.found)
	case flagBranch:
		for i := range count {
			if at := pageHeader + i*branchElement; at+branchElement <= len(b) {
				s.tree(binary.LittleEndian.Uint64(b[at+8:]), depth+1)
			}
		}
	}
}

// leaf reads the buckets of a leaf of the top-level tree, each for itself. What is there already is not read again: it is of a
// later commit.
func (s *salvager) leaf(b []byte, size int, id uint64, found *foundBlocks) {
	count := int(binary.LittleEndian.Uint16(b[10:]))
	if pageHeader+count*leafElement > len(b) {
		return
	}
	for i := range count {
		x, bucket, err := leafElementAt(b, size, int64(id)*pageSize, count, i)
		if err != nil || !bucket || len(x.key) < 8 {
			continue
		}
		number := binary.BigEndian.Uint64(x.key)
		key := blockKey{number, len(x.key) == 9 && x.key[8] == 's'}
		_, block := found.blocks[key]
		_, keys := found.keys[number]
		take := func(x pair) error { return s.block(found, key, x) }
		switch {
		case (len(x.key) == 8 || key.staged) && !block:
		case len(x.key) == 9 && x.key[8] == 'k' && !keys:
			take = func(x pair) error { return s.keys(found, number, x) }
		default:
			continue
		}
		s.failed(s.pages().bucket(x, false, func(x pair) error {
			if !bytes.Equal(x.key, keyData) {
				return errStop
			}
			return take(x)
		}))
	}
}

func (s *salvager) value(x pair) ([]byte, error) {
	if x.value != nil {
		return x.value, nil
	}
	if x.size > spool.MaxBlock || int64(x.size) > s.size {
		return nil, errStop
	}
	b := make([]byte, x.size)
	_, err := s.f.ReadAt(b, x.offset)
	return b, err
}

// block takes a block whose directory is right, with those of its sections that are.
func (s *salvager) block(found *foundBlocks, key blockKey, x pair) error {
	b, err := s.value(x)
	if err != nil {
		return err
	}
	sections, err := spool.BlockDirectory(b, key.number)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(sections, func(sect spool.BlockSection) bool { return (sect.Unit != 0) != key.staged }) {
		return errStop
	}
	sections = slices.DeleteFunc(sections, func(sect spool.BlockSection) bool {
		raw := b[sect.Off : sect.Off+sect.Len]
		return sect.Check(raw) != nil || eachEntry(&spool.Section{Lane: sect.Lane, Spans: sect.Spans, Bytes: raw}, func(spool.Index, []byte) {}) != nil
	})
	found.blocks[key] = blockRef{number: key.number, offset: x.offset, size: x.size, crc: lastFour(b), sections: sections, staged: key.staged}
	return nil
}

// keys takes a block of idempotency keys and marks.
func (s *salvager) keys(found *foundBlocks, number uint64, x pair) error {
	b, err := s.value(x)
	if err != nil {
		return err
	}
	records, marks, err := spool.DecodeKeys(number, b)
	if err == nil {
		found.keys[number] = foundKeys{keyBlockRef{number, len(b), records, marks}, lastFour(b)}
	}
	return err
}

// scan looks at every page for a leaf of the top-level tree: the way to it may be damaged. A page may also be left over from an
// earlier commit, or from one that was never made. So what is found counts only if it makes up for exactly what is lacking.
func (s *salvager) scan(info *spool.SegmentInfo) {
	all := &foundBlocks{maps.Clone(s.found.blocks), maps.Clone(s.found.keys)}
	for id := uint64(2); id < uint64(s.size)/pageSize && s.system == nil; id++ {
		if s.seen[id] {
			continue
		}
		b, size, err := s.pages().page(id, true)
		if err != nil {
			s.failed(err)
			continue
		}
		if binary.LittleEndian.Uint16(b[8:]) == flagLeaf {
			s.leaf(b, size, id, all)
		}
	}
	if all.whole(info) {
		s.found = all
	}
}
