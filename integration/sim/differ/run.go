package differ

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Setting is how a run is done.
type Setting struct {
	Mix    Mix
	Expiry bool
	Older  bool // both sides are Kafka 3.9
	Steps  int
	// Model makes a fresh model, to begin a world with.
	Model func() side
	// Patience is how long a failing sequence may be shrunk.
	Patience time.Duration
}

// Failure is a sequence of steps on which the two sides differ.
type Failure struct {
	Seed  uint64
	Steps []Step // shrunk; the last one shows it
	At    int    // which step it was before
	Err   error
}

func (f *Failure) Error() string {
	var out strings.Builder
	fmt.Fprintf(&out, "seed %d, step %d: %v\nshrunk to %d steps:\n", f.Seed, f.At, f.Err, len(f.Steps))
	for i := range f.Steps {
		fmt.Fprintf(&out, "%4d  %s\n", i, &f.Steps[i])
	}
	return out.String()
}

func (f *Failure) Unwrap() error { return f.Err }

// lostSessions is how many times a world is begun anew because the machine was too busy for the real broker: one that does not
// send its heartbeats in time is fenced, and leads again in another epoch.
const lostSessions = 3

// Run draws a world's steps from a seed, does them on both sides and compares. A *Failure is a difference.
func (set *Setting) Run(real side, seed uint64) (sum Counts, err error) {
	for attempt := 0; ; attempt++ {
		w, err := set.once(real, seed, attempt)
		if w != nil {
			sum.add(w.Counts)
		}
		var f *Failure
		if !errors.As(err, &f) {
			return sum, err
		}
		if attempt < lostSessions && w.fenced() {
			sum.LostSessions++
			continue
		}
		f.Steps, f.Err = set.shrink(real, seed, f.Steps, f.Err)
		return sum, f
	}
}

// once does a world from its beginning to its end.
func (set *Setting) once(real side, seed uint64, attempt int) (*world, error) {
	w, err := newWorld(real, set.Model(), fmt.Sprintf("d%x.%d", seed, attempt))
	if err != nil {
		return nil, err
	}
	w.expiry = set.Expiry
	g := newGenerator(seed, set.Mix, set.Older)
	w.answered = g.saw
	w.ended = func(p place, end int64) { g.ends[p] = end }
	var steps []Step
	for range set.Steps {
		s := g.next()
		steps = append(steps, s)
		if err := w.do(&s); err != nil {
			if !errors.Is(err, errDiffer) {
				return w, fmt.Errorf("seed %d, step %d: %w", seed, len(steps)-1, err)
			}
			return w, &Failure{Seed: seed, Steps: steps, At: len(steps) - 1, Err: err}
		}
		g.did(&s)
	}
	return w, w.close()
}

// replay does given steps in a world of their own.
func (set *Setting) replay(real side, prefix string, steps []Step) error {
	w, err := newWorld(real, set.Model(), prefix)
	if err != nil {
		return err
	}
	w.expiry = set.Expiry
	for i := range steps {
		if err := w.do(&steps[i]); err != nil {
			return err
		}
	}
	return w.close()
}

// shrink leaves steps out for as long as the rest still shows a difference, in ever smaller pieces, until its time is up.
func (set *Setting) shrink(real side, seed uint64, steps []Step, first error) ([]Step, error) {
	deadline := time.Now().Add(set.Patience)
	for size, attempt := len(steps)/2, 0; size > 0; size /= 2 {
		for from := 0; from+size < len(steps); {
			if time.Now().After(deadline) {
				return steps, first
			}
			attempt++
			less := append(append([]Step(nil), steps[:from]...), steps[from+size:]...)
			if err := set.replay(real, fmt.Sprintf("d%x-%d", seed, attempt), less); errors.Is(err, errDiffer) {
				steps, first = less, err
			} else {
				from += size
			}
		}
	}
	return steps, first
}
