package crashstates

import (
	"fmt"
	"strings"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// History is what the marks of a workload tell: each line is "b N" (step N begins), "d N" (everything up to step N is
// durable, its callers were told), or "r N M I ID" (a life begins: it found the state after step N, and goes on with step
// M; it is incarnation I of spool ID).
type History struct {
	script      Script
	models      map[int]*Model // after each step
	steps       map[int]Step
	done        int
	begun       int
	incarnation uint64 // of the last life that was told of
	id          string // of the spool, once that was told
}

// NewHistory is that of an empty spool.
func NewHistory(script Script) *History {
	return &History{script: script, models: map[int]*Model{0: newModel()}, steps: map[int]Step{}}
}

// Begin makes the next step.
func (h *History) Begin() (int, Step) {
	m := h.models[h.begun].clone()
	h.begun++
	st := h.script.next(m, h.begun)
	h.models[h.begun], h.steps[h.begun] = m, st
	return h.begun, st
}

// Take reads one mark.
func (h *History) Take(mark string) error {
	var n, next int
	switch {
	case strings.HasPrefix(mark, "b "):
		if _, err := fmt.Sscanf(mark, "b %d", &n); err != nil {
			return err
		}
		if got, _ := h.Begin(); got != n {
			return fmt.Errorf("crashstates: step %d begins where %d was due", n, got)
		}
	case strings.HasPrefix(mark, "d "):
		if _, err := fmt.Sscanf(mark, "d %d", &n); err != nil {
			return err
		}
		h.done = n
	case strings.HasPrefix(mark, "r "):
		if _, err := fmt.Sscanf(mark, "r %d %d %d %s", &n, &next, &h.incarnation, &h.id); err != nil {
			return err
		}
		h.Resume(n)
		if next != h.begun+1 {
			return fmt.Errorf("crashstates: a life goes on with step %d, not %d", next, h.begun+1)
		}
	default:
		return fmt.Errorf("crashstates: unknown mark %q", mark)
	}
	return nil
}

// Resume says that a new life found the state after step n. The steps between it and the last
// one never were: what counts as the state after the last one from now on is that after step n.
func (h *History) Resume(n int) {
	h.models[h.begun] = h.models[n]
	h.done = h.begun
}

// Allowed are the steps after which the spool may be now: the last one that was told of, and those that had begun since.
func (h *History) Allowed() (from, to int) { return h.done, h.begun }

// Absent are the steps with a key that the model does not know.
func (h *History) Absent(m *Model) []int {
	var out []int
	for n := 1; n <= h.begun; n++ {
		if b := h.steps[n].Batch; b != nil && b.Key != "" && m.keys[b.Key] == 0 {
			out = append(out, n)
		}
	}
	return out
}

// Find looks for the step after which the open spool is, among those allowed.
func (h *History) Find(s *bolt.Store, r *spool.Recovered) (int, error) {
	if h.id != "" && r.SpoolID != h.id || r.Incarnation <= h.incarnation {
		return 0, fmt.Errorf("crashstates: incarnation %d of spool %s, after incarnation %d of %s", r.Incarnation, r.SpoolID, h.incarnation, h.id)
	}
	from, to := h.Allowed()
	var why []string
	for n := to; n >= from; n-- { // the latest of equal ones
		diff := h.models[n].Differs(s, r)
		if diff == "" {
			return n, h.models[n].Contents(s)
		}
		why = append(why, fmt.Sprintf("not the state after step %d: %s", n, diff))
	}
	return 0, fmt.Errorf("crashstates: %s", strings.Join(why, "; "))
}

// Stale reports whether the state after step n is not allowed any more.
func (h *History) Stale(n int) bool {
	from, to := h.Allowed()
	for ; from <= to; from++ {
		if n >= from || h.models[n].same(h.models[from]) {
			return false
		}
	}
	return true
}
