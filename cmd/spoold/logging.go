package main

import (
	"io"
	"log/slog"

	"github.com/spoold/spoold/cmd/spoold/internal/page"
	"github.com/spoold/spoold/internal/quietlog"
)

// newLogger writes text on a terminal and JSON elsewhere. Repetitions are held back. The
// last warnings are kept for the status page.
func newLogger(out io.Writer, level slog.Leveler, format string, kept *page.Warnings) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewJSONHandler(out, opts)
	if format == "text" || format == "auto" && isTerminal(out) {
		h = slog.NewTextHandler(out, opts)
	}
	return slog.New(quietlog.Wrap(kept.Handler(h)))
}

// logLevel is what log.level says; the configuration was validated.
func logLevel(text string) slog.Level {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(text)) // info if it is none
	return level
}
