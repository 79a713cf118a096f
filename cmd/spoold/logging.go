package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/spoold/spoold/cmd/spoold/internal/page"
	"github.com/spoold/spoold/internal/quietlog"
)

// logs is where the daemon's lines go.
type logs struct {
	held  *slog.Logger // repetitions are held back
	all   *slog.Logger // nothing is held back, whatever log.level says: what an operator asked for
	level *slog.LevelVar
	file  *logFile // nil: standard error
}

// openLogs opens log.file, if there is one. The last warnings are kept for the status page.
func openLogs(w *world, c *daemonConfig, kept *page.Warnings) (*logs, error) {
	l := &logs{level: new(slog.LevelVar)}
	l.level.Set(logLevel(c.LogLevel))
	out := w.stderr
	if c.LogFile != "" {
		var err error
		if l.file, err = openLogFile(c, w.stderr); err != nil {
			return nil, exitf(exitCannotCreate, "log.file: %w", err)
		}
		out = l.file
	}
	h := kept.Handler(lineHandler(out, c.LogFormat))
	l.all = slog.New(h)
	l.held = slog.New(quietlog.Wrap(&atLeast{h, l.level}))
	return l, nil
}

// close writes what is held back and closes the file.
func (l *logs) close() {
	quietlog.Flush(l.held.Handler())
	if l.file != nil {
		l.file.close()
	}
}

// newLogger is the log of a command that is no daemon.
func newLogger(out io.Writer, level slog.Level, format string) *slog.Logger {
	return slog.New(quietlog.Wrap(&atLeast{lineHandler(out, format), level}))
}

// lineHandler writes every line: text on a terminal and JSON elsewhere, unless format says which.
func lineHandler(out io.Writer, format string) slog.Handler {
	opts := &slog.HandlerOptions{Level: slog.LevelDebug}
	if format == "text" || format == "auto" && isTerminal(out) {
		return slog.NewTextHandler(out, opts)
	}
	return slog.NewJSONHandler(out, opts)
}

// atLeast passes on what is of a level.
type atLeast struct {
	slog.Handler
	level slog.Leveler
}

func (h *atLeast) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *atLeast) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &atLeast{h.Handler.WithAttrs(attrs), h.level}
}

func (h *atLeast) WithGroup(name string) slog.Handler {
	return &atLeast{h.Handler.WithGroup(name), h.level}
}

// logLevel is what log.level says; the configuration was validated.
func logLevel(text string) slog.Level {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(text)) // info if it is none
	return level
}
