package spoold

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// recordRules are what a record must keep to, so that it can be delivered. Safe for concurrent use.
type recordRules struct {
	cfg       *Config
	notBefore time.Time // see checkAhead
}

// check refuses what could never be delivered.
func (u *recordRules) check(r *Record, now *clockReading) error {
	if err := checkTopic(r.Topic); err != nil {
		return err
	}
	if !r.Partition.valid() {
		return fmt.Errorf("%w: a record for topic %s asks for partition %d, allowed are 0 to %d",
			ErrInvalidRecord, r.Topic, r.Partition.Number(), MaxPartition)
	}
	if !r.Timestamp.IsZero() && r.Timestamp.UnixMilli() < 0 {
		return fmt.Errorf("%w: its timestamp %v is before 1970, which Kafka cannot keep", ErrInvalidRecord, r.Timestamp)
	}
	if err := u.checkAhead(r, now); err != nil {
		return err
	}
	size := protocol.BatchHeaderSize + spool.RecordSize(spool.BodySize(r.Key, r.Value, r.Headers), 0, 0)
	if int64(size) > u.cfg.MaxRequestSize {
		return fmt.Errorf("%w: %d bytes for topic %s, max.request.size is %d (and the topic's max.message.bytes must allow it)",
			ErrTooLarge, size, r.Topic, u.cfg.MaxRequestSize)
	}
	return nil
}

// checkAhead refuses a record whose own timestamp is too far ahead of this host's clock: the cluster would refuse it until
// then, and with it what stands behind it. A clock that cannot be right says nothing about the record.
func (u *recordRules) checkAhead(r *Record, clock *clockReading) error {
	most := u.cfg.TimestampAhead
	if most <= 0 || r.Timestamp.IsZero() {
		return nil
	}
	now := clock.get()
	ahead := r.Timestamp.Sub(now)
	if ahead <= most || now.Before(u.notBefore) {
		return nil
	}
	by := ahead.Round(time.Second).String()
	if ahead == math.MaxInt64 { // as far as a Duration goes
		by = "over 292 years"
	}
	return fmt.Errorf("%w: its timestamp %s is %s ahead of this host's clock, allowed is %v (timestamp.ahead.max.ms)",
		ErrInvalidRecord, r.Timestamp.UTC().Format(time.RFC3339), by, most)
}

// MaxPartition is the highest partition that may be asked for. A record for one that the topic
// does not have waits until it does.
const MaxPartition = 1<<17 - 1

// MaxTopicLength is how many bytes a topic's name may have.
const MaxTopicLength = 249

// CheckTopic reports whether records may be sent to a topic of this name: ErrInvalidRecord, with the rule that it
// breaks.
func CheckTopic(name string) error { return checkTopic(name) }

// checkTopic is Kafka's rule for names (Topic.validate), and keeps off its internal topics.
func checkTopic(name string) error {
	if len(name) == 0 || len(name) > MaxTopicLength || name == "." || name == ".." {
		return fmt.Errorf("%w: topic %.40q: a name is not . or .. and has 1 to %d of the characters a-z A-Z 0-9 . _ -",
			ErrInvalidRecord, name, MaxTopicLength)
	}
	for i := range len(name) {
		if !topicLetter[name[i]] {
			letter, _ := utf8.DecodeRuneInString(name[i:])
			return fmt.Errorf("%w: topic %.40q: %q is not one of a-z A-Z 0-9 . _ -", ErrInvalidRecord, name, letter)
		}
	}
	if name == "__consumer_offsets" || name == "__transaction_state" || name == "__share_group_state" {
		return fmt.Errorf("%w: topic %s is the cluster's own", ErrInvalidRecord, name)
	}
	return nil
}

var topicLetter = func() (ok [256]bool) {
	for c := range 256 {
		ok[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
	}
	return ok
}()
