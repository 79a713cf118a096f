package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/DeRuina/timberjack"
)

// logFile is log.file: it is rotated by size and age, and opened again by SIGHUP, for programs that rotate it from
// outside. Lines that it cannot take go to standard error. Safe for concurrent use.
type logFile struct {
	mu     sync.Mutex
	now    *timberjack.Logger
	config daemonConfig
	spare  io.Writer
	said   time.Time // when a failure was last reported
}

// logMode lets the group read the log.
const logMode = 0o640

// openLogFile makes sure that the file can be written.
func openLogFile(c *daemonConfig, spare io.Writer) (*logFile, error) {
	if err := tryLogFile(c.LogFile); err != nil {
		return nil, err
	}
	return &logFile{now: rotating(c), config: *c, spare: spare}, nil
}

func tryLogFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, logMode)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file, and cannot be rotated; leave log.file empty to log to standard error", path)
	}
	return errors.Join(err, f.Close())
}

func rotating(c *daemonConfig) *timberjack.Logger {
	const mebibyte = 1 << 20
	return &timberjack.Logger{
		Filename: c.LogFile, MaxSize: int((c.LogFileMaxBytes + mebibyte - 1) / mebibyte), RotationInterval: c.LogFileMaxAge,
		MaxBackups: int(c.LogFileBackups), FileMode: logMode,
	}
}

// Write appends a line.
func (f *logFile) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, err := f.now.Write(line)
	if err == nil {
		return n, nil
	}
	if now := time.Now(); now.Sub(f.said) >= time.Minute {
		f.said = now
		fmt.Fprintf(f.spare, "spoold: the log goes to standard error, because log.file %s cannot be written: %v\n", f.config.LogFile, err)
	}
	return f.spare.Write(line)
}

// reopen closes the file and opens the one that has its name now, under the limits of c.
func (f *logFile) reopen(c *daemonConfig) error {
	if err := tryLogFile(f.config.LogFile); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.now
	path := f.config.LogFile // another one needs a restart
	f.config = *c
	f.config.LogFile = path
	f.now = rotating(&f.config)
	return before.Close()
}

func (f *logFile) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.now.Close() // each line was written; lines that come still open it again
}
