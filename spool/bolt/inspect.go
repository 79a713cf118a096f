package bolt

import (
	"cmp"
	"errors"
	"os"
	"slices"

	"github.com/spoold/spoold/spool"
)

// Inspection is a spool that no daemon has, opened to look at. Nothing is changed.
type Inspection struct {
	Recovered *spool.Recovered
	Stats     Stats

	dir   string
	lock  *lock
	found *surveyed
}

// Look opens a spool read-only and verifies the active segment. *LockedError: a daemon
// has it; *NoSpoolError: there is none. Close lets a daemon start again.
func Look(path string) (*Inspection, error) {
	l, err := takeLock(path, false)
	if err != nil {
		return nil, err
	}
	found, err := survey(path, l, surveyOptions{})
	if err == nil && found == nil {
		err = &NoSpoolError{Path: path}
	}
	if err != nil {
		l.release()
		return nil, damageIn(path, err)
	}
	in := &Inspection{Recovered: found.state.Recovered(), dir: path, lock: l, found: found}
	in.Stats = Stats{
		Bytes: found.index.bytes, Segments: 1, Block: found.head.Block, Counters: found.state.Counters(),
		DeadLetters: found.state.DeadLetters(), Lanes: found.state.Lanes(), DiskBytes: found.hwm,
		Gaps: lastGaps(found.state, len(found.state.Gaps())),
	}
	in.Stats.DamagedFiles, _ = damagedFiles(path)
	if free, err := new(Faults).freeBytes(path); err == nil {
		in.Stats.FreeBytes = int64(free)
	}
	for _, k := range found.keys {
		in.Stats.Keys += len(k.records)
	}
	for _, info := range found.state.Segments() {
		in.Stats.Segments++
		in.Stats.Bytes += info.Bytes
		in.Stats.DiskBytes += info.Bytes
	}
	return in, nil
}

// Close gives the lock back.
func (in *Inspection) Close() { in.lock.release() }

// Inspect is Look for one who only wants to know what a start would find.
func Inspect(path string) (*spool.Recovered, Stats, error) {
	in, err := Look(path)
	if err != nil {
		return nil, Stats{}, err
	}
	in.Close()
	return in.Recovered, in.Stats, nil
}

// SegmentStats are the numbers of one segment, for ls.
type SegmentStats struct {
	Number  uint64
	Path    string
	Active  bool
	Blocks  uint64
	Bytes   int64 // of live blocks; of an older one, when it was left
	Pending int   // records that have not left
}

// Segments lists the segments, oldest first.
func (in *Inspection) Segments() []SegmentStats {
	var out []SegmentStats
	total := int(in.Recovered.Counters.Pending())
	for _, info := range in.found.state.Segments() {
		pending := 0
		for _, e := range info.Extents {
			pending += e.Len() - in.found.state.Settled(e.Lane).CountIn(e.Span)
		}
		out = append(out, SegmentStats{Number: info.Number, Path: segmentFile(in.dir, info.Number), Blocks: info.Blocks, Bytes: info.Bytes, Pending: pending})
		total -= pending
	}
	path := segmentPath(in.dir, in.found.number)
	return append(out, SegmentStats{Number: in.found.number, Path: path, Active: true, Blocks: in.found.head.Blocks, Bytes: in.found.index.bytes, Pending: total})
}

// EntryInfo is one record that has not left.
type EntryInfo struct {
	Lane    spool.LaneID
	Topic   string
	Index   spool.Index
	Segment uint64
	Block   uint64
	Raw     []byte // as spool.AppendEntry wrote it; valid during the call
}

// errStop ends a walk early.
var errStop = errors.New("stop")

// Entries calls yield with every record that has not left, lane by lane, ascending, until
// it returns false. Older segments are verified before any of their records is shown.
func (in *Inspection) Entries(yield func(EntryInfo) bool) error {
	sources, err := in.open(imageParts{bodies: true})
	defer sources.close()
	if err != nil {
		return err
	}
	type part struct {
		ref
		src int
	}
	for i := range in.found.state.Lanes() {
		id := spool.LaneID(i)
		var parts []part
		for k, x := range sources {
			if l := x.index.lanes[id]; l != nil {
				for _, r := range l.refs {
					parts = append(parts, part{r, k})
				}
			}
		}
		slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.span.First, b.span.First) })
		settled := in.found.state.Settled(id)
		for _, p := range parts {
			if settled.CountIn(p.span) == p.span.Len() {
				continue
			}
			info := EntryInfo{Lane: id, Topic: in.found.state.Topic(id), Segment: sources[p.src].number, Block: p.block.number}
			if err := p.entries(sources[p.src].f, settled, sources[p.src].listed, info, yield); err != nil {
				if errors.Is(err, errStop) {
					return nil
				}
				return err
			}
		}
	}
	return nil
}

// sources are the segments' files and what is where in them.
type sources []source

type source struct {
	number uint64
	f      *os.File
	index  *index
	listed func(spool.LaneID, spool.Index) bool
}

func (s sources) close() {
	for _, x := range s {
		_ = x.f.Close()
	}
}

// open opens all segments. What it returns is to be closed, also with an error.
func (in *Inspection) open(want imageParts) (all sources, err error) {
	for _, n := range in.numbers() {
		im, err := in.read(n, want)
		if err != nil {
			return all, err
		}
		f, err := os.Open(segmentFile(in.dir, n))
		if err != nil {
			return all, err
		}
		all = append(all, source{n, f, im.index(unitRunsOf(in.found.state)), in.listed(n)})
	}
	return all, nil
}

// numbers are the segments, the active one first.
func (in *Inspection) numbers() []uint64 {
	numbers := []uint64{in.found.number}
	for _, info := range in.found.state.Segments() {
		numbers = append(numbers, info.Number)
	}
	return numbers
}

// read reads a segment; of one that was set aside, what its checksums vouch for.
func (in *Inspection) read(number uint64, want imageParts) (*image, error) {
	for _, info := range in.found.state.Segments() {
		if info.Number == number && info.Damaged {
			return salvageFile(segmentFile(in.dir, number), &info)
		}
	}
	return readFile(in.dir, number, want)
}

// listed says which entries of a segment count: what was carried out of an older one is in another by now.
func (in *Inspection) listed(number uint64) func(spool.LaneID, spool.Index) bool {
	for _, info := range in.found.state.Segments() {
		if info.Number == number {
			x := &sealed{info: info}
			return x.holds
		}
	}
	return func(spool.LaneID, spool.Index) bool { return true }
}

// entries yields those of one section that have not left.
func (r *ref) entries(f *os.File, settled *spool.Set, listed func(spool.LaneID, spool.Index) bool, info EntryInfo, yield func(EntryInfo) bool) error {
	b := make([]byte, r.len)
	if _, err := f.ReadAt(b, r.block.offset+int64(r.off)); err != nil {
		return err
	}
	if spool.CRC(b) != r.crc {
		return corrupt(info.Segment, r.block.number, "checksum of lane %d's entries %v", info.Lane, r.span)
	}
	sect := spool.Section{Lane: info.Lane, Spans: r.spans, Bytes: b}
	if sect.Spans == nil {
		sect.Spans = []spool.Span{r.span}
	}
	stop := false
	err := eachEntry(&sect, func(i spool.Index, raw []byte) {
		if stop || settled.Contains(i) || !listed(info.Lane, i) {
			return
		}
		info.Index, info.Raw = i, raw
		stop = !yield(info)
	})
	if err == nil && stop {
		return errStop
	}
	return err
}
