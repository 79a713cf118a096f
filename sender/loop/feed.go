package loop

import (
	"sync"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// feeder reads entries back from the spool, one Feed after the other. Two buffers
// take turns: while the core copies out of one, the next read fills the other.
type feeder struct {
	read func(lane spool.LaneID, from spool.Index, max int, buf []byte) ([]spool.Section, spool.Index, []byte, error)
	fed  func(f sender.Fed, buf []byte, err error) // hands over; buf comes back through give

	mu      sync.Mutex
	more    sync.Cond
	queue   []sender.Feed
	buffers [][]byte // free
	closed  bool
	ended   sync.WaitGroup
}

const feedBuffers = 2

func (f *feeder) start() {
	f.more.L = &f.mu
	f.buffers = make([][]byte, feedBuffers)
	f.ended.Go(f.work)
}

// ask queues feeds. The core has few of them under way: one per lane that is behind,
// within its budget.
func (f *feeder) ask(feeds []sender.Feed) {
	f.mu.Lock()
	f.queue = append(f.queue, feeds...)
	f.mu.Unlock()
	f.more.Signal()
}

// give takes a buffer back, once the core has copied what it wanted.
func (f *feeder) give(buf []byte) {
	f.mu.Lock()
	f.buffers = append(f.buffers, buf)
	f.mu.Unlock()
	f.more.Signal()
}

func (f *feeder) work() {
	for {
		f.mu.Lock()
		for (len(f.queue) == 0 || len(f.buffers) == 0) && !f.closed {
			f.more.Wait()
		}
		if f.closed {
			f.mu.Unlock()
			return
		}
		feed := f.queue[0]
		f.queue = f.queue[1:]
		buf := f.buffers[len(f.buffers)-1]
		f.buffers = f.buffers[:len(f.buffers)-1]
		f.mu.Unlock()

		sections, next, buf, err := f.read(feed.Lane, feed.From, feed.Bytes, buf)
		f.fed(sender.Fed{ID: feed.ID, Lane: feed.Lane, From: feed.From, Sections: sections, Next: next}, buf, err)
	}
}

func (f *feeder) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.more.Broadcast()
	f.ended.Wait()
}
