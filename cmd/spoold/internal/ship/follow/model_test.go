package follow

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship"
)

// store is a spool in memory. What is sent is pending until the commit; a crash loses what is pending.
type store struct {
	rng     *rand.Rand
	values  []string
	notes   map[string][]byte
	pending []*ticket
	batches int
	fails   bool // commits may fail: the outcome is not known to the caller
}

// ticket is a batch and what became of it.
type ticket struct {
	s   *store
	b   spoold.Batch
	err error
}

func (t *ticket) Spooled(context.Context) error {
	t.s.commit()
	return t.err
}

// SendBatch takes a batch also after a commit that failed: the spool was opened again then.
func (s *store) SendBatch(_ context.Context, b spoold.Batch) (Commit, error) {
	for i := range b.Records {
		b.Records[i].Value = bytes.Clone(b.Records[i].Value)
	}
	if s.rng.IntN(10) == 0 {
		s.commit() // as a group's commit ends at any moment
	}
	s.batches++
	t := &ticket{s: s, b: b}
	s.pending = append(s.pending, t)
	return t, nil
}

func (s *store) commit() {
	onDisk := len(s.pending)
	failed := s.fails && onDisk > 0 && s.rng.IntN(20) == 0
	if failed && s.rng.IntN(2) == 0 {
		onDisk = 0 // the group is on disk, or not
	}
	for i, t := range s.pending {
		if failed {
			t.err = spoold.ErrUnknown
		}
		if i >= onDisk {
			continue
		}
		for _, r := range t.b.Records {
			s.values = append(s.values, string(r.Value))
		}
		for _, n := range t.b.Notes {
			if n.Value == nil {
				delete(s.notes, n.Name)
			} else {
				s.notes[n.Name] = n.Value
			}
		}
	}
	s.pending = nil
}

func (s *store) Notes(prefix string) map[string][]byte {
	found := maps.Clone(s.notes)
	maps.DeleteFunc(found, func(name string, _ []byte) bool { return !strings.HasPrefix(name, prefix) })
	return found
}

// rig is a log, who writes it, and who follows it, in one goroutine.
type rig struct {
	t       *testing.T
	rng     *rand.Rand
	store   *store
	dir     string
	options Options
	w       *Follower
	clock   time.Time
	events  []Event
	races   bool // the log is written and rotated while its files are listed and looked at
	racing  bool

	next    int      // number of the next line
	want    []string // lines whose end was written
	partial string   // written of the line that is not finished
}

func newRig(t *testing.T, seed uint64, patterns ...string) *rig {
	r := &rig{t: t, rng: rand.New(rand.NewPCG(seed, 1)), dir: t.TempDir(), clock: time.Now()}
	r.store = &store{rng: r.rng, notes: make(map[string][]byte)}
	for i := range patterns {
		patterns[i] = filepath.Join(r.dir, patterns[i])
	}
	r.options = Options{
		Patterns: patterns, Namespace: "t", Format: ship.Format{Delim: []byte("\n"), Max: 1000, TrimCR: true}, KeepDir: filepath.Join(r.dir, "kept"),
		Record: func(l Line) spoold.Record { return spoold.Record{Topic: "t", Value: l.Value} },
		Report: func(e Event) { r.events = append(r.events, e) },
	}
	return r
}

// start begins a new life of the follower. What was not committed is lost.
func (r *rig) start() {
	r.t.Helper()
	if r.w != nil {
		r.w.closeFiles()
	}
	r.store.pending = nil
	w, err := New(r.options, r.store)
	if err != nil {
		r.t.Fatal(err)
	}
	w.watch = &watcher{scan: true}
	w.find.wait = r.races
	w.find.between = r.race
	w.now = func() time.Time { return r.clock }
	if err := w.load(); err != nil {
		r.t.Fatal(err)
	}
	r.w = w
}

// pass lets the follower look and read once.
func (r *rig) pass() bool {
	r.t.Helper()
	fresh := false
	r.w.watch.scan = r.w.watch.scan || r.rng.IntN(2) == 0
	for _, g := range r.w.groups {
		g.dirty = true
	}
	progress, err := r.w.pass(r.t.Context(), &fresh)
	if err == nil && (!progress || r.rng.IntN(3) == 0) {
		err = r.w.settle(r.t.Context(), 0)
	}
	if errors.Is(err, spoold.ErrUnknown) {
		if err := r.w.resync(r.t.Context(), err); err != nil {
			r.t.Fatal(err)
		}
		return true
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return progress
}

// race changes files between two looks of a scan at them.
func (r *rig) race() {
	if !r.races || r.racing || r.rng.IntN(150) > 0 {
		return
	}
	r.racing = true
	defer func() { r.racing = false }()
	switch r.rng.IntN(4) {
	case 0:
		r.renameAway()
	case 1:
		r.copyTruncate()
	default:
		r.lines(r.rng.IntN(30))
	}
}

// settle lets the follower reach the end of everything, also of what has to be quiet first.
func (r *rig) settle() {
	r.t.Helper()
	for range 3 {
		r.w.watch.scan = true
		for n := 0; r.pass(); n++ {
			if n > 10000 {
				r.t.Fatal("the follower does not come to rest")
			}
			r.w.watch.scan = true
		}
		r.clock = r.clock.Add(time.Minute)
	}
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) write(name, text string) {
	r.t.Helper()
	f, err := os.OpenFile(r.path(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) do(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// lines appends n numbered lines; the last may be left unfinished.
func (r *rig) lines(n int) {
	var text strings.Builder
	if r.partial != "" {
		r.want = append(r.want, r.partial+"end")
		text.WriteString("end\n")
		r.partial = ""
	}
	for range n {
		line := fmt.Sprintf("line %d %s", r.next, strings.Repeat("x", r.rng.IntN(60)))
		r.next++
		if r.rng.IntN(10) == 0 {
			r.partial = line
			text.WriteString(line)
			break
		}
		r.want = append(r.want, line)
		text.WriteString(line + "\n")
	}
	r.write("app.log", text.String())
}

// shift makes room for app.log.1, as logrotate does, and compresses what is older.
func (r *rig) shift(compress bool) {
	for n := 50; n >= 1; n-- {
		for _, ext := range []string{"", ".gz"} {
			from, to := r.path(fmt.Sprintf("app.log.%d%s", n, ext)), r.path(fmt.Sprintf("app.log.%d%s", n+1, ext))
			if _, err := os.Stat(from); err == nil {
				r.do(os.Rename(from, to))
			}
		}
	}
	if compress {
		r.gzip("app.log.2")
	}
}

func (r *rig) gzip(name string) {
	text, err := os.ReadFile(r.path(name))
	if err != nil {
		return
	}
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, err = z.Write(text)
	r.do(err)
	r.do(z.Close())
	r.do(os.WriteFile(r.path(name+".gz"), out.Bytes(), 0o600))
	r.do(os.Remove(r.path(name)))
}

// finish ends a line that is not finished: rotation happens between lines.
func (r *rig) finish() {
	if r.partial != "" {
		r.lines(0)
	}
}

func (r *rig) renameAway() {
	if _, err := os.Stat(r.path("app.log")); err != nil {
		return
	}
	r.finish()
	r.shift(r.rng.IntN(2) == 0)
	r.do(os.Rename(r.path("app.log"), r.path("app.log.1")))
	if r.rng.IntN(2) == 0 {
		r.lines(1 + r.rng.IntN(5))
	}
}

func (r *rig) copyTruncate() {
	if _, err := os.Stat(r.path("app.log")); err != nil {
		return
	}
	r.finish()
	passes := func() int { return r.rng.IntN(3) }
	if r.racing {
		passes = func() int { return 0 } // it is in one already
	}
	defer func(was bool) { r.racing = was }(r.racing)
	r.racing = true
	text, err := os.ReadFile(r.path("app.log"))
	r.do(err)
	r.shift(r.rng.IntN(2) == 0)
	half := r.rng.IntN(len(text) + 1)
	r.do(os.WriteFile(r.path("app.log.1"), text[:half], 0o600))
	for range passes() {
		r.pass() // the copy is under way
	}
	r.do(os.WriteFile(r.path("app.log.1"), text, 0o600))
	for range passes() {
		r.pass()
	}
	r.do(os.Truncate(r.path("app.log"), 0))
	if r.rng.IntN(2) == 0 {
		r.lines(1 + r.rng.IntN(20))
	}
}

func (r *rig) compare() {
	r.t.Helper()
	for i := range max(len(r.want), len(r.store.values)) {
		got, want := "nothing", "nothing"
		if i < len(r.store.values) {
			got = r.store.values[i]
		}
		if i < len(r.want) {
			want = r.want[i]
		}
		if got != want {
			for _, e := range r.events {
				r.t.Logf("%s %s %d %d %s", e.Kind, filepath.Base(e.Path), e.Offset, e.Bytes, strings.ReplaceAll(e.Detail, r.dir+"/", ""))
			}
			r.t.Fatalf("record %d of %d is %.60q, want %.60q of %d lines", i, len(r.store.values), got, want, len(r.want))
		}
	}
}

var (
	firstSeed = flag.Uint64("seed", 0, "run this history only")
	histories = flag.Uint64("histories", 12, "how many to run")
)

// Law: whatever happens to log, follower and spool, the spool holds each line once, in order. The follower is looked
// at after every kill. Run one history again: go test ./cmd/spoold/internal/ship/follow -run Histor -seed N.
func TestEachLineOnceInOrderInRandomHistories(t *testing.T) {
	first, count := uint64(1), *histories
	if *firstSeed != 0 {
		first, count = *firstSeed, 1
	}
	for seed := first; seed < first+count; seed++ {
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { history(t, seed) }) {
			t.Fatalf("run it again: go test ./cmd/spoold/internal/ship/follow -run Histor -seed %d", seed)
		}
	}
}

func history(t *testing.T, seed uint64) {
	pattern := []string{"app.log", "*.log", ".", "app.log*"}[seed%4]
	if seed%3 == 1 {
		pattern = filepath.Join("links", pattern)
	}
	r := newRig(t, seed, pattern)
	if seed%3 == 1 {
		r.link([]string{"../app.log", r.path("app.log")}[seed%2])
	}
	r.store.fails = seed%3 == 0
	if seed%5 < 2 {
		r.options.MaxBatch = 200 + int(seed%7)*100 // several batches of what is read at once
	}
	r.races = seed%2 == 0
	if r.rng.IntN(2) == 0 {
		r.lines(5)
	}
	r.start()
	r.settle()
	for range 60 {
		n := r.rng.IntN(100)
		r.events = append(r.events, Event{Kind: "step", Path: fmt.Sprint(n), Bytes: int64(len(r.want)), Offset: int64(len(r.store.values))})
		switch {
		case n < 40:
			r.lines(r.rng.IntN(30))
		case n < 50:
			r.renameAway()
		case n < 58:
			r.copyTruncate()
		case n < 64:
			r.start()
		case n < 70:
			r.clock = r.clock.Add(time.Duration(r.rng.IntN(20)) * time.Second)
		default:
			r.pass()
		}
	}
	r.races = false
	r.w.find.wait = false
	r.finish()
	r.settle()
	r.compare()
}
