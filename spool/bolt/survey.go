package bolt

import (
	"errors"
	"maps"
	"os"
	"slices"

	"github.com/spoold/spoold/spool"
	"golang.org/x/sys/unix"
)

// surveyed is what a directory holds.
type surveyed struct {
	number     uint64 // of the active segment
	head       spool.Head
	state      *spool.State
	stateBytes int64
	index      *index
	hwm        int64
	sizes      map[uint64]int64 // of older segments, by their pages
	keys       []surveyKeys
	damaged    []damagedSegment
}

// damagedSegment is an older segment that is not what was written, and what can be vouched for of it.
type damagedSegment struct {
	info spool.SegmentInfo
	why  *spool.CorruptError
	im   *image
}

// surveyOptions say how to look at a directory.
type surveyOptions struct {
	clean    bool     // drop caches, and remove what does not belong
	setAside bool     // a damaged segment of records is no error
	verify   []uint64 // segments of which every byte is read
}

type surveyKeys struct {
	segment, number uint64
	size            int
	records         []spool.KeyRecord
	marks           []spool.Mark
}

// survey finds the active segment and reads it, checks that all others are there, and reads
// their keys. It returns nil for a directory in which no spool was ever made.
func survey(dir string, l *lock, o surveyOptions) (*surveyed, error) {
	numbers, temps, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	if o.clean {
		for _, name := range temps {
			if err := removeFile(dir, name); err != nil {
				return nil, err
			}
		}
		aside, _ := damagedFiles(dir)
		for _, n := range numbers {
			aside = append(aside, segmentPath(dir, n))
		}
		for _, path := range aside {
			if err := dropCache(path); err != nil {
				return nil, err
			}
		}
	}
	v, empty, err := newest(dir, numbers)
	if err != nil {
		return nil, err
	}
	if v == nil && l.spoolID != "" && l.newest == 0 {
		return nil, corrupt(1, spool.NoBlock, "the lock file speaks of spool %s, but no segment holds it", l.spoolID)
	}
	if l.newest > 0 && (v == nil || v.number < l.newest) {
		return nil, corrupt(l.newest, spool.NoBlock, "it is the newest segment, and its file is missing or empty: what it held, and what was delivered since, is not known")
	}
	listed := map[uint64]bool{}
	if v != nil {
		listed[v.number] = true
		for _, info := range v.state.Segments() {
			listed[info.Number] = true
			if err := v.older(dir, &info, &o); err != nil {
				return nil, err
			}
		}
	}
	if o.clean {
		for _, n := range numbers {
			if !listed[n] || slices.Contains(empty, n) {
				if err := removeFile(dir, segmentName(n)); err != nil {
					return nil, err
				}
			}
		}
	}
	return v, nil
}

// newest reads the highest-numbered segment that holds a state. Those above it
// were made, but nothing was committed to them.
func newest(dir string, numbers []uint64) (v *surveyed, empty []uint64, err error) {
	for _, n := range slices.Backward(numbers) {
		im, err := readFile(dir, n, imageParts{state: true, bodies: true})
		if err != nil {
			return nil, nil, err
		}
		if im.head == nil {
			empty = append(empty, n)
			continue
		}
		v := &surveyed{number: n, head: *im.head, state: im.state, stateBytes: im.stateBytes, index: im.index(unitRunsOf(im.state)), hwm: int64(im.pages.hwm) * pageSize}
		v.addKeys(im)
		return v, empty, v.checkLanes()
	}
	return nil, empty, nil
}

func readFile(dir string, number uint64, want imageParts) (*image, error) {
	f, err := os.OpenFile(segmentFile(dir, number), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, corrupt(number, spool.NoBlock, "the file is missing")
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	im, err := readImage(f, number, want)
	if errors.Is(err, spool.ErrFormatVersion) {
		return nil, &VersionError{Path: f.Name(), Err: err}
	}
	return im, err
}

// older checks that a listed segment is there, and reads its keys.
func (v *surveyed) older(dir string, info *spool.SegmentInfo, o *surveyOptions) error {
	im, err := v.read(dir, info, slices.Contains(o.verify, info.Number))
	var damage *spool.CorruptError
	if errors.As(err, &damage) && o.setAside {
		path := segmentFile(dir, info.Number)
		if _, statErr := os.Lstat(path); statErr != nil {
			return err // it is missing
		}
		damage.Path = path
		if im, err = salvageFile(path, info); err == nil {
			v.damaged = append(v.damaged, damagedSegment{*info, damage, im})
		}
	}
	if err != nil {
		return err
	}
	v.addKeys(im)
	if v.sizes == nil {
		v.sizes = make(map[uint64]int64)
	}
	if im.pages != nil {
		v.sizes[info.Number] = int64(im.pages.hwm) * pageSize
	}
	return nil
}

// read reads a listed segment; whole: every byte of it.
func (v *surveyed) read(dir string, info *spool.SegmentInfo, whole bool) (*image, error) {
	if !info.Damaged {
		im, err := readFile(dir, info.Number, imageParts{keysOnly: !whole, bodies: whole})
		if err == nil {
			err = im.matches(info)
		}
		return im, err
	}
	im, err := salvageFile(segmentFile(dir, info.Number), info)
	if errors.Is(err, os.ErrNotExist) {
		return nil, corrupt(info.Number, spool.NoBlock, "the file is missing")
	}
	if err != nil {
		return nil, err
	}
	if err := im.matches(info); err != nil {
		return nil, err
	}
	if _, lost := im.remains(info, v.state); len(lost) > 0 {
		return nil, corrupt(info.Number, spool.NoBlock, "more of it is damaged than when it was set aside")
	}
	return im, nil
}

func (v *surveyed) addKeys(im *image) {
	for _, k := range im.keyOf {
		v.keys = append(v.keys, surveyKeys{im.number, k.number, k.size, k.records, k.marks})
	}
}

// checkLanes compares blocks and list of segments with the lanes.
func (v *surveyed) checkLanes() error {
	check := func(segment uint64, id spool.LaneID, sp spool.Span) error {
		if int(id) >= v.state.Lanes() || sp.End > v.state.End(id) || sp.First >= sp.End {
			return corrupt(segment, spool.NoBlock, "entries %v of lane %d, which ends before", sp, id)
		}
		return nil
	}
	for _, info := range v.state.Segments() {
		for _, e := range info.Extents {
			if err := check(info.Number, e.Lane, e.Span); err != nil {
				return err
			}
		}
		if info.Number >= v.number {
			return corrupt(info.Number, spool.NoBlock, "it is listed as older than segment %d", v.number)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(v.index.lanes)) {
		for _, r := range v.index.lanes[id].refs {
			if err := check(v.number, id, r.span); err != nil {
				return err
			}
		}
	}
	return nil
}
