package quietlog

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	minute      = time.Minute
	changes     = 5    // written at once in a minute, for each subject
	maxSubjects = 1024 // beyond it, subjects of one kind share a place
)

// Wrap holds repetitions of what goes to h back. A handler that does so already is given back as it is.
func Wrap(h slog.Handler) slog.Handler {
	if q, ok := h.(*handler); ok {
		return q
	}
	return &handler{next: h, subjects: &subjects{m: map[subject]*state{}}}
}

// subject is what a line is about: the kind of event, and the topic, partition, broker or address.
type subject struct{ kind, of string }

// state is what is known of a subject.
type state struct {
	since   time.Time // when the minute began
	written int       // lines in it
	last    string    // what the last written line said
	held    held      // since then
	pending *line     // the last held line, if it says something else; a timer is set for the end of the minute
}

// held is how many lines were held back, and how many records they were about.
type held struct {
	lines   int
	records int64
}

// line is one that may be written later.
type line struct {
	says    string
	records int64 // that it is about and no other line is; 0: it counts none, and is a state
	record  slog.Record
	to      slog.Handler
}

// losses are events of which each line names bytes or records that no other line names: none is held back.
// There are never more of them than of what they are about: a file that was cut or damaged, a line over the limit.
var losses = map[string]bool{"file.gap": true, "line.too-long": true, "line.split": true, "segment.damaged": true}

// subjects is safe for concurrent use.
type subjects struct {
	mu sync.Mutex
	m  map[subject]*state
}

// handler is one view (attributes, group) of subjects.
type handler struct {
	next slog.Handler
	*subjects
}

func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.next.WithAttrs(attrs), h.subjects}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.next.WithGroup(name), h.subjects}
}

// Handle writes r, or holds it back.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	about, l := read(&r)
	if l == nil {
		return h.next.Handle(ctx, r)
	}
	l.to = h.next
	held, now := h.pass(about, l)
	if !now {
		return nil
	}
	return write(ctx, h.next, r, held)
}

// pass reports whether l is to be written now, and how many were held back before it.
func (s *subjects) pass(about subject, l *line) (before held, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	st := s.of(&about, now)
	if now.Sub(st.since) >= minute && st.pending == nil { // else the timer is about to write what is pending
		st.since, st.written = now, 0
	}
	repeats := st.last == l.says && l.records == 0
	if st.written > 0 && (repeats || st.written >= changes) || st.pending != nil {
		st.held.lines++
		st.held.records += l.records
		later := st.pending
		st.pending = nil
		if !repeats {
			l.record = l.record.Clone()
			st.pending = l
		}
		if later == nil && st.pending != nil {
			time.AfterFunc(st.since.Add(minute).Sub(now), func() { s.over(about, st) })
		}
		return held{}, false
	}
	before = st.held
	st.last, st.held = l.says, held{}
	st.written++
	return before, true
}

// Flush writes what a handler that Wrap made holds back: the last line of each subject that says something new. Call it
// before the program ends.
func Flush(h slog.Handler) {
	q, ok := h.(*handler)
	if !ok {
		return
	}
	q.mu.Lock()
	var waiting []subject
	for about, st := range q.m {
		if st.pending != nil {
			waiting = append(waiting, about)
		}
	}
	slices.SortFunc(waiting, func(a, b subject) int { return q.m[a].pending.record.Time.Compare(q.m[b].pending.record.Time) })
	states := make([]*state, len(waiting))
	for i, about := range waiting {
		states[i] = q.m[about]
	}
	q.mu.Unlock()
	for i, about := range waiting {
		q.over(about, states[i])
	}
}

// over writes what is pending when a minute has passed.
func (s *subjects) over(about subject, st *state) {
	s.mu.Lock()
	l, before := st.pending, st.held
	if l == nil || s.m[about] != st {
		s.mu.Unlock()
		return
	}
	st.since, st.written, st.last, st.held, st.pending = time.Now(), 1, l.says, held{}, nil
	s.mu.Unlock()
	before.lines--
	before.records -= l.records
	_ = write(context.Background(), l.to, l.record, before) // as slog.Logger does with a handler's error
}

// of is the state of a subject. When there are too many, those that say nothing new are forgotten.
func (s *subjects) of(about *subject, now time.Time) *state {
	st := s.m[*about]
	if st == nil && len(s.m) >= maxSubjects {
		for k, old := range s.m {
			if old.pending == nil && now.Sub(old.since) >= minute {
				delete(s.m, k)
			}
		}
		if len(s.m) >= maxSubjects {
			about.of = ""
			st = s.m[*about]
		}
	}
	if st == nil {
		st = &state{since: now}
		s.m[*about] = st
	}
	return st
}

func write(ctx context.Context, to slog.Handler, r slog.Record, before held) error {
	if before.lines > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("suppressed", before.lines))
	}
	if before.records > 0 {
		r.AddAttrs(slog.Int64("suppressed_records", before.records))
	}
	return to.Handle(ctx, r)
}

// read finds what a line is about, and what it says. Lines that have an event are about what stands before
// the event's first dot: link.up and link.down speak of the same thing. l is nil if the line must not be held back.
func read(r *slog.Record) (about subject, l *line) {
	event, err := "", ""
	l = &line{record: *r}
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "event":
			event = a.Value.String()
		case "err", "reason":
			err += a.Value.String()
		case "topic", "partition", "broker", "addr", "file", "path":
			about.of += a.Key + a.Value.String() + " "
		case "records":
			l.records = count(a.Value)
		}
		return true
	})
	if losses[event] {
		return about, nil
	}
	about.kind, _, _ = strings.Cut(event, ".")
	if event == "" {
		about.kind = r.Message
	}
	l.says = r.Level.String() + r.Message + "\n" + event + "\n" + err
	return about, l
}

// count is the number in v, or 0.
func count(v slog.Value) int64 {
	switch v.Kind() {
	case slog.KindInt64:
		return v.Int64()
	case slog.KindUint64:
		return int64(min(v.Uint64(), math.MaxInt64))
	default:
		return 0
	}
}
