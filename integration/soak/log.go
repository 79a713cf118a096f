package soak

import (
	"fmt"
	"os"
	"sync"
)

// Log is a file for what nobody reads unless something went wrong: when it is full it is begun anew, and the one
// before is kept beside it as NAME.1. Safe for concurrent use.
type Log struct {
	path string
	most int64

	mu   sync.Mutex
	f    *os.File
	size int64
}

// NewLog is a log of at most so many bytes, twice.
func NewLog(path string, most int64) (*Log, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("soak: log: %w", err)
	}
	return &Log{path: path, most: most, f: f}, nil
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size += int64(len(p)); l.size > l.most {
		if err := l.turn(); err != nil {
			return 0, err
		}
		l.size = int64(len(p))
	}
	return l.f.Write(p)
}

func (l *Log) turn() error {
	if err := l.f.Close(); err != nil {
		return fmt.Errorf("soak: log: %w", err)
	}
	if err := os.Rename(l.path, l.path+".1"); err != nil {
		return fmt.Errorf("soak: log: %w", err)
	}
	f, err := os.Create(l.path)
	if err != nil {
		return fmt.Errorf("soak: log: %w", err)
	}
	l.f = f
	return nil
}

// Close ends it.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.f.Close()
}
