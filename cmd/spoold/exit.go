package main

import (
	"errors"
	"fmt"

	"github.com/spoold/spoold"
)

// Exit codes, as in sysexits(3). status has its own.
const (
	exitOK           = 0
	exitProblem      = 1 // a check found a problem
	exitUsage        = 64
	exitCorrupt      = 65 // or the spool does not match what it meets
	exitUnavailable  = 69 // the cluster
	exitBug          = 70
	exitCannotCreate = 73
	exitIO           = 74
	exitTemporary    = 75 // locked or full
	exitPermission   = 77
	exitConfig       = 78
)

// exitError is an error with its exit code. With no err, everything was said.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func exitf(code int, format string, args ...any) error {
	return &exitError{code: code, err: fmt.Errorf(format, args...)}
}

func usagef(format string, args ...any) error { return exitf(exitUsage, format, args...) }

// codeOf is the exit code of an error: what a command chose, or else what the
// library's error means.
func codeOf(err error) int {
	var coded *exitError
	if errors.As(err, &coded) {
		return coded.code
	}
	return spoold.ExitCode(err)
}
