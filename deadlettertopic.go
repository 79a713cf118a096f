package spoold

import (
	"context"
	"strconv"
	"time"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// deadTopic sends dead letters to dlq.topic. Each is appended to that topic in the same commit in which it stops being a dead
// letter, so it arrives there once, whatever happens in between.
type deadTopic struct {
	topic string
	due   chan struct{} // one token: dead letters were made
	ended chan struct{} // closed when nothing is sent any more
}

// deadTopicRetry is the pause after a failure, such as a spool without room.
const deadTopicRetry = 5 * time.Second

func newDeadTopic(topic string) *deadTopic {
	if topic == "" {
		return nil
	}
	return &deadTopic{topic: topic, due: make(chan struct{}, 1), ended: make(chan struct{})}
}

// poke says that there are dead letters. It does not block.
func (d *deadTopic) poke() {
	if d == nil {
		return
	}
	select {
	case d.due <- struct{}{}:
	default: // it is said already
	}
}

// observe is what the spool's committer calls after each commit.
func (d *deadTopic) observe(p *Producer) func(bolt.CommitStats) {
	return func(s bolt.CommitStats) {
		if s.Dead > 0 {
			d.poke()
		}
		if s.Dropped > 0 {
			p.env.Logger.Error("the oldest dead letters are lost: dlq.full is drop-oldest, and they take all of dlq.max.bytes, or of a full spool", "event", "dlq.dropped", "records", s.Dropped)
		}
		p.env.Hooks.committed(s)
	}
}

// wait waits until nothing is sent any more.
func (d *deadTopic) wait() {
	if d != nil {
		<-d.ended
	}
}

// run sends dead letters until the Producer is closed: those that a start finds, and those that come.
func (d *deadTopic) run(p *Producer) {
	defer close(d.ended)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-p.life.quit:
		case <-p.life.done:
		case <-ctx.Done():
		}
		cancel()
	}()
	f := bolt.DeadFilter{NotTopic: d.topic}
	how := bolt.Replay{MayDuplicate: true, Topic: d.topic, Headers: connectHeaders}
	d.poke()
	said := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.due:
		}
		store := p.engines.now.Load().store
		list := store.DeadLetters(f, -1)
		if len(list) == 0 {
			continue
		}
		n, left, err := store.ReplayDead(ctx, f, how)
		if n > 0 || left > 0 {
			p.env.Logger.Info("dead letters are sent to their topic", "event", "dlq.topic", "topic", d.topic, "records", n, "too_large", left)
		}
		if err == nil {
			f.After, said = list[len(list)-1].Serial, "" // what is left is too large for the spool with its headers
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if text := err.Error(); text != said {
			said = text
			p.env.Logger.Warn("dead letters cannot be sent to their topic now", "event", "dlq.topic", "topic", d.topic, "err", err)
		}
		t := time.NewTimer(deadTopicRetry)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		d.poke()
	}
}

// connectHeaders are the headers of a record in a dead-letter topic, with Kafka Connect's names. The offset is the record's place
// among those of its topic in the spool: it never had one in the cluster.
func connectHeaders(l *bolt.DeadLetter) []spool.Header {
	const prefix = "__connect.errors."
	message := l.Code.String()
	if l.Message != "" {
		message += ": " + l.Message
	}
	headers := []spool.Header{
		{Key: prefix + "topic", Value: []byte(l.Topic)},
		{Key: prefix + "partition", Value: strconv.AppendInt(nil, int64(l.Partition), 10)},
		{Key: prefix + "offset", Value: strconv.AppendUint(nil, uint64(l.Index), 10)},
		{Key: prefix + "stage", Value: []byte("KAFKA_PRODUCE")},
		{Key: prefix + "class.name", Value: []byte(modulePath)},
		{Key: prefix + "exception.class.name", Value: []byte("org.apache.kafka.common.errors." + exceptionName(l.Code))},
		{Key: prefix + "exception.message", Value: []byte(message)},
		{Key: "spoold.dead.letter", Value: strconv.AppendUint(nil, l.Serial, 10)},
		{Key: "spoold.attempts", Value: strconv.AppendInt(nil, int64(l.Attempts), 10)},
	}
	if l.InDoubt {
		headers = append(headers, spool.Header{Key: "spoold.in.doubt", Value: []byte("true")})
	}
	return headers
}

// exceptions are the Java classes of the errors that make dead letters, as Kafka's own client throws them.
var exceptions = map[protocol.ErrorCode]string{
	protocol.UnknownServerError:         "UnknownServerException",
	protocol.CorruptMessage:             "CorruptRecordException",
	protocol.UnknownTopicOrPartition:    "UnknownTopicOrPartitionException",
	protocol.RequestTimedOut:            "TimeoutException",
	protocol.MessageTooLarge:            "RecordTooLargeException",
	protocol.InvalidTopicException:      "InvalidTopicException",
	protocol.RecordListTooLarge:         "RecordBatchTooLargeException",
	protocol.TopicAuthorizationFailed:   "TopicAuthorizationException",
	protocol.InvalidTimestamp:           "InvalidTimestampException",
	protocol.UnsupportedVersion:         "UnsupportedVersionException",
	protocol.InvalidRequest:             "InvalidRequestException",
	protocol.PolicyViolation:            "PolicyViolationException",
	protocol.UnsupportedCompressionType: "UnsupportedCompressionTypeException",
	protocol.InvalidRecord:              "InvalidRecordException",
}

func exceptionName(code protocol.ErrorCode) string {
	if name, ok := exceptions[code]; ok {
		return name
	}
	return "ApiException"
}
