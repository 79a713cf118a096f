package main

import (
	"io"
	"log/slog"

	"github.com/spoold/spoold/internal/quietlog"
)

// newLogger writes text on a terminal and JSON elsewhere. Repetitions are held back.
func newLogger(out io.Writer, level slog.Leveler, format string) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if format == "text" || format == "auto" && isTerminal(out) {
		return slog.New(quietlog.Wrap(slog.NewTextHandler(out, opts)))
	}
	return slog.New(quietlog.Wrap(slog.NewJSONHandler(out, opts)))
}

// logLevel is what log.level says; the configuration was validated.
func logLevel(text string) slog.Level {
	level := slog.LevelInfo
	_ = level.UnmarshalText([]byte(text)) // info if it is none
	return level
}
