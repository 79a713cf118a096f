package page

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// keepWarnings is how many lines the page shows.
const keepWarnings = 50

// Warning is a line of the log at WARN or above.
type Warning struct {
	Time    time.Time         `json:"time"`
	Level   string            `json:"level"`
	Message string            `json:"message"`
	Fields  map[string]string `json:"fields,omitempty"`
}

// Warnings keeps the last lines of the log at WARN or above. Safe for concurrent use.
type Warnings struct {
	mu    sync.Mutex
	lines []Warning
	also  func(Warning)
}

// Also calls f with each further line; f must not block. nil ends it.
func (w *Warnings) Also(f func(Warning)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.also = f
}

// Recent are the last lines, oldest first.
func (w *Warnings) Recent() []Warning {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.lines)
}

func (w *Warnings) add(line Warning) {
	w.mu.Lock()
	if len(w.lines) == keepWarnings {
		w.lines = slices.Delete(w.lines, 0, 1)
	}
	w.lines = append(w.lines, line)
	also := w.also
	w.mu.Unlock()
	if also != nil {
		also(line)
	}
}

// Handler passes every record on to next and keeps those at WARN or above.
func (w *Warnings) Handler(next slog.Handler) slog.Handler { return &keeper{next: next, to: w} }

// keeper is a slog.Handler. Its attributes are kept besides being passed on.
type keeper struct {
	next  slog.Handler
	to    *Warnings
	attrs []slog.Attr
}

func (k *keeper) Enabled(ctx context.Context, l slog.Level) bool { return k.next.Enabled(ctx, l) }

func (k *keeper) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &keeper{k.next.WithAttrs(attrs), k.to, append(slices.Clone(k.attrs), attrs...)}
}

func (k *keeper) WithGroup(name string) slog.Handler {
	return &keeper{k.next.WithGroup(name), k.to, k.attrs}
}

func (k *keeper) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		line := Warning{Time: r.Time, Level: r.Level.String(), Message: r.Message, Fields: map[string]string{}}
		for _, a := range k.attrs {
			line.Fields[a.Key] = a.Value.String()
		}
		r.Attrs(func(a slog.Attr) bool {
			line.Fields[a.Key] = a.Value.String()
			return true
		})
		k.to.add(line)
	}
	return k.next.Handle(ctx, r)
}
