package bolt

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
	"golang.org/x/sys/unix"
)

// Open opens the spool in a directory, or makes one. It reads and checks all that it will
// rely on, and makes one commit: that of the new incarnation.
func Open(options Options) (*Store, *spool.Recovered, error) {
	o := options.withDefaults()
	if err := makeDir(o.Path); err != nil {
		return nil, nil, err
	}
	l, err := takeLock(o.Path, true)
	if err != nil {
		return nil, nil, err
	}
	s := newStore(o, l)
	r, err := s.start()
	if err != nil {
		err = damageIn(o.Path, err)
		s.dropNext()
		if s.active != nil {
			_ = s.active.db.Close()
		}
		if s.dirFile != nil {
			_ = s.dirFile.Close()
		}
		l.release()
		return nil, nil, err
	}
	go s.run()
	return s, r, nil
}

// damageIn names the file in an error about damage.
func damageIn(dir string, err error) error {
	var damage *spool.CorruptError
	if errors.As(err, &damage) {
		damage.Path = segmentPath(dir, damage.Segment)
	}
	return err
}

// makeDir makes a directory and those above it, durably: a spool in a directory that a
// power cut takes away is lost with it.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return syncDir(parent)
}

func newStore(o Options, l *lock) *Store {
	s := &Store{
		opt: o, dir: o.Path, lock: l, boot: bootID(),
		lanes:   make(map[string]*lane),
		coming:  make(map[spool.LaneID]spool.Index),
		kick:    make(chan struct{}, 1),
		commits: make(chan *Commit, 2),
		abort:   make(chan struct{}),
		ended:   make(chan struct{}),
		past:    newReceipt(),
	}
	close(s.past.done)
	s.keys = spool.NewKeyIndex(spool.KeyRule{Window: o.KeyWindow.Milliseconds(), Floor: keyFloor.Milliseconds(), Max: o.MaxKeys})
	s.open = s.newGroup()
	return s
}

// start does what Open promises.
func (s *Store) start() (*spool.Recovered, error) {
	var err error
	if s.dirFile, err = os.Open(s.dir); err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	found, err := survey(s.dir, s.lock, true)
	if err != nil {
		return nil, err
	}
	if err := s.scale(); err != nil {
		return nil, err
	}
	fresh := found == nil
	if s.tooSmall != nil && (fresh || found.state.Counters().Pending() == 0) {
		return nil, s.tooSmall // what is pending is delivered all the same
	}
	if fresh {
		if err := s.makeFirst(); err != nil {
			return nil, err
		}
		found = &surveyed{number: 1, state: spool.NewState(), head: spool.Head{}}
	}
	s.state = found.state
	s.clock = newClock(&s.opt, found.head)
	for _, info := range s.state.Segments() {
		if err := trim(segmentPath(s.dir, info.Number), found.sizes[info.Number]); err != nil {
			return nil, err
		}
		s.sealed = append(s.sealed, newSealed(s.dir, info, s.state))
	}
	if err := s.openActive(found); err != nil {
		return nil, err
	}
	s.loadKeys(found)
	for i := range s.state.Lanes() {
		id := spool.LaneID(i)
		l := &lane{id: id, topic: s.state.Topic(id), end: s.state.End(id)}
		s.lanes[l.topic] = l
		s.laneByID = append(s.laneByID, l)
	}
	if err := s.firstCommit(fresh); err != nil {
		return nil, err
	}
	if err := s.lock.write(s.state.Binding.SpoolID); err != nil {
		return nil, err
	}
	if err := s.checkSpace(true); err != nil {
		return nil, err
	}
	s.lookAgain()
	st := *s.stats.Load()
	st.FreeBytes = s.timing.free
	s.publishLanes(&st, nil)
	s.stats.Store(&st)
	return s.state.Recovered(), nil
}

// makeFirst makes the first segment of a new spool.
func (s *Store) makeFirst() error {
	if err := s.measureLimit(); err != nil {
		return err
	}
	if err := createSegment(s.dir, 1, s.roundUp(s.ahead()), s.opt.Faults); err != nil {
		return err
	}
	return nameSegment(s.dirFile, 1, s.opt.Faults)
}

func (s *Store) openActive(found *surveyed) error {
	path := segmentPath(s.dir, found.number)
	// What a former process had allocated ahead is allocated again, as far as it is needed.
	if err := trim(path, s.roundUp(found.hwm+s.ahead())); err != nil {
		return err
	}
	a, err := s.openSegment(path, found.number)
	if err != nil {
		return err
	}
	a.head, a.stateBytes, a.hwm, a.allocated = found.head, found.stateBytes, found.hwm, found.hwm
	if found.index != nil {
		a.index = found.index
	}
	s.active = a
	return nil
}

// trim ends a file at a size, if it is larger: behind its pages it may own what was allocated ahead.
func trim(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("%w", err)
	}
	st, err := f.Stat()
	if err == nil && size > 0 && st.Size() > size {
		err = errors.Join(f.Truncate(size), f.Sync())
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%w", err)
	}
	return nil
}

// loadKeys fills the index of idempotency keys.
func (s *Store) loadKeys(found *surveyed) {
	var all []spool.FoundKey
	for _, k := range found.keys {
		b := &spool.KeyBlock{Number: k.number, Segment: k.segment}
		for _, r := range k.records {
			all = append(all, spool.FoundKey{KeyRecord: r, Block: b})
		}
		s.loadMarks(k.marks, b)
		if k.segment == found.number {
			s.active.keyBytes += int64(k.size) + keyBlockRoom
		}
	}
	s.sortMarks()
	s.keys.Load(all, s.clock.now().Age)
}

// firstCommit binds a new spool, or checks the binding of an old one, and begins the incarnation.
func (s *Store) firstCommit(fresh bool) error {
	b := &s.state.Binding
	machine := machineID()
	t := &transaction{number: s.active.head.Block + 1, target: s.active}
	switch {
	case fresh:
		id := make([]byte, 16)
		_, _ = rand.Read(id) // never fails
		*b = spool.Binding{SpoolID: base64.RawURLEncoding.EncodeToString(id), MachineID: machine, LockInode: s.lock.inode, Former: protocol.NoIdentity}
	case b.MachineID != machine || b.LockInode != s.lock.inode:
		if !s.opt.Adopt {
			return ErrForeign
		}
		what := fmt.Sprintf("adopted: machine %q, lock file %d; before: machine %q, lock file %d", machine, s.lock.inode, b.MachineID, b.LockInode)
		b.MachineID, b.LockInode = machine, s.lock.inode
		w := &spool.Write{Audit: []spool.AuditEntry{{At: s.clock.now().Wall, What: what}}}
		if err := s.state.Apply(w, &t.changes); err != nil {
			return err
		}
	}
	b.Incarnation++
	s.state.Rebind(&t.changes)
	t.gone = s.active.index.sweep(s.state)
	_ = s.reserve(t.target, s.reserved())
	if err := s.write(t); err != nil {
		return s.poison(fmt.Errorf("first commit: %w", err))
	}
	s.done(t)
	return nil
}

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
}

type surveyKeys struct {
	segment, number uint64
	size            int
	records         []spool.KeyRecord
	marks           []spool.Mark
}

// survey finds the active segment and reads it, checks that all others are there, and reads
// their keys. clean: it drops caches, and removes what does not belong. It
// returns nil for a directory in which no spool was ever made.
func survey(dir string, l *lock, clean bool) (*surveyed, error) {
	numbers, temps, err := listSegments(dir)
	if err != nil {
		return nil, err
	}
	if clean {
		for _, name := range temps {
			if err := removeFile(dir, name); err != nil {
				return nil, err
			}
		}
		for _, n := range numbers {
			if err := dropCache(filepath.Join(dir, segmentName(n))); err != nil {
				return nil, err
			}
		}
	}
	v, empty, err := newest(dir, numbers)
	if err != nil {
		return nil, err
	}
	if v == nil && l.spoolID != "" {
		return nil, corrupt(1, spool.NoBlock, "the lock file speaks of spool %s, but no segment holds it", l.spoolID)
	}
	listed := map[uint64]bool{}
	if v != nil {
		listed[v.number] = true
		for _, info := range v.state.Segments() {
			listed[info.Number] = true
			if err := v.older(dir, &info); err != nil {
				return nil, err
			}
		}
	}
	if clean {
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
		v := &surveyed{number: n, head: *im.head, state: im.state, stateBytes: im.stateBytes, index: im.index(), hwm: int64(im.pages.hwm) * pageSize}
		v.addKeys(im)
		return v, empty, v.checkLanes()
	}
	return nil, empty, nil
}

func readFile(dir string, number uint64, want imageParts) (*image, error) {
	f, err := os.OpenFile(filepath.Join(dir, segmentName(number)), os.O_RDONLY|unix.O_NOFOLLOW, 0)
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
func (v *surveyed) older(dir string, info *spool.SegmentInfo) error {
	im, err := readFile(dir, info.Number, imageParts{keysOnly: true})
	if err != nil {
		return err
	}
	if err := im.matches(info); err != nil {
		return err
	}
	v.addKeys(im)
	if v.sizes == nil {
		v.sizes = make(map[uint64]int64)
	}
	v.sizes[info.Number] = int64(im.pages.hwm) * pageSize
	return nil
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
