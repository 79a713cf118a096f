package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/httpin"
)

// sink is a producer as the HTTP ingest needs it.
type sink struct {
	p *spoold.Producer

	mu      sync.Mutex
	looked  time.Time // when the status was looked at
	linkUp  bool
	linkWhy string
	fenced  string            // why nothing leaves under the transactional id
	trouble map[string]string // by topic
	cluster string
	topics  []httpin.Topic
}

func newSink(p *spoold.Producer) *sink { return &sink{p: p} }

// look is what is known of the cluster, at most a second old. It takes the lock, which the caller gives back.
func (s *sink) look() {
	s.mu.Lock()
	if time.Since(s.looked) < time.Second {
		return
	}
	st := s.p.Peek()
	s.looked, s.linkUp, s.linkWhy, s.cluster, s.trouble = time.Now(), st.Link == "up", st.LinkError, st.ClusterID, map[string]string{}
	if s.fenced = ""; st.Transaction != nil && st.Transaction.Fenced != "" {
		s.fenced = st.Transaction.Fenced
	}
	s.topics = make([]httpin.Topic, len(st.Topics))
	for i := range st.Topics {
		s.topics[i] = httpin.Topic{Name: st.Topics[i].Topic, Partitions: st.Topics[i].PartitionCount}
		if why := st.Topics[i].Trouble; why != "" {
			s.trouble[st.Topics[i].Topic] = why
		}
	}
	slices.SortFunc(s.topics, func(a, b httpin.Topic) int { return strings.Compare(a.Name, b.Name) })
}

// Cluster is the cluster's id; "": it is not known yet.
func (s *sink) Cluster() string {
	s.look()
	defer s.mu.Unlock()
	return s.cluster
}

// Topics are those that are known, by name.
func (s *sink) Topics() []httpin.Topic {
	s.look()
	defer s.mu.Unlock()
	return slices.Clone(s.topics)
}

// Partitions is how many partitions topic has; 0: not known.
func (s *sink) Partitions(ctx context.Context, topic string) int32 {
	return s.p.PartitionCount(ctx, topic)
}

// Seconds after which a full spool may have room again.
const (
	retryDraining = 5
	retryAway     = 30
)

// RetryAfter is how many seconds a client should wait when the spool is full: longer while nothing can be delivered.
func (s *sink) RetryAfter() int {
	s.look()
	defer s.mu.Unlock()
	if s.linkUp {
		return retryDraining
	}
	return retryAway
}

// Waits says why records of a topic cannot leave now; "": they can, as far as is known.
func (s *sink) Waits(topic string) string {
	s.look()
	defer s.mu.Unlock()
	switch {
	case s.linkUp && s.fenced != "":
		return s.fenced
	case s.linkUp:
		return s.trouble[topic]
	case s.linkWhy == "":
		return "the cluster is not reached"
	}
	return "the cluster is not reached: " + s.linkWhy
}

func (s *sink) SendBatch(ctx context.Context, b spoold.Batch) (httpin.Deliveries, error) {
	if b.Key == "" && len(b.Records) == 1 {
		d, err := s.p.Send(ctx, b.Records[0])
		return one(d), err
	}
	d, err := s.p.SendBatch(ctx, b)
	if err != nil {
		return nil, err
	}
	return many{d}, nil
}

// one is the delivery of a request of one record without a key.
type one spoold.Delivery

func (d one) Spooled(ctx context.Context) error { return spoold.Delivery(d).Spooled(ctx) }

func (d one) Acked(ctx context.Context, _ int) (spoold.Ack, error) {
	return spoold.Delivery(d).Acked(ctx)
}

func (one) Duplicate() bool { return false }

type many struct{ spoold.Deliveries }

func (d many) Acked(ctx context.Context, i int) (spoold.Ack, error) {
	if i >= d.Len() {
		return spoold.Ack{}, fmt.Errorf("record %d of %d", i, d.Len())
	}
	return d.At(i).Acked(ctx)
}
