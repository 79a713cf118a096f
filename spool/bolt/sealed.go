package bolt

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/spoold/spoold/spool"
	"golang.org/x/sys/unix"
)

// sealed is a segment that is not active any more: its file never changes again.
// info and pending are under Store.view; the rest has its own lock.
type sealed struct {
	info    spool.SegmentInfo
	bytes   int64  // that the file owns on the disk
	upkeep  upkeep // committer only
	pending int    // entries that are needed: they have not left, or are dead letters
	dirty   bool   // pending is to be counted again
	state   *spool.State
	path    string

	unreadable atomic.Bool // a rewrite met damage

	mu       sync.Mutex
	file     *os.File
	index    *index
	verified bool
	units    *unitTable

	open   stagedBlocks // of units that are not decided; committer only
	wasted bool         // units were aborted that have blocks here; committer only
	used   uint64       // by sealedCache
}

func newSealed(dir string, info spool.SegmentInfo, state *spool.State, units *unitTable) *sealed {
	x := &sealed{info: info, state: state, units: units, path: segmentPath(dir, info.Number), dirty: true, bytes: info.Bytes}
	x.upkeep.measuredAt = -1
	if st, err := os.Lstat(segmentFile(dir, info.Number)); err == nil {
		x.bytes = st.Size()
	}
	x.count()
	return x
}

// lane gives the extents of one lane. They never change.
func (x *sealed) lane(id spool.LaneID) []spool.Extent {
	all := x.info.Extents
	lo := sort.Search(len(all), func(i int) bool { return all[i].Lane >= id })
	hi := sort.Search(len(all), func(i int) bool { return all[i].Lane > id })
	return all[lo:hi]
}

// settle says that sp of a lane has left; count counts again what did not. Under view.
func (x *sealed) settle(id spool.LaneID, sp spool.Span) {
	if x.dirty {
		return
	}
	for _, e := range x.lane(id) {
		x.dirty = x.dirty || e.First < sp.End && sp.First < e.End
	}
}

// count brings pending up to date, once per commit. Under view.
func (x *sealed) count() {
	if !x.dirty {
		return
	}
	x.dirty, x.pending = false, 0
	for _, e := range x.info.Extents {
		x.pending += e.Len() - x.state.Gone(e.Lane).CountIn(e.Span)
	}
}

// holds reports whether an entry that has not left must be here.
func (x *sealed) holds(id spool.LaneID, at spool.Index) bool {
	l := x.lane(id)
	i := sort.Search(len(l), func(i int) bool { return l[i].End > at })
	return i < len(l) && l[i].First <= at
}

// load opens and reads the file. The first time, every byte of it is
// verified before any record is handed out. Under x.mu.
func (x *sealed) load() error {
	if x.index != nil {
		return nil
	}
	f, err := os.OpenFile(segmentFile(filepath.Dir(x.path), x.info.Number), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return corrupt(x.info.Number, spool.NoBlock, "the file is missing")
	}
	if err != nil {
		return err
	}
	im, err := x.read(f)
	if err == nil {
		err = im.matches(&x.info)
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	x.verified = true
	x.file, x.index = f, im.index(x.units.runs)
	return nil
}

func (x *sealed) read(f *os.File) (*image, error) {
	if !x.info.Damaged {
		return readImage(f, x.info.Number, imageParts{bodies: !x.verified})
	}
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return salvage(f, st.Size(), &x.info)
}

// matches compares a file with what the list of segments says of it.
func (im *image) matches(info *spool.SegmentInfo) error {
	h := im.head
	if info.Damaged {
		n := im.salvaged
		h = &spool.Head{Blocks: n.Blocks, BlockSum: n.Sum, Keys: n.Keys, KeySum: n.KeySum}
	}
	if h == nil || h.Blocks != info.Blocks || h.BlockSum != info.Sum || h.Keys != info.Keys || h.KeySum != info.KeySum {
		return corrupt(im.number, spool.NoBlock, "it is not the file that the list of segments speaks of")
	}
	return nil
}

// index makes an index of an image. units are the runs of a staged unit that was committed, or nil.
func (im *image) index(units func(uint64) []spool.UnitRun) *index {
	x := newIndex()
	for i := range im.blocks {
		b := &im.blocks[i]
		if b.staged {
			x.addStaged(&block{number: b.number, offset: b.offset, size: b.size, crc: b.crc, staged: true}, b.sections)
			continue
		}
		x.add(b.number, b.offset, b.size, b.crc, b.sections)
	}
	for unit := range x.staged {
		if runs := units(unit); runs != nil {
			x.commitStaged(unit, runs)
		}
	}
	return x
}

func (x *sealed) unload() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.file != nil {
		_ = x.file.Close()
	}
	x.file, x.index = nil, nil
}

// sealedCache keeps the indexes of a few sealed segments: one takes up to a
// hundredth of its file.
type sealedCache struct {
	mu    sync.Mutex
	clock uint64
	open  []*sealed
}

const maxLoaded = 4

// touch says that x is in use, and unloads what was not for longest.
func (c *sealedCache) touch(x *sealed) {
	c.mu.Lock()
	c.clock++
	x.used = c.clock
	found, oldest := false, 0
	for i, y := range c.open {
		found = found || y == x
		if y.used < c.open[oldest].used {
			oldest = i
		}
	}
	var out *sealed
	if !found {
		c.open = append(c.open, x)
		if len(c.open) > maxLoaded {
			out = c.open[oldest]
			c.open = append(c.open[:oldest], c.open[oldest+1:]...)
		}
	}
	c.mu.Unlock()
	if out != nil {
		out.unload()
	}
}
