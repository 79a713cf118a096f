package spoold

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spoold/spoold/spool/bolt"
)

// roomLog writes a line when the spool begins to refuse records, and when it takes them again. Safe for concurrent use.
type roomLog struct {
	log     *slog.Logger
	refuses atomic.Bool // as the last line says

	atQuota atomic.Int32 // how many topics
	mu      sync.Mutex
	topics  map[string]struct{} // they are at their quota, as the last line about each says
	looked  time.Time
}

// quota is called when a record was refused, at last.
func (l *roomLog) quota(err error) {
	var q *bolt.QuotaError
	if !errors.As(err, &q) || !errors.Is(err, bolt.ErrFull) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, said := l.topics[q.Topic]; said {
		return
	}
	if l.topics == nil {
		l.topics = make(map[string]struct{})
	}
	l.topics[q.Topic] = struct{}{}
	l.atQuota.Store(int32(len(l.topics)))
	l.log.Warn("a topic is at its quota, its records are refused until some are delivered; other topics go on",
		"event", "topic.quota.full", "topic", q.Topic, "bytes", q.Taken, "limit", q.Bytes)
}

// quotaTaken looks which topics have room again, at most once a second.
func (l *roomLog) quotaTaken(store *bolt.Store) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.looked) < lookAgain {
		return
	}
	l.looked = time.Now()
	for topic, q := range store.Quotas() {
		if _, said := l.topics[topic]; said && !q.Full {
			delete(l.topics, topic)
			l.log.Info("a topic that was at its quota takes records again", "event", "topic.quota.room", "topic", topic)
		}
	}
	l.atQuota.Store(int32(len(l.topics)))
}

// full is called when a record found no room at once. That the disk is behind for a moment is no reason for a line.
func (l *roomLog) full(s bolt.Stats) {
	if s.Full == "" || l.refuses.Swap(true) {
		return
	}
	l.log.Error("the spool is full, records are refused until something is delivered",
		"event", "spool.full", "reason", s.Full, "bytes", s.Bytes, "limit", s.Limit, "pending", s.Counters.Pending())
}

// taken is called when a record was taken.
func (l *roomLog) taken(store *bolt.Store) {
	if l.atQuota.Load() > 0 {
		l.quotaTaken(store)
	}
	if l.refuses.Load() && l.refuses.Swap(false) {
		l.log.Info("the spool takes records again", "event", "spool.room")
	}
}

// lookAgain is after how long a caller's wait for room is looked at again: the spool has said by then whether it is full.
const lookAgain = time.Second

// blocked is called when a record found no room at once and waits for it, and what it returns when it has found some, or has not.
func (l *roomLog) blocked(m *meter, store *bolt.Store) (ended func(error)) {
	over := m.blocked()
	look := func() { l.full(store.Stats()) }
	look()
	again := time.AfterFunc(lookAgain, look)
	return func(err error) {
		again.Stop()
		if errors.Is(err, bolt.ErrFull) {
			look()
			l.quota(err)
		}
		over()
	}
}
