package spoold

import (
	"context"
	"sync"
	"time"

	"github.com/spoold/spoold/sender/loop"
)

const (
	// countWait is how long the cluster may take to say how many partitions a topic has.
	countWait = time.Second
	// countRetry is how long such a question that had no answer is not put again.
	countRetry = 5 * time.Second
	// maxAsked bounds what is kept of topics that nothing was spooled for.
	maxAsked = 10_000
)

// PartitionCount is how many partitions a topic has; 0: that is not known. Where records were sent to the topic and the
// cluster was reached since, the answer comes at once and is at most about metadata.max.age.ms old. Otherwise the cluster is asked, which
// takes at most a second, or until ctx ends; but not while it is known to be out of reach, nor for five seconds after it did not
// say. It makes no topic. Safe for concurrent use.
func (p *Producer) PartitionCount(ctx context.Context, topic string) int32 {
	s := p.engines.now.Load().loop.Snapshot()
	n, known := p.counts.known(s, topic)
	if known || !s.Core.LinkUp && s.Core.LinkErr != "" {
		return n
	}
	select {
	case <-p.counts.ask(topic, func() int32 {
		ctx, cancel := context.WithTimeout(context.Background(), countWait) // not that of the first who asks: others wait, too
		defer cancel()
		parts, _ := p.PartitionsFor(ctx, topic)
		return int32(len(parts))
	}):
		n, _ = p.counts.known(s, topic)
	case <-ctx.Done():
	}
	return n
}

// partitionCounts are how many partitions topics have. Safe for concurrent use.
type partitionCounts struct {
	maxAge time.Duration // of what was asked

	mu     sync.Mutex
	of     *loop.Snapshot   // that counts was made from
	counts map[string]int32 // partitions by topic
	asked  map[string]asked // of topics that were asked for; of asked and counts the larger one counts
	asking map[string]chan struct{}
}

type asked struct {
	n     int32 // 0: there was no answer
	until time.Time
}

func newPartitionCounts(maxAge time.Duration) *partitionCounts {
	return &partitionCounts{maxAge: maxAge, asked: make(map[string]asked), asking: make(map[string]chan struct{})}
}

// known is how many partitions a topic has, or 0. ok: there is no use in asking now.
func (c *partitionCounts) known(s *loop.Snapshot, topic string) (n int32, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of != s {
		c.of, c.counts = s, make(map[string]int32, len(s.Core.Topics))
		for i := range s.Core.Topics {
			c.counts[s.Core.Topics[i].Topic] = s.Core.Topics[i].PartitionCount
		}
	}
	a, found := c.asked[topic]
	if found && (c.counts[topic] >= a.n && a.n > 0 || !time.Now().Before(a.until)) {
		delete(c.asked, topic)
		a, found = asked{}, false
	}
	n = max(c.counts[topic], a.n)
	return n, n > 0 || found
}

// note keeps what the cluster said of a topic until a snapshot has it, or it is too old. 0: it did not say.
func (c *partitionCounts) note(topic string, n int32) {
	age := c.maxAge
	if n == 0 {
		age = countRetry
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, found := c.asked[topic]; !found && len(c.asked) >= maxAsked {
		for old := range c.asked { // any one: it is asked for again
			delete(c.asked, old)
			break
		}
	}
	c.asked[topic] = asked{n, time.Now().Add(age)}
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
