package spoold

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// countWait is how long the cluster may take to say how many partitions a topic has.
	countWait = time.Second
	// countRetry is how long such a question that had no answer is not put again.
	countRetry = 5 * time.Second
	// countAgain is how long an answer is taken for today's, where a record is for a partition that the topic does not have by it.
	countAgain = time.Second
	// maxAsked bounds what is kept of topics that nothing was spooled for.
	maxAsked = 10_000
)

// PartitionCount is how many partitions a topic has; 0: that is not known. Where records were sent to the topic and the
// cluster was reached since, the answer comes at once and is at most about metadata.max.age.ms old. Otherwise the cluster is asked, which
// takes at most a second, or until ctx ends; but not while it is known to be out of reach, nor for five seconds after it did not
// say. It makes no topic. Safe for concurrent use.
func (p *Producer) PartitionCount(ctx context.Context, topic string) int32 {
	n, known := p.counts.known(topic)
	if known || p.engines.clusterAway() {
		return n
	}
	select {
	case <-p.counts.askOf(p, topic):
		n, _ = p.counts.known(topic)
	case <-ctx.Done():
	}
	return n
}

// askOf has the cluster asked for the size of a topic, and gives what is closed when the answer is noted.
func (c *partitionCounts) askOf(p *Producer, topic string) <-chan struct{} {
	return c.ask(topic, func() int32 {
		ctx, cancel := context.WithTimeout(context.Background(), countWait) // not that of the first who asks: others wait, too
		defer cancel()
		parts, _ := p.PartitionsFor(ctx, topic)
		return int32(len(parts))
	})
}

// place is the partition that r names, or that the program's Partitioner chooses. ErrInvalidRecord: the cluster says that the topic does
// not have it. A repeat of what may be spooled already is not asked about: its answer is that of the first.
func (c *partitionCounts) place(ctx context.Context, p *Producer, r *Record, repeat bool) (Partition, error) {
	partition, err := p.chooser.choose(ctx, p, r)
	if n := partition.Number(); err == nil && n > 0 && !repeat {
		err = c.has(ctx, p, r.Topic, n)
	}
	return partition, err
}

// has refuses partition n of a topic that is known to have fewer and of which the cluster says so now: one may have been added
// since metadata came. Of a topic that is not known, and while the cluster is away, it refuses nothing.
func (c *partitionCounts) has(ctx context.Context, p *Producer, topic string, n int32) error {
	known, _ := c.known(topic)
	if known == 0 || n < known || p.engines.clusterAway() {
		return nil
	}
	count, ok := c.said(topic)
	if !ok {
		select {
		case <-c.askOf(p, topic):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		count, _ = c.said(topic)
	}
	if count == 0 || n < count {
		return nil
	}
	return fmt.Errorf("%w: topic %s has no partition %d: it has %d, numbered from 0", ErrInvalidRecord, topic, n, count)
}

// partitionCounts are how many partitions topics have. Safe for concurrent use.
type partitionCounts struct {
	maxAge time.Duration // of what was asked

	mu     sync.RWMutex
	counts map[string]int32 // of topics that were sent to, as the sender reports them
	asked  map[string]asked // of topics that were asked for; of asked and counts the larger one counts
	asking map[string]chan struct{}
}

// asked is what the cluster answered.
type asked struct {
	n  int32 // 0: nothing
	at time.Time
}

func newPartitionCounts(maxAge time.Duration) *partitionCounts {
	return &partitionCounts{maxAge: maxAge, counts: make(map[string]int32), asked: make(map[string]asked), asking: make(map[string]chan struct{})}
}

// counted takes what the sender reports of a topic: it is newer than what was asked.
func (c *partitionCounts) counted(topic string, n int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[topic] = n
	if c.asked[topic].n <= n {
		delete(c.asked, topic)
	}
}

// known is how many partitions a topic has, or 0. ok: there is no use in asking now.
func (c *partitionCounts) known(topic string) (n int32, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	n = c.counts[topic]
	a, found := c.asked[topic]
	if found && time.Since(a.at) < a.lasts(c.maxAge) {
		return max(n, a.n), true
	}
	return n, n > 0
}

// said is what the cluster answered a moment ago; 0: nothing. ok: there is no use in asking now.
func (c *partitionCounts) said(topic string) (n int32, ok bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	a, found := c.asked[topic]
	if !found || time.Since(a.at) >= a.lasts(countAgain) {
		return 0, false
	}
	return a.n, true
}

// lasts is for how long an answer counts that has a number for so long.
func (a asked) lasts(numbers time.Duration) time.Duration {
	if a.n == 0 {
		return countRetry
	}
	return numbers
}

// note keeps what the cluster said of a topic. 0: it did not say. Where there are maxAsked, any other one gives way: it is asked for again.
func (c *partitionCounts) note(topic string, n int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found := c.asked[topic]; !found && len(c.asked) >= maxAsked {
		for old := range c.asked {
			delete(c.asked, old)
			break
		}
	}
	c.asked[topic] = asked{n, time.Now()}
}

// ask puts a question, if nobody else does, and gives what is closed when its answer is noted.
func (c *partitionCounts) ask(topic string, question func() int32) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	answered := c.asking[topic]
	if answered != nil {
		return answered
	}
	answered = make(chan struct{})
	c.asking[topic] = answered
	go func() {
		c.note(topic, question())
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.asking, topic)
		close(answered)
	}()
	return answered
}
