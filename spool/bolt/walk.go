package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// This file reads bbolt's pages with pread and believes none of them. bbolt
// itself trusts what it maps: a damaged file makes it panic, or fault, in a goroutine of its own. So
// nothing is opened with bbolt before walk has seen all of its structure.

const (
	pageSize      = 4096
	pageHeader    = 16
	leafElement   = 16
	branchElement = 16
	bucketHeader  = 16
	metaSize      = 64

	flagBranch = 0x01
	flagLeaf   = 0x02
	flagMeta   = 0x04

	metaMagic   = 0xED0CDAED
	metaVersion = 2
	maxDepth    = 32
)

// pages is a bbolt file as of its newest valid meta page.
type pages struct {
	f    io.ReaderAt
	size int64
	hwm  uint64 // pages below it may be in use
	root uint64
	txid uint64
	torn bool   // one meta page was not written wholly: the other one counts
	seen []byte // bitmap of pages that the walk has met
}

// pair is a key of a bucket and where its value is in the file.
type pair struct {
	key    []byte
	value  []byte // nil if it was left in the file
	offset int64  // of the value
	size   int
}

// openPages reads the meta pages. What it says is for a CorruptError.
func openPages(f io.ReaderAt, size int64) (*pages, error) {
	if size < 4*pageSize {
		return nil, fmt.Errorf("file of %d bytes is too short", size)
	}
	var metas [2]meta
	for i := range metas {
		b := make([]byte, pageHeader+metaSize)
		if _, err := f.ReadAt(b, int64(i)*pageSize); err != nil {
			return nil, err
		}
		metas[i] = parseMeta(b, uint64(i))
	}
	a, b := &metas[0], &metas[1]
	if a.valid && b.valid && a.txid+1 != b.txid && b.txid+1 != a.txid {
		return nil, fmt.Errorf("meta pages of commits %d and %d: not two in a row", a.txid, b.txid)
	}
	if !a.valid || b.valid && b.txid > a.txid {
		a, b = b, a
	}
	if !a.valid {
		return nil, fmt.Errorf("no valid meta page")
	}
	if !b.valid {
		if err := b.tornBeside(a); err != nil {
			return nil, err
		}
	}
	p := &pages{f: f, size: size, hwm: a.hwm, root: a.root, txid: a.txid, torn: !b.valid}
	if p.hwm > uint64(size)/pageSize || p.hwm < 4 {
		return nil, fmt.Errorf("file of %d bytes ends before its %d pages", size, p.hwm)
	}
	p.seen = make([]byte, p.hwm/8+1)
	return p, nil
}

type meta struct {
	valid           bool
	header          bool // the page's header and the constant fields are right
	raw             [metaSize]byte
	root, hwm, txid uint64
}

func parseMeta(b []byte, id uint64) meta {
	le := binary.LittleEndian
	m := meta{root: le.Uint64(b[pageHeader+16:]), hwm: le.Uint64(b[pageHeader+40:]), txid: le.Uint64(b[pageHeader+48:])}
	copy(m.raw[:], b[pageHeader:])
	r := m.raw[:]
	m.header = le.Uint64(b) == id && le.Uint16(b[8:]) == flagMeta &&
		le.Uint32(r) == metaMagic && le.Uint32(r[4:]) == metaVersion && le.Uint32(r[8:]) == pageSize
	m.valid = m.header && metaSum(r) == le.Uint64(r[56:]) && m.txid%2 == id
	return m
}

func metaSum(raw []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(raw[:56])
	return h.Sum64()
}

// tornBeside distinguishes a torn meta page from a damaged one, given the valid one. The page of a
// commit that was cut off is a mixture of its bytes and of those two commits before. The
// constant fields of both are equal, so a torn page has them right. And a
// page that is one byte away from a commit newer than the valid one was whole once: somebody got the answer
// of that commit, and to fall back behind it would lose his records. (A write that is cut off one byte before its
// end would look the same; disks write more at once.)
func (m *meta) tornBeside(valid *meta) error {
	if !m.header {
		return fmt.Errorf("meta page is overwritten")
	}
	le, raw := binary.LittleEndian, m.raw
	if metaSum(raw[:]) == le.Uint64(raw[56:]) {
		// bbolt looks at the checksum alone, and would take it.
		return fmt.Errorf("meta page of commit %d is whole, and not where that commit writes one", m.txid)
	}
	for i := range raw {
		for v := range 256 {
			raw[i] = byte(v)
			if raw[i] != m.raw[i] && metaSum(raw[:]) == le.Uint64(raw[56:]) && le.Uint64(raw[48:]) > valid.txid {
				return fmt.Errorf("meta page of commit %d has a flipped byte", le.Uint64(raw[48:]))
			}
		}
		raw[i] = m.raw[i]
	}
	return nil
}

// page reads a page with its overflow pages, or, if it is one large leaf
// element and whole is false, only its first page.
func (p *pages) page(id uint64, whole bool) (b []byte, size int, err error) {
	if id < 2 || id >= p.hwm {
		return nil, 0, fmt.Errorf("page %d is outside the file's %d", id, p.hwm)
	}
	b = make([]byte, pageSize)
	if _, err := p.f.ReadAt(b, int64(id)*pageSize); err != nil {
		return nil, 0, err
	}
	overflow := uint64(binary.LittleEndian.Uint32(b[12:]))
	if got := binary.LittleEndian.Uint64(b); got != id {
		return nil, 0, fmt.Errorf("page %d says that it is %d", id, got)
	}
	if id+overflow >= p.hwm {
		return nil, 0, fmt.Errorf("page %d runs past the end", id)
	}
	for i := id; i <= id+overflow; i++ {
		if p.seen[i/8]&(1<<(i%8)) != 0 {
			return nil, 0, fmt.Errorf("page %d is used twice", i)
		}
		p.seen[i/8] |= 1 << (i % 8)
	}
	size = int(overflow+1) * pageSize
	if count := binary.LittleEndian.Uint16(b[10:]); overflow == 0 || !whole && count == 1 {
		return b, size, nil
	}
	all := make([]byte, size)
	copy(all, b)
	if _, err := p.f.ReadAt(all[pageSize:], int64(id+1)*pageSize); err != nil {
		return nil, 0, err
	}
	return all, size, nil
}

// walk calls yield for each pair of the tree under a page, in order. Values of single
// large elements are left in the file unless whole.
func (p *pages) walk(id uint64, whole bool, yield func(pair, bool) error) error {
	w := walker{p: p, whole: whole, yield: yield}
	return w.tree(id, nil, nil, 0)
}

type walker struct {
	p     *pages
	whole bool
	yield func(x pair, bucket bool) error
	last  []byte // the key before
	any   bool
}

// tree walks what is under page id. Keys must be in [low, high); nil is open.
func (w *walker) tree(id uint64, low, high []byte, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("tree is too deep at page %d", id)
	}
	b, size, err := w.p.page(id, w.whole)
	if err != nil {
		return err
	}
	switch flags := binary.LittleEndian.Uint16(b[8:]); flags {
	case flagLeaf:
		return w.leaf(b, size, int64(id)*pageSize, low, high)
	case flagBranch:
		return w.branch(b, id, low, high, depth)
	default:
		return fmt.Errorf("page %d has type %#x", id, flags)
	}
}

func (w *walker) branch(b []byte, id uint64, low, high []byte, depth int) error {
	count := int(binary.LittleEndian.Uint16(b[10:]))
	if count == 0 || pageHeader+count*branchElement > len(b) {
		return fmt.Errorf("branch page %d has %d elements", id, count)
	}
	keys, children := make([][]byte, count+1), make([]uint64, count)
	for i := range count {
		at := pageHeader + i*branchElement
		pos, ksize := int(binary.LittleEndian.Uint32(b[at:])), int(binary.LittleEndian.Uint32(b[at+4:]))
		if at+pos < pageHeader+count*branchElement || ksize == 0 || at+pos+ksize > len(b) {
			return fmt.Errorf("branch page %d: element %d is outside", id, i)
		}
		keys[i], children[i] = b[at+pos:at+pos+ksize], binary.LittleEndian.Uint64(b[at+8:])
		if i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 || low != nil && bytes.Compare(keys[i], low) < 0 || high != nil && bytes.Compare(keys[i], high) >= 0 {
			return fmt.Errorf("branch page %d: keys out of order", id)
		}
	}
	keys[count] = high
	for i, child := range children {
		if err := w.tree(child, keys[i], keys[i+1], depth+1); err != nil {
			return err
		}
	}
	return nil
}

// leaf yields the elements of a leaf page. b may be only the page's first part.
func (w *walker) leaf(b []byte, size int, offset int64, low, high []byte) error {
	count := int(binary.LittleEndian.Uint16(b[10:]))
	if pageHeader+count*leafElement > len(b) {
		return fmt.Errorf("leaf at %d has %d elements", offset, count)
	}
	for i := range count {
		x, bucket, err := leafElementAt(b, size, offset, count, i)
		if err != nil {
			return err
		}
		if w.any && bytes.Compare(w.last, x.key) >= 0 || low != nil && bytes.Compare(x.key, low) < 0 || high != nil && bytes.Compare(x.key, high) >= 0 {
			return fmt.Errorf("leaf at %d: keys out of order", offset)
		}
		w.any, w.last = true, x.key
		if err := w.yield(x, bucket); err != nil {
			return err
		}
	}
	return nil
}

// leafElementAt is element i of a leaf page with count elements.
func leafElementAt(b []byte, size int, offset int64, count, i int) (x pair, bucket bool, err error) {
	at := pageHeader + i*leafElement
	flags := binary.LittleEndian.Uint32(b[at:])
	pos, ksize, vsize := int(binary.LittleEndian.Uint32(b[at+4:])), int(binary.LittleEndian.Uint32(b[at+8:])), int(binary.LittleEndian.Uint32(b[at+12:]))
	start := at + pos
	if start < pageHeader+count*leafElement || ksize == 0 || start+ksize > len(b) || start+ksize+vsize > size || flags > 1 {
		return x, false, fmt.Errorf("leaf at %d: element %d is outside", offset, i)
	}
	x = pair{key: b[start : start+ksize], offset: offset + int64(start+ksize), size: vsize}
	if start+ksize+vsize <= len(b) {
		x.value = b[start+ksize : start+ksize+vsize]
	}
	return x, flags == 1, nil
}

// bucket yields the pairs of a bucket, given the value of its name. There are
// no buckets inside buckets.
func (p *pages) bucket(b pair, whole bool, yield func(pair) error) error {
	if len(b.value) < bucketHeader {
		return fmt.Errorf("bucket %x has a head of %d bytes", b.key, len(b.value))
	}
	one := func(x pair, bucket bool) error {
		if bucket {
			return fmt.Errorf("bucket %x has a bucket inside", b.key)
		}
		return yield(x)
	}
	if root := binary.LittleEndian.Uint64(b.value); root != 0 {
		if len(b.value) != bucketHeader {
			return fmt.Errorf("bucket %x has a head of %d bytes", b.key, len(b.value))
		}
		return p.walk(root, whole, one)
	}
	inline := b.value[bucketHeader:]
	if len(inline) < pageHeader || binary.LittleEndian.Uint16(inline[8:]) != flagLeaf || binary.LittleEndian.Uint32(inline[12:]) != 0 {
		return fmt.Errorf("bucket %x is damaged", b.key)
	}
	w := walker{p: p, yield: one}
	return w.leaf(inline, len(inline), b.offset+bucketHeader, nil, nil)
}
