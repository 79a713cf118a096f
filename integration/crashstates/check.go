package crashstates

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spoold/spoold/integration/poll"
	"github.com/spoold/spoold/spool/bolt"
)

// checker opens states and compares them.
type checker struct {
	script Script
	h      *History
	stage  *stage
	fresh  func() (*stage, error)
}

// check opens the state that fr has worked out, and says after which step it is. A deep check goes on working with it.
func (c *checker) check(fr *frame, deep bool) (step int, err error) {
	defer func() {
		if p := recover(); p != nil {
			step, err = none, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if err != nil { // the spool may still be open: nothing of it is used again
			fresh, failed := c.fresh()
			if failed == nil {
				failed = c.stage.close()
			}
			c.stage, err = fresh, errors.Join(err, failed)
		}
	}()
	if err := c.stage.show(fr); err != nil {
		return none, err
	}
	o := c.script.options(c.stage.dir)
	o.Adopt = true
	s, r, err := bolt.Open(o)
	if err != nil {
		return none, err
	}
	drain(s)
	if step, err = c.h.Find(s, r); err == nil {
		err = c.tidy(func() int { return s.Stats().Segments })
	}
	if err == nil && deep {
		err = goOn(s, c.h, c.h.models[step])
	}
	if err = errors.Join(err, closeStore(s)); err != nil || !deep {
		return step, err
	}
	// What was appended after the power cut must not harm the start after it.
	if s, r, err = bolt.Open(o); err != nil {
		return none, fmt.Errorf("open a second time: %w", err)
	}
	drain(s)
	accepted := r.Counters.Accepted
	err = closeStore(s)
	if least := c.h.models[step].accepted(); err == nil && accepted <= least {
		err = fmt.Errorf("%d records after a start that added to %d", accepted, least)
	}
	return step, err
}

// tidy finds as many files as there are segments: a start removes what is on no list. What it finds empty leaves the list a moment later,
// and its file after that.
func (c *checker) tidy(segments func() int) (err error) {
	var names []string
	counted := 0
	poll.Until(func() bool {
		counted, names = segments(), nil
		err = c.stage.list(func(name string, _ uint64) {
			if strings.HasPrefix(name, "spoold-") && !strings.HasSuffix(name, ".tmp") { // that is the next one, made ahead
				names = append(names, name)
			}
		})
		return err != nil || len(names) == counted && counted == segments()
	})
	if err == nil && len(names) != counted {
		err = fmt.Errorf("crashstates: %d segments, but a start has left %v", counted, names)
	}
	return err
}

// drain receives a Store's commits until it is closed.
func drain(s *bolt.Store) {
	go func() {
		for c := range s.Commits() {
			c.Release()
		}
	}()
}

func closeStore(s *bolt.Store) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return s.Close(ctx)
}

// goOn uses a spool after a power cut.
func goOn(s *bolt.Store, h *History, m *Model) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := m.Keys(ctx, s, h.steps, h.Absent(m)); err != nil {
		return err
	}
	t, err := s.Append(ctx, "after the power cut", 1, -1, nil, []byte("one more"), nil)
	if err != nil {
		return err
	}
	return t.Spooled(ctx)
}
