package differ

import (
	"fmt"
	"strings"
)

// Op is what a step does.
type Op uint8

// What a step can do. The first ones are requests.
const (
	Produce Op = iota
	Fetch
	ListOffsets
	DeleteRecords
	InitProducerID
	requests // how many are requests

	SetMaxBytes // of a topic
	Grow        // a topic by a partition
	Recreate    // a topic
	StopBroker  // in order, and start it again
	KillBroker  // and start it again
)

var opNames = map[Op]string{
	Produce: "Produce", Fetch: "Fetch", ListOffsets: "ListOffsets", DeleteRecords: "DeleteRecords", InitProducerID: "InitProducerId",
	SetMaxBytes: "max.message.bytes", Grow: "one partition more", Recreate: "delete and create", StopBroker: "SIGTERM and start", KillBroker: "kill -9 and start",
}

// Step is one thing to be done: concrete, so that it means the same when others before it are left out.
type Step struct {
	Op        Op
	Version   int16
	Topic     int // index into topics
	Partition int32
	Offset    int64 // Fetch, DeleteRecords
	Epoch     int32 // Fetch: the leader epoch believed in
	N         int32 // ListOffsets: the timestamp; SetMaxBytes: bytes; Fetch: most bytes
	Acks      int16
	Parts     []Part
	PID       int64 // InitProducerId
	PEpoch    int16
}

// Part is one partition's records in a Produce.
type Part struct {
	Topic     int
	Partition int32
	Life      int // for requests by id: which incarnation of the topic; -1: an id that never was
	Batch     Batch
}

// Batch is what is to be written as a batch.
type Batch struct {
	PID   int64 // -1: none
	Epoch int16
	Base  int32
	Count int
	Age   Age // of the records
	Mixed bool
	Null  bool // the first key is null
	Large bool
	Heads bool // with headers
	Lie   Lie
}

// Age says how a record's timestamp stands to now.
type Age uint8

// Ages, far from every limit of the topics.
const (
	Now     Age = iota
	None        // -1
	Old         // two days
	Ahead       // 50 minutes
	TooFar      // two hours ahead
	ages    = 5
	minute  = 60_000
	dayInMs = 24 * 60 * minute
)

func (a Age) at(now int64) int64 {
	return [...]int64{Now: now, None: -1, Old: now - 2*dayInMs, Ahead: now + 50*minute, TooFar: now + 120*minute}[a]
}

// Lie is what is wrong with a batch.
type Lie uint8

// Lies.
const (
	Truth Lie = iota
	BadSum
	MoreCount    // than records, in count and offset delta
	LessCount    // one record less is said to be there
	BadDelta     // one offset more
	Control      // a control batch
	InTxn        // transactional, in a request that is not
	AppendStamp  // says that the broker gave the timestamps
	Offset5      // begins at offset 5
	Cut          // the last record lacks its end
	Junk         // bytes behind the last record, inside of the batch
	Two          // another batch behind it
	HalfMore     // the beginning of another one behind it
	Empty        // no records, count 0
	Nothing      // not even a batch
	Short        // the batch says it is longer than it is
	OldMagic     // magic 1
	BadMagic     // magic 9
	TinyLength   // a length that cannot be
	BadHeaderKey // a header without key
	lies
)

func (s *Step) String() string {
	name := opNames[s.Op]
	switch s.Op {
	case Produce:
		var parts []string
		for _, p := range s.Parts {
			b := &p.Batch
			parts = append(parts, fmt.Sprintf("%s-%d life %d: pid %d e%d s%d+%d age %d mixed %v null %v large %v headers %v lie %d",
				topics[p.Topic].name, p.Partition, p.Life, b.PID, b.Epoch, b.Base, b.Count, b.Age, b.Mixed, b.Null, b.Large, b.Heads, b.Lie))
		}
		return fmt.Sprintf("%s v%d acks %d: %s", name, s.Version, s.Acks, strings.Join(parts, "; "))
	case Fetch:
		return fmt.Sprintf("%s v%d %s-%d from %d, epoch %d, at most %d bytes", name, s.Version, topics[s.Topic].name, s.Partition, s.Offset, s.Epoch, s.N)
	case ListOffsets:
		return fmt.Sprintf("%s v%d %s-%d at %d", name, s.Version, topics[s.Topic].name, s.Partition, s.N)
	case DeleteRecords:
		return fmt.Sprintf("%s %s-%d below %d", name, topics[s.Topic].name, s.Partition, s.Offset)
	case InitProducerID:
		return fmt.Sprintf("%s v%d given (%d, %d)", name, s.Version, s.PID, s.PEpoch)
	case SetMaxBytes:
		return fmt.Sprintf("%s of %s: %d", name, topics[s.Topic].name, s.N)
	case Grow, Recreate:
		return fmt.Sprintf("%s: %s", name, topics[s.Topic].name)
	}
	return name
}
