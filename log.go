package spoold

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
)

// logQuiet is how long a line of the same cause is held back after one was written:
// an edge host's SD card must not be worn out by an outage.
const logQuiet = time.Minute

// maxCauses bounds what is remembered of causes; beyond it all is forgotten, and told once more.
const maxCauses = 1000

// logger writes one line per change of state, at most one a minute per cause, with a count of
// those that were held back. The loop's goroutine calls it.
type logger struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	causes map[string]*cause
}

type cause struct {
	next time.Time
	held int
}

// line writes one, unless its cause was told within the minute.
func (l *logger) line(level slog.Level, causeOf, msg string, args ...any) {
	l.mu.Lock()
	c := l.causes[causeOf]
	if c == nil {
		if len(l.causes) >= maxCauses {
			clear(l.causes)
		}
		c = new(cause)
		l.causes[causeOf] = c
	}
	now := l.now()
	if now.Before(c.next) {
		c.held++
		l.mu.Unlock()
		return
	}
	held := c.held
	c.next, c.held = now.Add(logQuiet), 0
	l.mu.Unlock()
	if held > 0 {
		args = append(args, "repeated", held)
	}
	l.log.Log(context.Background(), level, msg, args...)
}

// hooks are the program's, each after a line in the log.
func (l *logger) hooks(h Hooks) Hooks {
	on(&h.LinkChanged, func(e sender.LinkChanged) {
		if e.Up {
			l.line(slog.LevelInfo, "link.up", "cluster reached", "event", "link.up")
			return
		}
		l.line(slog.LevelWarn, "link.down "+e.Err, "cluster not reached, records are spooled", "event", "link.down", "err", e.Err)
	})
	on(&h.Recovery, func(e sender.Recovery) {
		if e.Pending > 0 || e.Seals > 0 {
			l.line(slog.LevelInfo, "recovery", "an earlier process left records, they are delivered first",
				"event", "recovery", "records", e.Pending, "in_doubt_batches", e.Seals, "partitions", e.Partitions)
		}
	})
	on(&h.CopyUnchecked, func(e sender.CopyUnchecked) {
		l.line(slog.LevelWarn, "copy.unchecked", "not every leader could be asked whether an older copy of this spool was used; records are sent all the same",
			"event", "copy.unchecked", "partitions", e.Unasked)
	})
	on(&h.PartitionParked, func(e sender.PartitionParked) {
		l.line(slog.LevelError, "parked "+tp(e.Topic, e.Partition), "partition parked: run spoold resolve",
			"event", "partition.parked", "topic", e.Topic, "partition", e.Partition, "records", e.InDoubt, "reason", e.Park.Reason, "err", e.Park.Detail)
	})
	on(&h.PartitionUnparked, func(e sender.PartitionUnparked) {
		l.line(slog.LevelInfo, "unparked "+tp(e.Topic, e.Partition), "partition resolved",
			"event", "partition.unparked", "topic", e.Topic, "partition", e.Partition, "records", e.Records, "choice", string(e.Choice))
	})
	on(&h.RecordDeadLettered, func(e sender.RecordDeadLettered) {
		l.line(slog.LevelError, "dead "+e.Topic+e.Code.String(), "record refused for good, put to the dead letters",
			"event", "record.dead_lettered", "topic", e.Topic, "partition", e.Partition, "index", e.Index, "err", e.Code.String()+" "+e.Message)
	})
	on(&h.TopicTrouble, func(e sender.TopicTrouble) {
		l.line(slog.LevelWarn, "topic "+e.Topic+e.Code.String(), "topic cannot be delivered to for now, its records are spooled",
			"event", "topic.trouble", "topic", e.Topic, "err", e.Code.String()+" "+e.Message)
	})
	on(&h.EpochBumped, func(e sender.EpochBumped) {
		l.line(slog.LevelInfo, "epoch "+tp(e.Topic, e.Partition), "partition goes on in the next producer epoch",
			"event", "epoch.bumped", "topic", e.Topic, "partition", e.Partition, "producer", e.Identity.String(), "why", e.Why)
	})
	return h
}

func tp(topic string, partition int32) string {
	return protocol.TopicPartition{Topic: topic, Partition: partition}.String()
}

// on has first called before what the hook does already.
func on[E any](hook *func(E), first func(E)) {
	then := *hook
	*hook = func(e E) {
		first(e)
		if then != nil {
			then(e)
		}
	}
}
