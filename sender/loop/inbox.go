package loop

import "sync"

// inbox is how other goroutines reach the loop: messages are run by it, in the order
// of post. Posting never blocks, so that a connection's reader cannot wait for a loop
// that waits for it. It is bounded by what causes messages: requests under way,
// connections, feeds, and callers that wait for their answer.
type inbox struct {
	mu       sync.Mutex
	messages []func()
	spare    []func()
	closed   bool
	signal   chan struct{} // holds one token while there is something to take
}

func newInbox() *inbox { return &inbox{signal: make(chan struct{}, 1)} }

// post reports false if the loop has ended: the message is not going to be run.
func (b *inbox) post(message func()) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	b.messages = append(b.messages, message)
	b.mu.Unlock()
	select {
	case b.signal <- struct{}{}:
	default:
	}
	return true
}

// take returns all messages. They are valid until the next call.
func (b *inbox) take() []func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.messages
	clear(b.spare)
	b.messages, b.spare = b.spare[:0], taken
	return taken
}

// close refuses further messages and returns those that were never run.
func (b *inbox) close() []func() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	left := b.messages
	b.messages = nil
	return left
}
