package demo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// makeTopic makes a fresh topic on a real cluster. The func it returns removes it.
func makeTopic(ctx context.Context, brokers []string, topic string) (func() error, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	adm := kadm.NewClient(cl)
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if _, err := adm.CreateTopic(ctx, partitions, -1, nil, topic); err != nil {
		cl.Close()
		return nil, &UnavailableError{fmt.Errorf("make topic %s on %s: %w", topic, brokers[0], err)}
	}
	return func() error {
		defer cl.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		_, err := adm.DeleteTopic(ctx, topic)
		return err
	}, nil
}

// UnavailableError says that the cluster could not be used.
type UnavailableError struct{ err error }

func (e *UnavailableError) Error() string { return "demo: " + e.err.Error() }

// Unwrap is what happened.
func (e *UnavailableError) Unwrap() error { return e.err }

// readBack reads the whole topic with another client and counts into res. A record that
// nobody sent, or that is not what was sent byte for byte, counts as duplicated: it is
// one too many.
func readBack(ctx context.Context, brokers []string, topic string, l *ledger, res *Result) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords()) // a transaction's marker is the last record of a partition
	if err != nil {
		return fmt.Errorf("demo: read back: %w", err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("demo: read back: %w", err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	count := newTally(l)
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			if err := errors.Join(ctx.Err(), e.Err); ctx.Err() != nil {
				return fmt.Errorf("demo: read back %s-%d: %w", e.Topic, e.Partition, err)
			}
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				count.add(r.Partition, r.Key, r.Value)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	count.into(res)
	return nil
}

// tally compares what is read with what was sent. Each client counts once for each record of its requests.
type tally struct {
	l          *ledger
	seen       []map[int]bool // by client, by number
	last       []int          // by client: the highest number read
	partition  []int32        // by client: where its records are
	duplicated int
	reordered  int
}

func newTally(l *ledger) *tally {
	n := len(l.clients) * l.perRequest()
	t := &tally{l: l, seen: make([]map[int]bool, n), last: make([]int, n), partition: make([]int32, n)}
	for i := range t.seen {
		t.seen[i], t.last[i], t.partition[i] = map[int]bool{}, -1, -1
	}
	return t
}

func (t *tally) add(partition int32, key, value []byte) {
	s, ok := t.l.identify(key, value)
	at := s.Client
	if s.Second {
		at += len(t.l.clients)
	}
	switch {
	case !ok || t.seen[at][s.Number]:
		t.duplicated++
		return
	case s.Number < t.last[at], t.partition[at] != -1 && t.partition[at] != partition:
		t.reordered++
	}
	t.seen[at][s.Number] = true
	t.last[at] = max(t.last[at], s.Number)
	t.partition[at] = partition
}

func (t *tally) into(res *Result) {
	res.Duplicated, res.Reordered = t.duplicated, t.reordered
	half := 0
	for i, c := range t.l.clients {
		res.Lost += c.next - len(t.seen[i])
		if !t.l.pairs {
			continue
		}
		other := t.seen[i+len(t.l.clients)]
		res.Lost += c.next - len(other)
		for number := range c.next {
			if t.seen[i][number] != other[number] {
				half++
			}
		}
	}
	if t.l.pairs {
		res.HalfVisible = &half
	}
}
