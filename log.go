package spoold

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// logger writes one line per change of state, to a log that holds repetitions back (package quietlog).
// The loop's goroutine calls it.
type logger struct{ log *slog.Logger }

func (l *logger) line(level slog.Level, msg string, args ...any) {
	l.log.Log(context.Background(), level, msg, args...)
}

// hooks are the program's, each after a line in the log.
func (l *logger) hooks(h Hooks) Hooks {
	on(&h.LinkChanged, func(e LinkChanged) {
		if e.Up {
			l.line(slog.LevelInfo, "cluster reached", "event", "link.up")
			return
		}
		l.line(slog.LevelWarn, "cluster not reached, records are spooled", "event", "link.down", "err", e.Err)
	})
	on(&h.Recovery, func(e Recovery) {
		if e.Pending > 0 || e.Seals > 0 {
			l.line(slog.LevelInfo, "an earlier process left records, they are delivered first",
				"event", "recovery", "records", e.Pending, "in_doubt_batches", e.Seals, "partitions", e.Partitions)
		}
	})
	on(&h.CopyUnchecked, func(e CopyUnchecked) {
		l.line(slog.LevelWarn, "not every leader could be asked whether an older copy of this spool was used; records are sent all the same",
			"event", "copy.unchecked", "partitions", e.Unasked)
	})
	on(&h.PartitionParked, func(e PartitionParked) {
		l.line(slog.LevelError, "partition parked: run spoold resolve",
			"event", "partition.parked", "topic", e.Topic, "partition", e.Partition, "records", e.InDoubt, "reason", e.Reason, "err", e.Detail)
	})
	on(&h.PartitionUnparked, func(e PartitionUnparked) {
		l.line(slog.LevelInfo, "partition resolved",
			"event", "partition.unparked", "topic", e.Topic, "partition", e.Partition, "records", e.Records, "choice", string(e.Choice))
	})
	on(&h.RecordDeadLettered, func(e RecordDeadLettered) {
		l.line(slog.LevelError, "record put to the dead letters: it was refused for good, or has expired",
			"event", "record.dead_lettered", "topic", e.Topic, "partition", e.Partition, "index", e.Index, "err", reason(e.Code, e.Message))
	})
	on(&h.RecordsDropped, func(e RecordsDropped) {
		l.line(slog.LevelError, "records were dropped by policy, spoold ls has their places",
			"event", "records.dropped", "topic", e.Topic, "records", e.Records, "reason", e.Rule, "err", e.Why)
	})
	on(&h.TopicTrouble, func(e TopicTrouble) {
		if e.Delivered {
			l.line(slog.LevelWarn, "topic is delivered to, but a right is missing",
				"event", "topic.right_missing", "topic", e.Topic, "err", reason(e.Code, e.Message))
			return
		}
		l.line(slog.LevelWarn, "topic cannot be delivered to for now, its records are spooled",
			"event", "topic.trouble", "topic", e.Topic, "err", reason(e.Code, e.Message))
	})
	on(&h.TopicRecovered, func(e TopicRecovered) {
		if e.Delivered {
			l.line(slog.LevelInfo, "the right on a topic that was missing is there", "event", "topic.right_given", "topic", e.Topic)
			return
		}
		l.line(slog.LevelInfo, "topic can be delivered to again", "event", "topic.recovered", "topic", e.Topic)
	})
	on(&h.TopicRecreated, func(e TopicRecreated) {
		l.line(slog.LevelWarn, "topic was deleted and created anew with nothing in doubt, its records go to the new one",
			"event", "topic.recreated", "topic", e.Topic, "former_id", e.From, "id", e.To)
	})
	on(&h.EpochBumped, func(e EpochBumped) {
		l.line(slog.LevelInfo, "partition goes on in the next producer epoch",
			"event", "epoch.bumped", "topic", e.Topic, "partition", e.Partition, "producer", fmt.Sprintf("%d/%d", e.ProducerID, e.ProducerEpoch), "why", e.Why)
	})
	on(&h.SegmentDamaged, func(e SegmentDamaged) {
		l.line(slog.LevelError, "a segment of the spool is damaged and was set aside: the file is kept, spoold ls names the records that are lost",
			"event", "segment.damaged", "path", e.Path, "err", e.What, "records", e.Kept, "lost", e.Lost, "in_doubt", e.InDoubt,
			"dead_letters_lost", e.DeadLetters, "divided", e.Divided, "key_blocks_lost", e.KeyBlocks)
	})
	on(&h.InterceptorFailed, func(e InterceptorFailed) {
		l.line(slog.LevelError, "an interceptor failed and was passed by", "event", "interceptor.failed",
			"interceptor", e.Interceptor, "method", e.Method, "err", e.Err)
	})
	l.transactions(&h)
	on(&h.Panicked, func(e Panicked) {
		l.line(slog.LevelError, "a function of the program panicked", "event", "program.panic",
			"where", e.Where, "err", fmt.Sprint(e.Value), "stack", string(e.Stack))
	})
	return h
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

// reason is a code with what is said of it, which may begin with the code already.
func reason(code ErrorCode, message string) string {
	switch name := code.String(); {
	case message == "":
		return name
	case strings.Contains(message, name):
		return message
	default:
		return name + ": " + message
	}
}
