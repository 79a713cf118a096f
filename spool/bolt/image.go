package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spoold/spoold/spool"
)

// Names of the top-level buckets of a segment. Blocks come first, in the order of their
// numbers, each followed by its idempotency keys, so that a commit changes
// the last leaf only; state and head sort behind all of them.
//
//	number (8 bytes)         one key "d": a block
//	number (8 bytes) 's'     one key "d": a block of staged records
//	number (8 bytes) 'k'     one key "d": idempotency keys of that commit
//	0xff 'h'                 one key "h": the head
//	0xff 's'                 the state's pairs
var (
	nameHead  = []byte{0xff, 'h'}
	nameState = []byte{0xff, 's'}
	keyData   = []byte("d")
	keyHead   = []byte("h")
)

func blockName(number uint64) []byte  { return binary.BigEndian.AppendUint64(nil, number) }
func stagedName(number uint64) []byte { return append(blockName(number), 's') }
func keysName(number uint64) []byte   { return append(blockName(number), 'k') }

// image is what was read from a segment, and verified.
type image struct {
	number     uint64
	pages      *pages
	head       *spool.Head // nil: created, but nothing was ever committed
	blocks     []blockRef  // ascending by number
	keyOf      []keyBlockRef
	state      *spool.State // if asked for
	stateBytes int64
	salvaged   spool.SegmentInfo // of a damaged one: the numbers of the blocks that were found
}

type blockRef struct {
	number   uint64
	offset   int64 // of the block in the file; of an active segment only at the time of reading
	size     int
	crc      uint32 // of its footer
	sections []spool.BlockSection
	staged   bool
}

type keyBlockRef struct {
	number  uint64
	size    int
	records []spool.KeyRecord
	marks   []spool.Mark
}

// what to read of a segment.
type imageParts struct {
	state    bool // decode it; else only its checksum is looked at
	bodies   bool // check every entry's checksum
	keysOnly bool // leave out the blocks of records
}

// readImage reads a segment and checks everything that can be checked. Every
// failure but one of the system is a *spool.CorruptError or wraps spool.ErrFormatVersion.
func readImage(f *os.File, number uint64, want imageParts) (*image, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return readImageOf(f, info.Size(), number, want)
}

func readImageOf(f io.ReaderAt, size int64, number uint64, want imageParts) (_ *image, err error) {
	im := &image{number: number}
	if im.pages, err = openPages(f, size); err != nil {
		return nil, im.fault(spool.NoBlock, err)
	}
	r := imageReader{im: im, f: f, want: want, loader: spool.NewLoader()}
	if err := im.pages.walk(im.pages.root, true, r.top); err != nil {
		return nil, im.fault(r.block, err)
	}
	if err := r.finish(); err != nil {
		return nil, im.fault(spool.NoBlock, err)
	}
	return im, nil
}

func (im *image) fault(block uint64, err error) error {
	var pathErr *os.PathError
	var done *spool.CorruptError
	switch {
	case errors.As(err, &done), errors.Is(err, spool.ErrFormatVersion):
		return err
	case errors.As(err, &pathErr):
		return fmt.Errorf("read segment %d: %w", im.number, err)
	}
	return corrupt(im.number, block, "%v", err)
}

type imageReader struct {
	im       *image
	f        io.ReaderAt
	want     imageParts
	loader   *spool.Loader
	block    uint64 // where we are, for the error
	hasState bool
	pairSum  spool.Sum
	pairs    uint64
	blockSum spool.Sum
	keySum   spool.Sum
	buf      []byte
}

// top takes one top-level bucket.
func (r *imageReader) top(x pair, bucket bool) error {
	r.block = spool.NoBlock
	if !bucket {
		return fmt.Errorf("key %x outside any bucket", x.key)
	}
	switch {
	case bytes.Equal(x.key, nameHead):
		return r.im.pages.bucket(x, true, r.headPair)
	case bytes.Equal(x.key, nameState):
		r.hasState = true
		return r.im.pages.bucket(x, true, r.statePair)
	case len(x.key) == 8 || len(x.key) == 9 && x.key[8] == 's':
		if r.want.keysOnly {
			return nil
		}
		return r.one(x, r.blockValue)
	case len(x.key) == 9 && x.key[8] == 'k':
		return r.one(x, r.keysValue)
	}
	return fmt.Errorf("unknown bucket %x", x.key)
}

// one takes a bucket with the single key "d".
func (r *imageReader) one(b pair, take func(number uint64, name []byte, x pair) error) error {
	r.block = binary.BigEndian.Uint64(b.key)
	n := 0
	err := r.im.pages.bucket(b, false, func(x pair) error {
		if n++; n > 1 || !bytes.Equal(x.key, keyData) {
			return fmt.Errorf("key %x in it", x.key)
		}
		return take(r.block, b.key, x)
	})
	if err == nil && n == 0 {
		err = fmt.Errorf("it is empty")
	}
	return err
}

func (r *imageReader) value(x pair) ([]byte, error) {
	if x.value != nil || x.size == 0 {
		return x.value, nil
	}
	if x.size > spool.MaxBlock {
		return nil, fmt.Errorf("%d bytes are too many", x.size)
	}
	if cap(r.buf) < x.size {
		r.buf = make([]byte, x.size)
	}
	b := r.buf[:x.size]
	if _, err := r.f.ReadAt(b, x.offset); err != nil {
		return nil, err
	}
	return b, nil
}

func (r *imageReader) blockValue(number uint64, name []byte, x pair) error {
	if x.value == nil && !r.want.bodies && x.size > pageSize {
		return r.blockEnds(number, name, x)
	}
	b, err := r.value(x)
	if err != nil {
		return err
	}
	sections, err := spool.BlockDirectory(b, number)
	if err != nil {
		return err
	}
	if r.want.bodies {
		for i := range sections {
			s := &sections[i]
			if err := s.Check(b[s.Off : s.Off+s.Len]); err != nil {
				return err
			}
		}
	}
	return r.found(number, name, x, b, sections)
}

// found takes a block whose directory was read; end are its last bytes.
func (r *imageReader) found(number uint64, name []byte, x pair, end []byte, sections []spool.BlockSection) error {
	ref := blockRef{
		number: number, offset: x.offset, size: x.size, crc: binary.LittleEndian.Uint32(end[len(end)-4:]), sections: sections, staged: len(name) == 9,
	}
	for i := range sections {
		if (sections[i].Unit != 0) != ref.staged {
			return fmt.Errorf("a block of staged records under the name of another, or the other way round")
		}
	}
	r.im.blocks = append(r.im.blocks, ref)
	toggleBlock(&r.blockSum, name, ref.crc)
	return nil
}

// blockEnds is blockValue for a large block whose entries are not to be checked: they are not read.
func (r *imageReader) blockEnds(number uint64, name []byte, x pair) error {
	var header [spool.BlockHeader]byte
	if _, err := r.f.ReadAt(header[:], x.offset); err != nil {
		return err
	}
	end := make([]byte, pageSize)
	if _, err := r.f.ReadAt(end, x.offset+int64(x.size-len(end))); err != nil {
		return err
	}
	tail := spool.BlockTail(end)
	if tail > x.size-spool.BlockHeader {
		return fmt.Errorf("directory of %d bytes in a block of %d", tail, x.size)
	}
	if tail > len(end) {
		end = make([]byte, tail)
		if _, err := r.f.ReadAt(end, x.offset+int64(x.size-tail)); err != nil {
			return err
		}
	}
	end = end[len(end)-tail:]
	sections, err := spool.ParseBlockDirectory(header[:], end, x.size, number)
	if err != nil {
		return err
	}
	return r.found(number, name, x, end, sections)
}

func toggleBlock(sum *spool.Sum, name []byte, crc uint32) {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], crc)
	sum.Toggle(name, b[:])
}

func (r *imageReader) keysValue(number uint64, name []byte, x pair) error {
	b, err := r.value(x)
	if err != nil {
		return err
	}
	records, marks, err := spool.DecodeKeys(number, b)
	if err != nil {
		return err
	}
	r.im.keyOf = append(r.im.keyOf, keyBlockRef{number, len(b), records, marks})
	toggleBlock(&r.keySum, name, binary.LittleEndian.Uint32(b[len(b)-4:]))
	return nil
}

func (r *imageReader) headPair(x pair) error {
	if !bytes.Equal(x.key, keyHead) || r.im.head != nil {
		return fmt.Errorf("key %x in the head", x.key)
	}
	h, err := spool.DecodeHead(x.value)
	if err != nil {
		return err
	}
	r.im.head = &h
	return nil
}

func (r *imageReader) statePair(x pair) error {
	r.pairs++
	r.pairSum.Toggle(x.key, x.value)
	r.im.stateBytes += int64(len(x.key) + len(x.value) + leafElement)
	if !r.want.state {
		return nil
	}
	return r.loader.Pair(x.key, x.value)
}

// finish compares what was found with what the head says must be there.
func (r *imageReader) finish() error {
	h := r.im.head
	if h == nil {
		// A start takes a segment without a head for one that was just made, removes it and
		// goes by the one before: so it must be one.
		if r.hasState || len(r.im.blocks) > 0 || len(r.im.keyOf) > 0 || r.im.pages.txid != txidMade {
			return fmt.Errorf("the head is missing")
		}
		return nil
	}
	if h.Segment != r.im.number {
		return fmt.Errorf("it is segment %d under another's name", h.Segment)
	}
	if h.Pairs != r.pairs || h.PairSum != r.pairSum {
		return fmt.Errorf("checksum over the state's %d pairs (the head says %d)", r.pairs, h.Pairs)
	}
	if !r.want.keysOnly && (h.Blocks != uint64(len(r.im.blocks)) || h.BlockSum != r.blockSum) {
		return fmt.Errorf("%d blocks, but the head says %d, or other ones", len(r.im.blocks), h.Blocks)
	}
	if h.Keys != uint64(len(r.im.keyOf)) || h.KeySum != r.keySum {
		return fmt.Errorf("%d blocks of idempotency keys, but the head says %d, or other ones", len(r.im.keyOf), h.Keys)
	}
	if n := len(r.im.blocks); n > 0 && r.im.blocks[n-1].number > h.Block {
		return fmt.Errorf("block %d is above the last commit %d", r.im.blocks[n-1].number, h.Block)
	}
	if !r.want.state {
		return nil
	}
	st, err := r.loader.State()
	if err != nil {
		return err
	}
	r.im.state = st
	return nil
}
