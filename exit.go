package spoold

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
)

// Exit codes of the command line (sysexits).
const (
	ExitOK          = 0
	ExitProblem     = 1 // a check found one
	ExitUsage       = 64
	ExitCorrupt     = 65
	ExitUnavailable = 69 // the cluster did not answer in time
	ExitSoftware    = 70 // our own bug
	ExitCantCreate  = 73
	ExitIO          = 74 // on the spool
	ExitTemporary   = 75 // spool locked or full
	ExitPermission  = 77
	ExitConfig      = 78
)

// ExitCode is the code that a program should end with after err.
func ExitCode(err error) int {
	var path *fs.PathError
	var resolve *ResolveError
	switch {
	case err == nil:
		return ExitOK
	case as[*ConfigError](err), as[*VersionError](err):
		return ExitConfig
	case as[*CorruptError](err), as[*DamageError](err):
		return ExitCorrupt
	case as[*ForeignClusterError](err), as[*StoppedError](err), errors.Is(err, ErrForeign):
		return ExitCorrupt // intact, but it does not belong to what it meets
	case errors.As(err, &resolve) && resolve.Again:
		return ExitTemporary
	case as[*NoSpoolError](err), resolve != nil, errors.Is(err, ErrPartOfUnit):
		return ExitUsage
	case as[*SpaceError](err):
		return ExitTemporary // a full disk passes
	case as[*LockedError](err), errors.Is(err, ErrFull), errors.Is(err, ErrKeyWindow), errors.Is(err, ErrTooManyTopics):
		return ExitTemporary
	case errors.Is(err, syscall.ENOTDIR):
		return ExitCantCreate
	case errors.Is(err, fs.ErrPermission):
		return ExitPermission
	case errors.Is(err, ErrUnknown):
		return ExitIO
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return ExitTemporary // at a start
	case errors.Is(err, context.DeadlineExceeded):
		return ExitUnavailable
	case errors.As(err, &path):
		if path.Op == "mkdir" || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
			return ExitCantCreate
		}
		return ExitIO
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrInvalidRecord), errors.Is(err, ErrKeyReused), as[*RefusedError](err), as[*SerializationError](err):
		return ExitProblem
	}
	return ExitSoftware
}
