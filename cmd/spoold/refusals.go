package main

import (
	"errors"
	"path/filepath"
	"sync"

	"github.com/spoold/spoold"
)

// refusals keeps how many records the cluster refused, and why it did the last.
type refusals struct {
	mu      sync.Mutex
	n       uint64
	last    string
	dropped int // by policy
	rule    string
	damaged []spoold.SegmentDamaged
}

func (r *refusals) hook(e spoold.RecordDeadLettered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.n++
	r.last = e.Code.String()
	if e.Message != "" {
		r.last += ": " + e.Message
	}
}

// drop notes what policy dropped.
func (r *refusals) drop(e spoold.RecordsDropped) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped += e.Records
	r.rule = e.Rule + " (" + e.Why + ")"
}

// damage notes a segment of the spool that was found damaged.
func (r *refusals) damage(e spoold.SegmentDamaged) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.damaged = append(r.damaged, e)
}

// lostError says what damage to the spools took, or nil.
func (r *refusals) lostError() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, e := range r.damaged {
		what := plural(uint64(e.Lost), "record") + " lost"
		if e.DeadLetters > 0 {
			what += ", and " + plural(uint64(e.DeadLetters), "dead letter")
		}
		errs = append(errs, exitf(exitProblem, "%s: a file of the spool is damaged (%s); what its checksums vouch for is delivered, the file is kept as %s; spoold ls --spool %s names the places",
			what, e.What, e.Path, shellWord(filepath.Dir(e.Path))))
	}
	return errors.Join(errs...)
}

// droppedError says what policy dropped of the spools in where, or nil.
func (r *refusals) droppedError(where string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dropped == 0 {
		return nil
	}
	return exitf(exitProblem, "%s dropped, not delivered: %s; spoold ls names the places, in %s", plural(r.dropped, "record"), r.rule, where)
}

func (r *refusals) count() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n
}

func (r *refusals) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == "" {
		return ""
	}
	return " (" + r.last + ")"
}
