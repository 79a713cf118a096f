package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/spoold/spoold/spool"
)

// smallSpool makes a spool with something of everything, and gives its directory.
func smallSpool(t *testing.T) (Options, *model) {
	c := newCrashRig(t, 11, 0)
	c.o.Faults.Point = nil
	for c.step = 1; c.step <= 24; c.step++ {
		switch {
		case c.step%5 == 4:
			c.appendKeyed()
		case c.step%2 == 0:
			c.settleSome()
		default:
			c.appendSome()
		}
		c.l.quiet()
	}
	c.l.close()
	c.o.Faults = nil
	return c.o, c.m
}

// dump is everything that is read from a segment, comparable.
func dump(im *image, f io.ReaderAt) string {
	var out bytes.Buffer
	fmt.Fprintln(&out, im.head, im.pages.txid)
	for i := range im.blocks {
		b := &im.blocks[i]
		raw := make([]byte, b.size)
		_, _ = f.ReadAt(raw, b.offset)
		fmt.Fprintln(&out, b.number, b.offset, spool.CRC(raw))
	}
	for _, k := range im.keyOf {
		fmt.Fprintln(&out, k)
	}
	if im.state != nil {
		fmt.Fprintf(&out, "%+v\n", im.state.Recovered().Partitions)
		fmt.Fprintf(&out, "%+v\n", im.state.Recovered().Seals)
		fmt.Fprintf(&out, "%+v\n", im.state.Recovered().Counters)
	}
	return out.String()
}

func activeFile(t testing.TB, dir string) (path string, number uint64) {
	t.Helper()
	numbers, _, err := listSegments(dir)
	if err != nil || len(numbers) == 0 {
		t.Fatalf("segments: %v, %v", numbers, err)
	}
	number = numbers[len(numbers)-1]
	return filepath.Join(dir, segmentName(number)), number
}

// S-48: nothing is handed out of a file with a flipped bit, in the state or anywhere else.
func TestEveryFlippedBitIsFoundOrHarmless(t *testing.T) {
	t.Parallel()
	o, _ := smallSpool(t)
	path, number := activeFile(t, o.Path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := imageParts{state: true, bodies: true}
	im, err := readImageOf(bytes.NewReader(good), int64(len(good)), number, all)
	if err != nil {
		t.Fatal(err)
	}
	want := dump(im, bytes.NewReader(good))
	rng := rand.New(rand.NewPCG(testSeed(t), 1))
	b := bytes.Clone(good[:im.pages.hwm*pageSize])
	found, harmless := 0, 0
	for i := rng.IntN(8); i < len(b); i += 1 + rng.IntN(12) {
		old := b[i]
		b[i] ^= 1 << rng.IntN(8)
		im, err := readImageOf(bytes.NewReader(b), int64(len(b)), number, all)
		var bad *spool.CorruptError
		switch {
		case errors.As(err, &bad):
			found++
			if bad.Segment != number {
				t.Fatalf("byte %d: named segment %d", i, bad.Segment)
			}
		case errors.Is(err, spool.ErrFormatVersion):
			t.Fatalf("byte %d: damage taken for a newer format", i)
		case err != nil:
			t.Fatalf("byte %d: %v is not a CorruptError", i, err)
		default:
			harmless++
			if got := dump(im, bytes.NewReader(b)); got != want {
				t.Fatalf("byte %d (page %d): flipped from %#x to %#x, and accepted:\n%s\nwant\n%s", i, i/pageSize, old, b[i], got, want)
			}
		}
		b[i] = old
	}
	t.Logf("%d bytes: %d flips found, %d in what nothing refers to", len(b), found, harmless)
}

func TestStartRefusesADamagedSpoolAndNeverPanics(t *testing.T) {
	t.Parallel()
	o, m := smallSpool(t)
	_, number := activeFile(t, o.Path)
	rng := rand.New(rand.NewPCG(testSeed(t), 2))
	refused := 0
	for range 60 {
		dir := filepath.Join(t.TempDir(), "damaged")
		copyDir(t, o.Path, dir)
		path := filepath.Join(dir, segmentName(number))
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		hurt(rng, b, path)
		o := o
		o.Path, o.Adopt = dir, true
		s, r, err := Open(o)
		var bad *spool.CorruptError
		switch {
		case errors.As(err, &bad):
			refused++
			continue
		case err != nil:
			t.Fatalf("%v is not a CorruptError", err)
		}
		m.check(t, "accepted in spite of damage", s, r)
		go func() {
			for range s.Commits() {
			}
		}()
		if err := s.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if refused < 20 {
		t.Errorf("only %d of 60 damaged spools were refused", refused)
	}
}

// hurt damages a file: cut off, zeroed page, random page, flipped byte.
func hurt(rng *rand.Rand, b []byte, path string) {
	hwm := len(bytes.TrimRight(b, "\x00"))
	page := rng.IntN(hwm/pageSize) * pageSize
	switch rng.IntN(4) {
	case 0:
		b = b[:rng.IntN(hwm)]
	case 1:
		clear(b[page : page+pageSize])
	case 2:
		for i := page; i < page+pageSize; i++ {
			b[i] = byte(rng.Uint32())
		}
	case 3:
		b[rng.IntN(hwm)] ^= 1 << rng.IntN(8)
	}
	_ = os.WriteFile(path, b, 0o600)
}

func TestCutOffSegmentIsRefusedAtEverySize(t *testing.T) {
	o, _ := smallSpool(t)
	path, number := activeFile(t, o.Path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	im, err := readImageOf(bytes.NewReader(b), int64(len(b)), number, imageParts{})
	if err != nil {
		t.Fatal(err)
	}
	for size := 0; size < int(im.pages.hwm)*pageSize; size += 512 {
		_, err := readImageOf(bytes.NewReader(b[:size]), int64(size), number, imageParts{state: true, bodies: true})
		var bad *spool.CorruptError
		if !errors.As(err, &bad) {
			t.Fatalf("cut at %d: %v", size, err)
		}
	}
}

// S-48: the root's count of elements is two when nothing is pending, and one flipped bit makes it none.
func TestASegmentWhoseRootLostItsElementsIsNotTakenForOneJustMade(t *testing.T) {
	o, _ := smallSpool(t)
	path, number := activeFile(t, o.Path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	im, err := readImageOf(bytes.NewReader(b), int64(len(b)), number, imageParts{})
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint16(b[im.pages.root*pageSize+10:], 0)
	binary.LittleEndian.PutUint16(b[im.pages.root*pageSize+8:], flagLeaf)
	var bad *spool.CorruptError
	if _, err := readImageOf(bytes.NewReader(b), int64(len(b)), number, imageParts{}); !errors.As(err, &bad) {
		t.Errorf("a root without elements: %v, want a CorruptError", err)
	}
}

// bbolt takes the newest meta page whose checksum is right, wherever it stands.
func TestAMetaPageWithARightChecksumInTheWrongPlaceIsNoTornOne(t *testing.T) {
	o, _ := smallSpool(t)
	path, number := activeFile(t, o.Path)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	im, err := readImageOf(bytes.NewReader(b), int64(len(b)), number, imageParts{})
	if err != nil {
		t.Fatal(err)
	}
	other := b[int(1-im.pages.txid%2)*pageSize+pageHeader:][:metaSize]
	copy(other, b[int(im.pages.txid%2)*pageSize+pageHeader:])
	var bad *spool.CorruptError
	if _, err := readImageOf(bytes.NewReader(b), int64(len(b)), number, imageParts{}); !errors.As(err, &bad) {
		t.Errorf("the same commit on both meta pages: %v, want a CorruptError", err)
	}
}

// S-18. A power cut during a commit leaves any mixture of old and new sectors of its
// data pages; and, if it came later, any part of the meta page.
func TestPowerCutDuringACommitLeavesTheCommitBefore(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(testSeed(t), 3))
	o := tinyOptions(t.TempDir())
	o.SegmentBytes = 64 << 20 // one file
	var before []byte
	path := filepath.Join(o.Path, segmentName(1))
	read := func() []byte {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		return b
	}
	cuts, torn := 0, 0
	o.Faults = &Faults{Point: func(point string) {
		switch point {
		case "before commit":
			before = read()
		case "after commit":
			for range 3 {
				c, w := checkCut(t, rng, before, read())
				cuts, torn = cuts+c, torn+w
			}
		}
	}}
	l, _ := openLoop(t, o)
	for i := range 100 {
		if i%2 == 0 || i < 10 {
			tk := mustAppend(t, l.s, "a", fmt.Sprint(i, bytes.Repeat([]byte("y"), rng.IntN(6000))))
			if err := tk.Spooled(context.Background()); err != nil {
				t.Fatal(err)
			}
		} else {
			l.quiet()
			l.settle("a", spool.Span{First: 0, End: spool.Index(i / 3)})
		}
	}
	l.close()
	t.Logf("%d cuts, %d of them within the meta page", cuts, torn)
}

// checkCut mixes two files, and checks that what is read is one of them.
func checkCut(t *testing.T, rng *rand.Rand, before, after []byte) (cuts, torn int) {
	if len(after) < len(before) {
		t.Error("the file shrank")
		return 0, 0
	}
	before = append(bytes.Clone(before), make([]byte, len(after)-len(before))...)
	mix := bytes.Clone(before)
	for i := 2 * pageSize; i < len(after); i += 512 {
		if rng.IntN(2) == 0 {
			copy(mix[i:i+512], after[i:i+512])
		}
	}
	all := imageParts{state: true, bodies: true}
	dumpOf := func(b []byte) string {
		im, err := readImageOf(bytes.NewReader(b), int64(len(b)), 1, all)
		if err != nil {
			t.Errorf("%v", err)
			return ""
		}
		return dump(im, bytes.NewReader(b))
	}
	if len(before) < 2*pageSize || bytes.Equal(before[:2*pageSize], make([]byte, 2*pageSize)) {
		return 0, 0
	}
	if b, err := readImageOf(bytes.NewReader(before), int64(len(before)), 1, all); err == nil && b.head == nil {
		return 0, 0 // the first commit: before it there is nothing to fall back to
	}
	old, now := dumpOf(before), dumpOf(after)
	if got := dumpOf(mix); got != old {
		t.Errorf("cut within the data pages: read\n%s\nwant\n%s", got, old)
	}
	// All data pages there, the meta page in part.
	mix = bytes.Clone(after)
	meta := 0
	if bytes.Equal(before[:pageSize], after[:pageSize]) {
		meta = pageSize
	}
	cut := meta + pageHeader + 8*rng.IntN(metaSize/8+1) // a word at a time
	copy(mix[cut:meta+pageSize], before[cut:meta+pageSize])
	if got := dumpOf(mix); got != old && got != now {
		t.Errorf("cut within the meta page at %d: read neither", cut-meta)
	}
	return 2, 1
}
