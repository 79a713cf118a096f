package spoold

import (
	"log/slog"
	"sync/atomic"

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
