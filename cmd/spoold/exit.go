package main

import (
	"errors"
	"fmt"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
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

// exitMeanings are the exit codes of all commands but status, for the reference and for people.
var exitMeanings = []struct {
	code      int
	means, do string
}{
	{exitOK, "everything that was asked for happened", ""},
	{exitProblem, "a check found a problem, or a run was interrupted", "read what it says"},
	{exitUsage, "the command line is wrong", "the message names the nearest flag or command; `spoold help COMMAND`"},
	{exitCorrupt, "the spool is damaged, of a newer version, or not what it meets: moved, copied, or of another cluster", "nothing was sent; `spoold check`, and [operating.md](operating.md)"},
	{exitUnavailable, "the cluster, or the daemon of --url, did not answer in time", "what is spooled stays; `spoold doctor`, then the same command or `spoold flush`"},
	{exitBug, "a bug of spoold", "`spoold support-bundle`, and report it"},
	{exitCannotCreate, "a file, directory, socket or address cannot be created or listened on", "the message names it"},
	{exitIO, "reading or writing failed; on the spool's disk nothing in memory is believed any more", "start again; if it comes again, replace the disk"},
	{exitTemporary, "the spool is in use by another process, or full", "wait, or look at `spoold status`"},
	{exitPermission, "this user may not do that", "run as the spool's user"},
	{exitConfig, "the configuration has a fault", "every fault is listed with file and line; `spoold config print`"},
}

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
	var refused *admin.Failure
	if errors.As(err, &refused) {
		return refused.Exit
	}
	var remote *admin.RemoteError
	if errors.As(err, &remote) {
		return remote.Exit
	}
	if errors.Is(err, admin.ErrEnded) || errors.Is(err, admin.ErrSilent) {
		return exitUnavailable
	}
	return spoold.ExitCode(err)
}
