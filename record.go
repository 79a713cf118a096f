package spoold

import (
	"time"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Header is a record header. A nil Value is Kafka's null.
type Header = spool.Header

// Record is what is sent. The zero value of every field but Topic is safe:
// no key (null), a null value (a tombstone), partition and timestamp chosen by spoold.
type Record struct {
	Topic string
	// Partition: the zero value lets spoold choose (hash of the key, else sticky).
	Partition Partition
	// Key and Value: nil is null, which is not the same as empty. They are
	// copied before Send returns.
	Key, Value []byte
	Headers    []Header
	// Timestamp: zero is the time of Send. Kafka keeps milliseconds.
	Timestamp time.Time
}

// Partition is a choice of partition. The zero value is no choice.
type Partition struct {
	n     int32
	asked bool // false: no choice, and n is 0
}

// ToPartition asks for partition n, from 0 to MaxPartition: a record with any other, also a negative one, is refused with ErrInvalidRecord.
func ToPartition(n int32) Partition { return Partition{n, true} }

// Number is the partition asked for, or -1 where none is.
func (p Partition) Number() int32 {
	if !p.asked {
		return protocol.NoPartition
	}
	return p.n
}

// valid reports whether there can be such a partition, or none is asked for.
func (p Partition) valid() bool { return p.n >= 0 && p.n <= MaxPartition }

// Note is a caller's fact that is committed with its records: few and long-lived,
// such as how far a file was read. A later note of the same name replaces it.
type Note struct {
	Name  string // 1 to 255 bytes
	Value []byte // up to 4 KiB; nil deletes the note
}

// Batch is sent in one spool commit or not at all.
type Batch struct {
	Records []Record
	Notes   []Note
	// Key makes the batch idempotent: the same Key with the same Records, inside
	// the window (idempotency.window), is the same batch, whatever happened to the first
	// answer. "" : no key. With other records it is ErrKeyReused.
	Key string
}

// Ack is where a record is on the cluster.
type Ack struct {
	Partition int32
	Offset    int64     // -1: it is there, but its place is not known
	Timestamp time.Time // the record's, or the broker's on a LogAppendTime topic; zero: not known
}
