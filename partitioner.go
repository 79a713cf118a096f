package spoold

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"time"
)

// Partitioner chooses partitions in the program's own way, in place of partitioner.class. What it chooses is spooled with the
// record: a later start delivers it there without the program's code, and the order of records for one partition
// is that of their Sends. If it has a method Close() error, that is called once, at the end of Producer.Close or when Open fails.
type Partitioner interface {
	// Partition is called by Send and its like for a record that names no partition, on the caller's goroutine and after
	// interceptors, possibly on several goroutines at once. partitions is how many the topic has, or 0 while that is not known:
	// the cluster was not reached since Open, or nothing was ever sent to the topic. Then it may choose all the same, or
	// return ErrPartitionsUnknown.
	//
	// The zero Partition leaves the choice to partitioner.class. An error, a panic, or a partition that the topic does not have
	// or none can have (ToPartition(-1)), is what Send returns, and nothing is taken. It must not change the record's bytes. For a Batch with a Key it must give a
	// repeat the same result.
	Partition(r Record, partitions int32) (Partition, error)
}

// ErrPartitionsUnknown may be returned by a Partitioner that is called with no number of partitions. Send then asks the cluster as
// PartitionsFor does, which takes up to max.block.ms, and calls it again. With topics.create it has a topic that does not exist created, as a
// record for it would, and gives the cluster up to five seconds for that.
var ErrPartitionsUnknown = errors.New("the topic's number of partitions is not known")

// chooser calls the program's Partitioner.
type chooser struct {
	own   Partitioner // nil: none
	hooks *Hooks
	once  sync.Once
}

func newChooser(own Partitioner, hooks *Hooks) *chooser { return &chooser{own: own, hooks: hooks} }

func (c *chooser) none() bool { return c.own == nil }

// choose is the partition of a record that names none.
func (c *chooser) choose(ctx context.Context, p *Producer, r *Record) (Partition, error) {
	if c.none() || r.Partition.asked {
		return r.Partition, nil
	}
	n, _ := p.counts.known(r.Topic)
	chosen, err := c.call(r, n)
	if n == 0 && errors.Is(err, ErrPartitionsUnknown) {
		create := time.Duration(0)
		if p.cfg.TopicsCreate {
			create = createWait
		}
		parts, askErr := p.askPartitions(ctx, r.Topic, create)
		if askErr != nil {
			return Partition{}, fmt.Errorf("partitioner: %w: %w", err, askErr)
		}
		n = int32(len(parts))
		p.counts.note(r.Topic, n)
		chosen, err = c.call(r, n)
	}
	switch {
	case err != nil:
		return Partition{}, fmt.Errorf("partitioner: topic %s: %w", r.Topic, err)
	case !chosen.valid():
		return Partition{}, fmt.Errorf("%w: the partitioner %T chose partition %d of topic %s, allowed are 0 to %d; the zero Partition leaves the choice to partitioner.class",
			ErrInvalidRecord, c.own, chosen.n, r.Topic, MaxPartition)
	case n > 0 && chosen.Number() >= n:
		return Partition{}, fmt.Errorf("%w: the partitioner %T chose partition %d of topic %s, which has %d, numbered from 0", ErrInvalidRecord, c.own, chosen.n, r.Topic, n)
	}
	return chosen, nil
}

func (c *chooser) call(r *Record, n int32) (chosen Partition, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: the partitioner panicked: %v", ErrInvalidRecord, v)
			call(c.hooks, c.hooks.Panicked, Panicked{Where: "partitioner", Value: v, Stack: debug.Stack()})
		}
	}()
	return c.own.Partition(*r, n)
}

// close closes the Partitioner, once.
func (c *chooser) close() {
	c.once.Do(func() {
		own, ok := c.own.(io.Closer)
		if !ok {
			return
		}
		defer c.hooks.recovered("partitioner")
		if err := own.Close(); err != nil {
			call(c.hooks, c.hooks.InterceptorFailed, InterceptorFailed{Interceptor: fmt.Sprintf("%T", c.own), Method: "Close", Err: err})
		}
	})
}
