package sender

import (
	"fmt"

	"github.com/spoold/spoold/idempotence"
	"github.com/spoold/spoold/sender/cluster"
)

// ForeignClusterError says that the cluster is not the one this spool is bound to.
type ForeignClusterError = cluster.ForeignClusterError

// StoppedError says that somebody else used this spool's identity: the spool is
// an older copy, or has a clone (P11).
type StoppedError struct {
	Reason   string
	Recorded bool // an earlier start saw it
}

func (e *StoppedError) Error() string {
	when := ""
	if e.Recorded {
		when = " (seen by an earlier start)"
	}
	return "this spool is a restored or cloned copy" + when + ": " + e.Reason + "; nothing more is sent. Keep the original, and start this host with an empty spool.path"
}

// RefusedError says that the cluster refused a record for good.
type RefusedError = idempotence.RefusedError

// DamageError says that the spool handed out something that its own records
// contradict. Nothing is guessed from it (P10).
type DamageError struct{ Err error }

func (e *DamageError) Error() string { return e.Err.Error() }
func (e *DamageError) Unwrap() error { return e.Err }

// ResolveError says why Resolve did nothing.
type ResolveError struct {
	Why     string
	Nothing bool // there is nothing to decide on
	Again   bool // it may be decided on in a moment
}

func (e *ResolveError) Error() string {
	if e.Nothing {
		return "resolve: nothing is in doubt, and nothing waits that cannot leave: " + e.Why
	}
	return "resolve: " + e.Why
}

func nothingToResolve(format string, args ...any) error {
	return &ResolveError{Why: fmt.Sprintf(format, args...), Nothing: true}
}
