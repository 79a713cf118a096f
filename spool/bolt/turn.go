package bolt

import (
	"context"
	"fmt"
	"slices"
)

// Callers get room in the order in which they began to wait for it: nobody who comes later, and with less, goes before them. Apart
// from that is what is larger than a group: it waits for a group of its own, and others go on meanwhile.

// turns are all who wait, in that order. They are under mu.
type turns struct {
	*Store
	list []*turn
}

// turn is a caller's place among those who wait for room.
type turn struct {
	next chan struct{} // gets a value when it is the first, and there may be room
}

// leave gives up a place, if w is one, and wakes the next. Under mu.
func (s *turns) leave(w *turn) {
	if i := slices.Index(s.list, w); w != nil && i >= 0 {
		s.list = slices.Delete(s.list, i, i+1)
		if i == 0 {
			s.callFirst()
		}
	}
}

// callFirst wakes the first who waits. Under mu.
func (s *turns) callFirst() {
	if len(s.list) > 0 {
		select {
		case s.list[0].next <- struct{}{}:
		default: // it will look as it is
		}
	}
}

// wait gives mu away until there may be room for what shares a group with others, and takes it back. It returns the
// caller's place, w if it has one. If it returns an error, mu is not held, and the place is given up.
func (s *turns) wait(ctx context.Context, w *turn, size int, why error) (*turn, error) {
	if size > s.space.hardCap {
		return nil, s.waitForRoom(ctx, size, why)
	}
	if s.err != nil || s.closing {
		s.leave(w)
		s.mu.Unlock()
		return nil, why
	}
	if w == nil {
		w = &turn{next: make(chan struct{}, 1)}
		s.list = append(s.list, w)
	}
	s.wake()
	s.mu.Unlock()
	select {
	case <-w.next:
		s.mu.Lock()
		return w, nil
	case <-ctx.Done():
		s.mu.Lock()
		s.leave(w)
		if s.space.full != nil {
			why = s.space.full
		}
		s.mu.Unlock()
		return nil, fmt.Errorf("%w: %w: %w", ErrFull, why, context.Cause(ctx))
	}
}
