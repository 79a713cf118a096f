package follow

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship"
)

// Follower reads files. Run's goroutine owns it; Stats may be called from any.
type Follower struct {
	o    Options
	find *finder
	outbox
	lookedFor
	cuts
	problems

	positions map[uint64]*ship.Position // by ID; as they were given to the spool
	nextID    uint64
	files     map[ship.FileID]*file
	groups    map[string]*group
	turns     []string                    // the groups, in the order of their turns
	logs      map[string]bool             // of which something was read, or that were looked for before
	unsure    map[string]int              // in how many scans, up to now, a file of a log may have been missing
	blocked   map[string]bool             // logs of which a file could not be placed in this scan, or may be missing in its list: the others wait
	byLog     map[string][]*ship.Position // as the current scan found it
	active    map[string]*candidate       // likewise: the files that are written now
	held      map[uint64]*file            // likewise: the files of positions
	notes     []spoold.Note               // likewise: what it has to write down

	watch   *watcher
	scratch []byte
	before  uint64 // with Restart: positions below this ID are from before this run, and not used

	now   func() time.Time
	stats counters
}

type counters struct {
	files, records, bytes, tooLong, gaps, gapBytes, splits, unreadable atomic.Int64

	problem atomic.Pointer[FileError]
}

// New is a Follower. The error is of the patterns.
func New(o Options, sink Sink) (*Follower, error) {
	var err error
	if o.Patterns, err = absolute(o.Patterns); err != nil {
		return nil, err
	}
	w := &Follower{o: o.withDefaults(), now: time.Now}
	w.outbox = outbox{options: &w.o, sink: sink, stats: &w.stats}
	w.lookedFor = lookedFor{options: &w.o, seen: make(map[string]bool)}
	w.problems = problems{options: &w.o, stats: &w.stats, unread: make(map[string]*FileError)}
	w.cuts = cuts{options: &w.o, stats: &w.stats, now: func() time.Time { return w.now() }}
	w.find = &finder{o: &w.o, wait: true, between: func() {}, readDir: os.ReadDir, searched: make(map[string]time.Time)}
	return w, nil
}

// Stats may be called at any time.
func (w *Follower) Stats() Stats {
	c := &w.stats
	s := Stats{
		Files: c.files.Load(), Records: c.records.Load(), Bytes: c.bytes.Load(), TooLong: c.tooLong.Load(), Gaps: c.gaps.Load(),
		GapBytes: c.gapBytes.Load(), Splits: c.splits.Load(), Unreadable: c.unreadable.Load(),
	}
	if e := c.problem.Load(); e != nil {
		s.Problem = e.Error()
	}
	return s
}

// Run follows files until ctx ends, or with Once to their ends. What it gave to the spool is spooled when it comes back. The
// error is a *TooLongError, a *FileError of a single run, or the sink's. It blocks while the spool is
// full.
func (w *Follower) Run(ctx context.Context) error {
	w.watch = newWatcher()
	defer w.watch.close()
	defer w.closeFiles()
	if err := w.load(); err != nil {
		return err
	}
	err := w.loop(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if settled := w.settle(last, 0); err == nil {
		err = settled
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil
	}
	if w.o.Once && err == nil && ctx.Err() == nil {
		if err = w.commit(last, w.reportGaps(w.now().Add(time.Hour))); errors.Is(err, spoold.ErrFull) {
			err = nil // the next run reports them again
		}
		for _, problem := range w.unread {
			err = errors.Join(err, problem)
		}
	}
	return err
}

func (w *Follower) loop(ctx context.Context) error {
	for fresh := false; ; {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		progress, err := w.pass(ctx, &fresh)
		if err == nil && !progress {
			err = w.settle(ctx, 0)
		}
		switch {
		case errors.Is(err, spoold.ErrUnknown):
			if err := w.resync(ctx, err); err != nil {
				return err
			}
			fresh = false
		case err != nil:
			return err
		case progress:
		case w.short:
			w.wait(ctx)
			w.short, w.watch.scan = false, true
		case w.o.Once && fresh:
			return nil
		case w.o.Once:
			w.watch.scan = true
		default:
			w.wait(ctx)
		}
	}
}

// pass scans if something changed, and gives every log that did a turn. fresh: nothing was read since the last scan.
func (w *Follower) pass(ctx context.Context, fresh *bool) (progress bool, err error) {
	if w.watch.scan {
		w.watch.scan = false
		*fresh = true
		if err := w.scan(ctx); err != nil {
			return false, err
		}
	}
	for _, base := range w.turns {
		g := w.groups[base]
		if !g.dirty {
			continue
		}
		read, err := w.turn(ctx, g)
		if err != nil {
			return progress, err
		}
		if g.dirty = read; read {
			progress, *fresh = true, false
		}
	}
	return progress || w.watch.scan, nil
}

// wait sleeps until a change is notified, or it is time to look.
func (w *Follower) wait(ctx context.Context) {
	changed, all := w.watch.wait(ctx, w.o.Poll)
	for _, path := range changed {
		if log, ok := w.o.behind[path]; ok {
			path = log
		}
		g := w.groups[w.o.nameOf(path).Base]
		if g != nil && slices.ContainsFunc(g.files, func(f *file) bool { return f.name.Path == path }) {
			g.dirty = true
		} else if w.find.wants(path) {
			w.watch.scan = true
		}
	}
	if all {
		w.watch.scan = true
	}
	for _, g := range w.groups {
		if all || g.pending() {
			g.dirty = true
		}
	}
}

// pending reports whether a line, or a record of several, is to be taken as whole when time has passed.
func (g *group) pending() bool {
	for _, f := range g.files {
		if len(f.buf) > 0 {
			return true
		}
	}
	return false
}

// load takes the positions from the spool.
func (w *Follower) load() error {
	w.closeFiles()
	w.positions = make(map[uint64]*ship.Position)
	w.files = make(map[ship.FileID]*file)
	w.groups = make(map[string]*group)
	w.turns = nil
	w.stale = nil
	w.logs, w.seenNotes = make(map[string]bool), make(map[string]bool)
	w.cut, w.cutFrom = make(map[uint64]cut), make(map[ship.FileID]bool)
	w.unsure = make(map[string]int)
	w.watch.scan = true
	for name, value := range w.sink.Notes(w.o.prefix()) {
		if strings.HasPrefix(name, w.o.prefix()+seenPrefix) {
			w.seen[name], w.seenNotes[name] = true, true
		}
		id, err := strconv.ParseUint(strings.TrimPrefix(name, w.o.prefix()), 16, 64)
		if err != nil {
			continue // not a position
		}
		p, err := ship.DecodePosition(id, value)
		if err != nil {
			return fmt.Errorf("note %s: %w", name, err)
		}
		w.positions[id] = p
		w.nextID = max(w.nextID, id+1)
	}
	if w.o.Restart {
		if w.before == 0 {
			w.before = max(w.nextID, 1)
		}
		for id := range w.positions {
			if id < w.before {
				w.stale = append(w.stale, spoold.Note{Name: w.o.noteName(id)})
				delete(w.positions, id)
			}
		}
	}
	return nil
}

func (w *Follower) closeFiles() {
	for _, f := range w.files {
		f.close()
		f.rewind()
	}
}

// resync begins anew from the positions on disk, after a commit of which the outcome is not known. A note that
// was committed after it shows that the spool works again, and what it holds.
func (w *Follower) resync(ctx context.Context, cause error) error {
	w.window = nil
	name := w.o.prefix() + "resync"
	for {
		count, _ := binary.Uvarint(w.sink.Notes(name)[name])
		b := spoold.Batch{Notes: []spoold.Note{{Name: name, Value: binary.AppendUvarint(nil, count+1)}}}
		d, err := w.sink.SendBatch(ctx, b)
		if err != nil {
			return err // the spool has stopped: it says why
		}
		err = d.Spooled(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, spoold.ErrUnknown) {
			return err
		}
	}
	w.o.Report(Event{Kind: Waiting, Detail: "files are read again from their positions on disk: " + cause.Error()})
	return w.load()
}
