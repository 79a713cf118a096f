package bolt

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
	s.stamps = newStamps(options.Now)
	r, err := (&opening{Store: s}).start()
	if err != nil {
		err = damageIn(o.Path, err)
		s.space.dropNext()
		if s.active != nil {
			_ = s.active.db.Close()
		}
		if s.dirFile != nil {
			_ = s.dirFile.Close()
		}
		l.release()
		return nil, nil, err
	}
	go s.committer.run()
	return s, r, nil
}

// damageIn names the file in an error about damage.
func damageIn(dir string, err error) error {
	var damage *spool.CorruptError
	if errors.As(err, &damage) {
		damage.Path = segmentFile(dir, damage.Segment)
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
	s.committer, s.space, s.rewriter = &committer{Store: s}, &space{Store: s}, &rewriter{Store: s}
	s.dead, s.answers, s.staging = &deadLetters{Store: s}, &answers{s}, &staging{Store: s}
	s.turns = &turns{Store: s}
	s.quotas = &quotas{Store: s, crowded: make(chan struct{}, 1), over: make(map[spool.LaneID]struct{})}
	close(s.past.done)
	s.keys = spool.NewKeyIndex(spool.KeyRule{Window: o.KeyWindow.Milliseconds(), Floor: keyFloor.Milliseconds(), Max: o.MaxKeys})
	s.open = s.newGroup()
	return s
}

// opening is a Store while it is opened.
type opening struct {
	*Store
	t      transaction // the first commit
	damage []spool.SegmentDamage
	divide map[deadRef]string // dead letters because others of their unit are lost, and why
}

// start does what Open promises.
func (s *opening) start() (*spool.Recovered, error) {
	var err error
	if s.dirFile, err = os.Open(s.dir); err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	found, err := survey(s.dir, s.lock, surveyOptions{clean: true, setAside: !s.opt.StopOnDamage, verify: s.opt.Verify})
	if err != nil {
		return nil, err
	}
	if err := s.space.scale(); err != nil {
		return nil, err
	}
	fresh := found == nil
	if s.space.tooSmall != nil && (fresh || found.state.Counters().Pending() == 0) {
		return nil, s.space.tooSmall // what is pending is delivered all the same
	}
	if fresh {
		if err := s.makeFirst(); err != nil {
			return nil, err
		}
		found = &surveyed{number: 1, state: spool.NewState(), head: spool.Head{}}
	}
	s.state = found.state
	s.state.SetHistoryMax(int(s.space.history))
	s.staging.units.put(s.state.Units())
	s.clock = newClock(&s.opt, found.head)
	if !fresh && !s.opt.Adopt && s.foreign(machineID()) {
		return nil, ErrForeign // before anything is changed
	}
	if err := s.setAside(found); err != nil {
		return nil, err
	}
	for _, info := range s.state.Segments() {
		if info.Damaged {
			s.sealed = append(s.sealed, newSealed(s.dir, info, s.state, &s.staging.units))
			continue
		}
		if err := trim(segmentPath(s.dir, info.Number), found.sizes[info.Number]); err != nil {
			return nil, err
		}
		s.sealed = append(s.sealed, newSealed(s.dir, info, s.state, &s.staging.units))
	}
	if err := s.openActive(found); err != nil {
		return nil, err
	}
	s.loadKeys(found)
	for i := range s.state.Lanes() {
		id := spool.LaneID(i)
		l := &lane{id: id, topic: s.state.Topic(id), end: s.state.End(id)}
		l.quota = s.quotas.of(l.topic, id)
		s.lanes[l.topic] = l
		s.laneByID = append(s.laneByID, l)
	}
	if err := s.firstCommit(fresh); err != nil {
		return nil, err
	}
	if err := s.countQuotas(); err != nil {
		return nil, err
	}
	if err := s.lock.write(s.state.Binding.SpoolID, s.active.number); err != nil {
		return nil, err
	}
	if err := s.space.checkSpace(true); err != nil {
		return nil, err
	}
	if s.rewriter.lookAgain(); s.opt.RewriteAfter >= 0 && len(s.quotas.rest) > 0 {
		s.rewriter.lookAt = measurePause
	}
	for _, x := range s.sealed {
		s.urgent = s.urgent || x.pending == 0 // all of it was staged by a former process: a commit takes it off the list
	}
	st := *s.stats.Load()
	st.FreeBytes = s.space.free
	s.committer.limitsInto(&st)
	s.committer.publishLanes(&st, nil)
	s.stats.Store(&st)
	rec := s.state.Recovered()
	rec.DeadFull = s.dead.deadFull()
	rec.Damage = s.damage
	return rec, nil
}

// makeFirst makes the first segment of a new spool.
func (s *opening) makeFirst() error {
	if err := s.space.measureLimit(); err != nil {
		return err
	}
	if err := createSegment(s.dir, 1, s.space.roundUp(s.space.ahead()), s.opt.Faults); err != nil {
		return err
	}
	return nameSegment(s.dirFile, 1, s.opt.Faults)
}

func (s *opening) openActive(found *surveyed) error {
	path := segmentPath(s.dir, found.number)
	// What a former process had allocated ahead is allocated again, as far as it is needed.
	if err := trim(path, s.space.roundUp(found.hwm+s.space.ahead())); err != nil {
		return err
	}
	a, err := s.space.openSegment(path, found.number)
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
func (s *opening) loadKeys(found *surveyed) {
	var all []spool.FoundKey
	for _, k := range found.keys {
		b := &spool.KeyBlock{Number: k.number, Segment: k.segment}
		for _, r := range k.records {
			all = append(all, spool.FoundKey{KeyRecord: r, Block: b})
		}
		s.dead.loadMarks(k.marks, b)
		if k.segment == found.number {
			s.active.keyBytes += int64(k.size) + keyBlockRoom
		}
	}
	s.dead.sortMarks()
	s.keys.Load(all, s.clock.now().Age)
}

// foreign reports whether the spool was made elsewhere, or is a copy.
func (s *opening) foreign(machine string) bool {
	b := &s.state.Binding
	return b.MachineID != machine || b.LockInode != s.lock.inode
}

// firstCommit binds a new spool, or checks the binding of an old one, and begins the incarnation.
func (s *opening) firstCommit(fresh bool) error {
	b := &s.state.Binding
	machine := machineID()
	t := &s.t
	t.number, t.target = s.active.head.Block+1, s.active
	switch {
	case fresh:
		id := make([]byte, 16)
		_, _ = rand.Read(id) // never fails
		*b = spool.Binding{SpoolID: base64.RawURLEncoding.EncodeToString(id), MachineID: machine, LockInode: s.lock.inode, Former: protocol.NoIdentity}
	case s.foreign(machine):
		what := fmt.Sprintf("adopted: machine %q, lock file %d; before: machine %q, lock file %d", machine, s.lock.inode, b.MachineID, b.LockInode)
		b.MachineID, b.LockInode = machine, s.lock.inode
		w := &spool.Write{Audit: []spool.AuditEntry{{At: s.clock.now().Wall, What: what}}}
		if err := s.state.Apply(w, &t.changes); err != nil {
			return err
		}
	}
	b.Incarnation++
	s.state.Rebind(&t.changes)
	if len(s.damage) > 0 {
		if err := s.explainDead(); err != nil {
			return err
		}
	}
	s.state.BeginAges(s.clock.now().Age, s.opt.AgeEvery.Milliseconds())
	s.state.Flush(&t.changes)
	t.gone = append(s.active.index.sweep(s.state), s.active.index.staged.all()...)
	s.active.index.dropAllStaged()
	s.committer.composeKeys(t, s.open)
	_ = s.space.reserve(t.target, int64(len(t.keys)+4*t.changes.Bytes())+s.space.reserved()/2)
	if err := s.committer.write(t); err != nil {
		return s.poison(fmt.Errorf("first commit: %w", err))
	}
	s.committer.done(t, s.open)
	return nil
}
