package quietlog

import (
	"context"
	"log/slog"
	"math"
	"regexp"
	"slices"
	"sync"
	"time"
)

const (
	minute      = time.Minute
	changes     = 5    // written at once in a minute, for each subject
	maxSubjects = 1024 // beyond it, subjects of one kind share a place
	maxReasons  = 8    // remembered of one state
)

// Wrap holds repetitions of what goes to h back. A handler that does so already is given back as it is.
func Wrap(h slog.Handler) slog.Handler {
	if q, ok := h.(*handler); ok {
		return q
	}
	return &handler{next: h, subjects: &subjects{m: map[subject]*state{}}}
}

// subject is what a line is about: the kind of event, and the topic, partition, broker, address or whatever names it.
type subject struct{ kind, of string }

// state is what is known of a subject.
type state struct {
	since   time.Time // when the minute began
	written int       // lines in it
	last    saying    // the last written line
	reasons []string  // of the written lines since a line said something else than last.what; at most maxReasons, the last ones
	held    held      // since then
	pending *line     // the last held line, if it says something else than last
	timed   bool      // a timer is set that looks at pending
}

// saying is what a line says of its subject: in which state it is, and why.
type saying struct{ what, why string }

// repeats reports whether a line says what a written one of the same state has said already. Reasons that take turns, as of two
// brokers that cannot be reached, are repetitions each.
func (st *state) repeats(l *line) bool {
	return l.records == 0 && l.says.what == st.last.what && slices.Contains(st.reasons, l.says.why)
}

// wrote notes that l is written now.
func (st *state) wrote(l *line) {
	if l.says.what != st.last.what {
		st.reasons = st.reasons[:0]
	}
	if !slices.Contains(st.reasons, l.says.why) {
		if len(st.reasons) == maxReasons {
			st.reasons = slices.Delete(st.reasons, 0, 1)
		}
		st.reasons = append(st.reasons, l.says.why)
	}
	st.last, st.held, st.pending = l.says, held{}, nil
}

// held is how many lines were held back, and how many records they were about.
type held struct {
	lines   int
	records int64
}

// line is one that may be written later.
type line struct {
	says    saying
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
	of   string // what its attributes add to each subject
	*subjects
}

func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	of := h.of
	for _, a := range attrs {
		of += nameOf(a)
	}
	return &handler{h.next.WithAttrs(attrs), of, h.subjects}
}

func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.next.WithGroup(name), h.of, h.subjects}
}

// Handle writes r, or holds it back.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	about, l := read(&r, h.of)
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
	if now.Sub(st.since) >= minute {
		st.since, st.written = now, 0
	}
	if st.written == 0 || st.written < changes && !st.repeats(l) {
		before = st.held // with what was pending: l is the later state
		st.wrote(l)
		st.written++
		return before, true
	}
	st.held.lines++
	st.held.records += l.records
	st.pending = nil
	if l.records > 0 || l.says != st.last {
		l.record = l.record.Clone()
		st.pending = l
		s.timer(about, st, now)
	}
	return held{}, false
}

// timer has what is pending written when the minute is over.
func (s *subjects) timer(about subject, st *state, now time.Time) {
	if st.timed {
		return
	}
	st.timed = true
	time.AfterFunc(st.since.Add(minute).Sub(now), func() {
		s.mu.Lock()
		st.timed = false
		now := time.Now()
		early := st.pending != nil && now.Sub(st.since) < minute // it is of a later minute than the timer
		if early {
			s.timer(about, st, now)
		}
		s.mu.Unlock()
		if !early {
			s.over(about, st)
		}
	})
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

// over writes what is pending.
func (s *subjects) over(about subject, st *state) {
	s.mu.Lock()
	l, before := st.pending, st.held
	if l == nil || s.m[about] != st {
		s.mu.Unlock()
		return
	}
	st.wrote(l)
	st.since, st.written = time.Now(), 1
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

// families are events that speak of one thing: each line of one of them says what state it is in, and makes the earlier ones
// of its family history. Any other event is a family of its own, and held back for nothing but itself.
var families = map[string]string{
	"link.up": "link", "link.down": "link",
	"spool.full": "spool", "spool.room": "spool",
	"topic.quota.full": "topic.quota", "topic.quota.room": "topic.quota",
	"topic.trouble": "topic", "topic.recovered": "topic",
	"transaction.trouble": "transaction", "transaction.resumed": "transaction",
	"topic.right_missing": "topic.right", "topic.right_given": "topic.right",
	"partition.parked": "partition", "partition.unparked": "partition",
	"accept.short": "accept", "accept.resumed": "accept",
	"access.fault": "access", "access.changed": "access",
	"ship.start": "ship", "ship.stopped": "ship",
	"file.opened": "file", "file.failed": "file",
	"dlq.topic": "dlq.topic", // also one that is written with several messages
}

// names are the attributes that name what a line is about.
var names = map[string]bool{
	"topic": true, "partition": true, "broker": true, "addr": true, "file": true, "path": true, "section": true, "listener": true,
	"interceptor": true, "user": true, "subject": true, "uid": true,
}

// nameOf is what an attribute adds to a subject.
func nameOf(a slog.Attr) string {
	if !names[a.Key] {
		return ""
	}
	return a.Key + "=" + a.Value.String() + " "
}

// read finds what a line is about, and what it says. l is nil if the line must not be held back.
func read(r *slog.Record, of string) (about subject, l *line) {
	event, err := "", ""
	l = &line{record: *r}
	about.of = of
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "event":
			event = a.Value.String()
		case "err", "reason":
			err += a.Value.String()
		case "records":
			l.records = count(a.Value)
		default:
			about.of += nameOf(a)
		}
		return true
	})
	if losses[event] || r.Level < slog.LevelInfo {
		return about, nil
	}
	about.kind = families[event]
	if about.kind == "" { // its message says which it is: that of a warning about the configuration, for instance
		about.kind = event + "\n" + r.Message
	}
	l.says = saying{r.Level.String() + r.Message + "\n" + event, ownPort.ReplaceAllString(err, "->")}
	return about, l
}

// ownPort is our end of a connection in the text of an error. Its port is another one each time, and no news.
var ownPort = regexp.MustCompile(`[^\s>]+:[0-9]+->`)

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
