package main

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// newLogger writes text on a terminal and JSON elsewhere, and at most one line a
// minute for each cause.
func newLogger(out io.Writer, level, format string, now func() time.Time) *slog.Logger {
	var min slog.Level
	if err := min.UnmarshalText([]byte(level)); err != nil {
		min = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: min}
	var h slog.Handler
	if format == "text" || format == "auto" && isTerminal(out) {
		h = slog.NewTextHandler(out, opts)
	} else {
		h = slog.NewJSONHandler(out, opts)
	}
	return slog.New(&quietHandler{next: h, shared: &quiet{now: now, seen: map[cause]*repeats{}}})
}

const (
	quietFor  = time.Minute
	maxCauses = 1024 // causes are bounded by topics; beyond this, old ones are forgotten
)

// cause is what makes two lines the same.
type cause struct {
	level            slog.Level
	message          string
	event, topic, of string
}

type repeats struct {
	since      time.Time
	suppressed int
}

// quiet holds back repeats of warnings and errors. An SD card must not be worn
// out by a day of retries. Safe for concurrent use.
type quiet struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[cause]*repeats
}

// quietHandler is one view (attributes, group) of a quiet.
type quietHandler struct {
	next   slog.Handler
	shared *quiet
}

func (h *quietHandler) Enabled(ctx context.Context, l slog.Level) bool {
	return h.next.Enabled(ctx, l)
}

func (h *quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &quietHandler{next: h.next.WithAttrs(attrs), shared: h.shared}
}

func (h *quietHandler) WithGroup(name string) slog.Handler {
	return &quietHandler{next: h.next.WithGroup(name), shared: h.shared}
}

// Handle passes r on, or counts it when its cause was told less than a minute ago. The
// next line of that cause says how many were held back.
func (h *quietHandler) Handle(ctx context.Context, r slog.Record) error {
	c := cause{level: r.Level, message: r.Message}
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "event":
			c.event = a.Value.String()
		case "topic":
			c.topic = a.Value.String()
		case "partition", "broker", "addr":
			c.of += a.Key + a.Value.String()
		}
		return true
	})
	held, ok := h.shared.pass(c)
	if !ok {
		return nil
	}
	if held > 0 {
		r.AddAttrs(slog.Int("suppressed", held))
	}
	return h.next.Handle(ctx, r)
}

func (q *quiet) pass(c cause) (held int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := q.now()
	s := q.seen[c]
	if s != nil && now.Sub(s.since) < quietFor {
		s.suppressed++
		return 0, false
	}
	if s == nil {
		if len(q.seen) >= maxCauses {
			clear(q.seen)
		}
		s = &repeats{}
		q.seen[c] = s
	}
	held = s.suppressed
	*s = repeats{since: now}
	return held, true
}
