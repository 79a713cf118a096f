package protocol

import (
	"encoding/base64"
	"fmt"
)

// Offset is a place in a broker's log of one topic-partition.
type Offset int64

// NoOffset means that the offset is not known (Kafka's INVALID_OFFSET).
const NoOffset Offset = -1

// Sequence is a place in one producer's stream to one topic-partition. It
// wraps: 0 follows 2147483647 (DefaultRecordBatch.incrementSequence).
type Sequence int32

// NoSequence stands for "nothing yet", as in DescribeProducers.
const NoSequence Sequence = -1

// Next is the sequence n records after s. n must not be negative.
func (s Sequence) Next(n int) Sequence {
	return Sequence((int64(s) + int64(n)) & (1<<31 - 1))
}

// Last is the sequence of the last record of a batch of n records that begins
// at s. n must be at least 1.
func (s Sequence) Last(n int) Sequence { return s.Next(n - 1) }

// Distance is how many steps forward from s reach to, in 0..2147483647.
func (s Sequence) Distance(to Sequence) int {
	return int((int64(to) - int64(s)) & (1<<31 - 1))
}

// ProducerID is the number the cluster gave a producer.
type ProducerID int64

// NoProducerID means "none".
const NoProducerID ProducerID = -1

// ProducerEpoch is the reign of a producer id. It ends at 32767 and never wraps.
type ProducerEpoch int16

// MaxProducerEpoch is the last epoch that a batch may carry.
const MaxProducerEpoch ProducerEpoch = 32767

// ProducerIdentity is how a broker identifies a producer.
type ProducerIdentity struct {
	ID    ProducerID
	Epoch ProducerEpoch
}

// NoIdentity is the identity of nobody.
var NoIdentity = ProducerIdentity{ID: NoProducerID}

// Valid reports whether id may stand in a batch. An epoch of -1 with a
// producer id would be taken by a broker: it is not valid.
func (id ProducerIdentity) Valid() bool { return id.ID >= 0 && id.Epoch >= 0 }

func (id ProducerIdentity) String() string { return fmt.Sprintf("%d/%d", id.ID, id.Epoch) }

// TopicID is the cluster's name for one incarnation of a topic (KIP-516).
type TopicID [16]byte

// IsZero reports whether the id is unknown.
func (id TopicID) IsZero() bool { return id == TopicID{} }

// String is Kafka's form: 22 characters of base64url.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// TopicPartition names a partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

func (tp TopicPartition) String() string { return fmt.Sprintf("%s-%d", tp.Topic, tp.Partition) }

// NoPartition means that the partitioner is to choose.
const NoPartition int32 = -1

// Codec is a batch's compression, with the number that it has in a batch's attributes.
type Codec int8

// The codecs of Kafka.
const (
	CodecNone Codec = iota
	CodecGzip
	CodecSnappy
	CodecLZ4
	CodecZstd
)
