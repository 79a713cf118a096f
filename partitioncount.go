package spoold

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/spoold/spoold/sender/loop"
)

const (
	// countWait is how long the cluster may take to say how many partitions a topic has.
	countWait = time.Second
	// countRetry is how long such a question that had no answer is not put again.
	countRetry = 5 * time.Second
	// countAgain is how long the cluster is not asked again for a partition that a topic does not have.
	countAgain = time.Second
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
	case <-p.counts.askOf(p, topic):
		n, _ = p.counts.known(s, topic)
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
	known, away := c.latest(ctx, p, topic)
	if known == 0 || n < known || away {
		return nil
	}
	count, ok := c.confirmed(topic)
	if !ok {
		select {
		case <-c.askOf(p, topic):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		count, _ = c.confirmed(topic)
	}
	if count == 0 || n < count {
		return nil
	}
	return fmt.Errorf("%w: topic %s has no partition %d: it has %d, numbered from 0", ErrInvalidRecord, topic, n, count)
}

// latest is how many partitions a topic has, or 0: also where that is so new that no snapshot has it, as just after the first ack.
// away: the cluster is known to be out of reach.
func (c *partitionCounts) latest(ctx context.Context, p *Producer, topic string) (n int32, away bool) {
	l := p.engines.now.Load().loop
	s := l.Snapshot()
	n, _ = c.known(s, topic)
	if away = !s.Core.LinkUp && s.Core.LinkErr != ""; n > 0 || away {
		return n, away
	}
	ctx, cancel := context.WithTimeout(ctx, countWait)
	defer cancel()
	n, _ = c.known(l.Refresh(ctx), topic)
	return n, false
}

// partitionCounts are how many partitions topics have. Safe for concurrent use.
type partitionCounts struct {
	maxAge time.Duration // of what was asked

	mu     sync.Mutex
	of     *loop.Snapshot   // that counts was made from
	counts map[string]int32 // partitions by topic
	asked  map[string]asked // of topics that were asked for; of asked and counts the larger one counts
	asking map[string]chan struct{}
	fresh  map[string]asked // what the cluster said a moment ago
}

type asked struct {
	n     int32 // 0: there was no answer
	until time.Time
}

func newPartitionCounts(maxAge time.Duration) *partitionCounts {
	return &partitionCounts{maxAge: maxAge, asked: make(map[string]asked), asking: make(map[string]chan struct{}), fresh: make(map[string]asked)}
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
	age, again := c.maxAge, countAgain
	if n == 0 {
		age, again = countRetry, countRetry
	}
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	keep(c.asked, topic, asked{n, now.Add(age)})
	keep(c.fresh, topic, asked{n, now.Add(again)})
}

// keep puts an answer in place of an older one of its topic, or of any one where there are maxAsked: that is asked for again.
func keep(answers map[string]asked, topic string, a asked) {
	if _, found := answers[topic]; !found && len(answers) >= maxAsked {
		for old := range answers {
			delete(answers, old)
			break
		}
	}
	answers[topic] = a
}

// confirmed is what the cluster said a moment ago; 0: nothing. ok: there is no use in asking now.
func (c *partitionCounts) confirmed(topic string) (n int32, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, found := c.fresh[topic]
	if !found || !time.Now().Before(a.until) {
		delete(c.fresh, topic)
		return 0, false
	}
	return a.n, true
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
