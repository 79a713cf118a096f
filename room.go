package spoold

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/spoold/spoold/spool/bolt"
)

// roomLog writes a line when the spool begins to refuse records, and when it takes them again. Safe for concurrent use.
type roomLog struct {
	log     *slog.Logger
	refuses atomic.Bool // as the last line says
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
func (l *roomLog) taken() {
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
		}
		over()
	}
}
