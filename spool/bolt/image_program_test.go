package bolt

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"github.com/spoold/spoold/integration/program"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
	bbolt "go.etcd.io/bbolt"
)

// FuzzADamagedSegmentIsRefusedOrReadRight reads its input as what became of a segment: bits flipped,
// sectors zeroed, pages written to the wrong place, fields changed, the file cut off;
// and, as no disk does it, checksums that were made to fit afterwards.
//
// Law: reading it is a *spool.CorruptError or a newer version, or it gives what one of the last two
// commits left, byte for byte: the one before only if the last meta page is torn. No part of it alone says
// anything else. And a file that is taken is one that bbolt opens and walks without a fault, with the
// same buckets, whatever was made to fit.
func FuzzADamagedSegmentIsRefusedOrReadRight(f *testing.F) {
	s := newSpecimen(f)
	f.Add([]byte{})
	for op := range byte(11) {
		f.Add([]byte{op, 5, 3, 0, 9, 1, 2})
		f.Add([]byte{op, 17, 1, 2, 0, 0, 1, op, 200, 9, 4, 4, 4, 1})
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		p := program.New(script)
		d := &damaged{specimen: s, p: p, b: bytes.Clone(s.good)}
		for range 1 + p.Below(4) {
			d.hurt()
		}
		d.check(t)
	})
}

// specimen is a segment with something of everything: blocks of one and of several topics, one of them
// large, idempotency keys, and a state of several pages.
type specimen struct {
	good         []byte
	number       uint64
	last, before string // what its last two commits left
	dir          string
}

// updateSpecimen makes testdata/segment.db.gz anew: inputs are places in it, so that they must be
// found again afterwards.
var updateSpecimen = flag.Bool("update", false, "make testdata/segment.db.gz anew; commit it only if the format has changed")

func newSpecimen(t testing.TB) *specimen {
	path := filepath.Join("testdata", "segment.db.gz")
	if *updateSpecimen {
		writeSpecimen(t, path)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	unpacked, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	s := &specimen{dir: t.TempDir(), number: 1}
	if s.good, err = io.ReadAll(unpacked); err != nil {
		t.Fatal(err)
	}
	im, err := s.read(s.good, imageParts{state: true, bodies: true})
	if err != nil {
		t.Fatalf("%s: %v (if the format has changed, make it anew with -update)", path, err)
	}
	s.last = tellAll(im, s.good)
	torn := bytes.Clone(s.good)
	copy(torn[metaAt(im.pages.txid)+pageHeader+40:], "cut off here, no sector more")
	if im, err = s.read(torn, imageParts{state: true, bodies: true}); err != nil {
		t.Fatal(err)
	}
	s.before = tellAll(im, torn)
	if s.last == s.before {
		t.Fatal("the last two commits left the same")
	}
	return s
}

func writeSpecimen(t testing.TB, path string) {
	o := tinyOptions(t.TempDir())
	o.SegmentBytes, o.Faults = 64<<20, &Faults{AllocSize: 64 << 10}
	l, _ := openLoop(t, o)
	id := spool.Identity{ID: 7}
	for i := range 12 {
		mustAppend(t, l.s, "a", fmt.Sprint("value ", i))
		if i%3 == 0 {
			mustAppend(t, l.s, "b", fmt.Sprint("other ", i))
		}
		b := keyed(fmt.Sprint("key ", i%4), "c", "v")
		if i >= 4 {
			b = &BatchInput{Notes: []Note{{Name: fmt.Sprint("note ", i), Value: bytes.Repeat([]byte{byte(i)}, 600)}}}
		}
		if _, err := l.s.AppendBatch(context.Background(), b); err != nil {
			t.Fatal(err)
		}
		l.quiet()
	}
	mustAppend(t, l.s, "a", string(bytes.Repeat([]byte("large "), 2000)))
	l.quiet()
	l.write(&spool.Write{Identity: &id, Seals: []spool.Seal{{SealKey: spool.SealKey{Identity: id}, Count: 2, Spans: []spool.Span{{First: 2, End: 4}}}}})
	l.write(&spool.Write{DeadLetters: []spool.DeadLetter{{Index: 1, Code: protocol.MessageTooLarge}},
		Settle: []spool.Settlement{{Spans: []spool.Span{{First: 0, End: 2}}, Outcome: spool.OutcomeDeadLettered}}})
	l.close()
	file, number := activeFile(t, o.Path)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	im, err := readImageOf(bytes.NewReader(raw), int64(len(raw)), number, imageParts{})
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(raw[:im.pages.hwm*pageSize]); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, packed.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func metaAt(txid uint64) int { return int(txid%2) * pageSize }

func (s *specimen) read(b []byte, want imageParts) (*image, error) {
	return readImageOf(bytes.NewReader(b), int64(len(b)), s.number, want)
}

// tellAll is everything that a start would go by.
func tellAll(im *image, b []byte) string {
	out := dump(im, bytes.NewReader(b))
	if im.state == nil {
		return out
	}
	r := im.state.Recovered()
	out += fmt.Sprintln(r.SpoolID, r.Incarnation, r.ClusterID, r.Former, r.Stopped, im.state.Binding, im.state.DeadLetters(), im.state.Segments())
	for _, l := range r.Lanes {
		out += fmt.Sprintln(l.ID, l.Topic, l.TopicID, l.End, l.Facts, l.Counters)
		l.Settled.Spans(func(sp spool.Span) bool { out += sp.String(); return true })
	}
	for i := range 12 {
		note, ok := im.state.Note(fmt.Sprint("note ", i))
		out += fmt.Sprintln(ok, spool.CRC(note))
	}
	return out
}

// damaged is a specimen after some accidents.
type damaged struct {
	*specimen
	p      *program.Program
	b      []byte
	mended bool // a checksum or a page's number was made to fit: no disk does that
}

// page is one of the file's pages.
func (d *damaged) page() []byte {
	n := len(d.b) / pageSize
	if n == 0 {
		return make([]byte, pageSize)
	}
	at := d.p.Below(n) * pageSize
	return d.b[at : at+pageSize]
}

func (d *damaged) hurt() {
	p, b := d.p, d.page()
	switch p.Below(11) {
	case 0:
		b[p.Below(pageSize)] ^= 1 << p.Below(8)
	case 10:
		d.content(b)
	case 1: // at its beginning, where headers and elements are
		b[p.Below(256)] = p.Byte()
	case 2:
		clear(b[512*p.Below(8):][:512])
	case 3:
		copy(b, d.page())
	case 4: // one page's content in another's place, as if it belonged there
		id := binary.LittleEndian.Uint64(b)
		copy(b, d.page())
		binary.LittleEndian.PutUint64(b, id)
		d.mended = true
	case 5:
		d.field(b)
	case 6:
		d.element(b)
	case 7:
		d.b = d.b[:p.Below(len(d.b)+1)]
	case 8:
		d.mendMeta()
	case 9: // a whole page of another kind of content
		for i := range b {
			b[i] = byte(i * int(p.Byte()|1))
		}
	}
}

// any is the number of a page, or any other.
func (d *damaged) any() uint64 {
	if d.p.Yes() {
		return uint64(d.p.Below(len(d.b)/pageSize + 2))
	}
	return uint64(d.p.Int64())
}

// field changes a page's header.
func (d *damaged) field(b []byte) {
	le := binary.LittleEndian
	switch d.p.Below(4) {
	case 0:
		le.PutUint64(b, d.any())
	case 1:
		le.PutUint16(b[8:], uint16(1<<d.p.Below(5)))
	case 2:
		le.PutUint16(b[10:], uint16(d.any()))
	case 3:
		le.PutUint32(b[12:], uint32(d.any()))
	}
}

// content flips a bit in the key or the value of an element.
func (d *damaged) content(b []byte) {
	le := binary.LittleEndian
	at := pageHeader + leafElement*d.p.Below(int(le.Uint16(b[10:])))
	if at+leafElement > len(b) || le.Uint16(b[8:]) != flagLeaf {
		return
	}
	start, size := at+int(le.Uint32(b[at+4:])), int(le.Uint32(b[at+8:]))+int(le.Uint32(b[at+12:]))
	if start < 0 || size <= 0 || size > pageSize || start+size > len(b) {
		return
	}
	b[start+d.p.Below(size)] ^= 1 << d.p.Below(8)
}

// element changes one number of an element of a leaf or branch page.
func (d *damaged) element(b []byte) {
	at := pageHeader + leafElement*d.p.Below(min(int(binary.LittleEndian.Uint16(b[10:]))+1, 200)) + 4*d.p.Below(4)
	binary.LittleEndian.PutUint32(b[at:], uint32(d.any()))
}

// mendMeta changes a number of a meta page and makes its checksum fit.
func (d *damaged) mendMeta() {
	le := binary.LittleEndian
	at := pageSize*d.p.Below(2) + pageHeader
	if len(d.b) < at+metaSize {
		return
	}
	raw := d.b[at : at+metaSize]
	field := []int{16, 40, 48}[d.p.Below(3)] // root, high water mark, commit
	le.PutUint64(raw[field:], d.any())
	le.PutUint64(raw[56:], metaSum(raw))
	d.mended = true
}

// check reads what became of the segment, as a whole and in parts.
func (d *damaged) check(t *testing.T) {
	im, err := d.read(d.b, imageParts{state: true, bodies: true})
	for _, part := range []imageParts{{}, {bodies: true}, {state: true}, {keysOnly: true}} {
		some, partErr := d.read(d.b, part)
		if err == nil && partErr != nil {
			t.Fatalf("the whole is taken, and %+v is not: %v", part, partErr)
		}
		d.refusal(t, partErr)
		if partErr == nil && !d.mended && some.head == nil {
			t.Fatalf("%+v: a segment without a head, which had one", part)
		}
	}
	if d.refusal(t, err); err != nil {
		return
	}
	got := tellAll(im, d.b)
	if !d.mended && got != d.last && (got != d.before || !im.pages.torn) {
		t.Fatalf("read\n%s\nwant\n%s\nor, behind a torn meta page,\n%s", got, d.last, d.before)
	}
	if !bytes.Equal(d.b, d.good) {
		d.open(t, im)
	}
}

func (d *damaged) refusal(t *testing.T, err error) {
	var bad *spool.CorruptError
	switch {
	case err == nil, errors.Is(err, spool.ErrFormatVersion):
	case !errors.As(err, &bad):
		t.Fatalf("%v is not a CorruptError", err)
	case bad.Segment != d.specimen.number:
		t.Fatalf("%v names segment %d", err, bad.Segment)
	}
}

// open has bbolt open what we took, as the product does, and walk all of it.
func (d *damaged) open(t *testing.T, im *image) {
	path := filepath.Join(d.dir, "segment.db")
	if err := os.WriteFile(path, d.b, 0o600); err != nil {
		t.Fatal(err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, _, err := openBolt(path, int64(len(d.b)), &Faults{})
	if err != nil {
		t.Fatalf("bbolt does not open what we took: %v", err)
	}
	defer func() { _ = db.Close() }()
	blocks, keys := 0, 0
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			switch {
			case len(name) == 8:
				blocks++
			case len(name) == 9:
				keys++
			}
			return b.ForEach(func(k, v []byte) error {
				if len(name) != 8 {
					return nil
				}
				if n := im.blocks[blocks-1]; n.size != len(v) || n.crc != lastFour(v) || !bytes.Equal(name, blockName(n.number)) {
					return fmt.Errorf("bucket %x holds %d bytes, we read %+v", name, len(v), n)
				}
				return nil
			})
		})
	})
	if err != nil || blocks != len(im.blocks) || keys != len(im.keyOf) {
		t.Fatalf("bbolt finds %d blocks and %d of keys, we %d and %d: %v", blocks, keys, len(im.blocks), len(im.keyOf), err)
	}
}
