package protocol

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Produce is the request's key. Versions below 3 have no record batches, those
// above 13 are not known.
const (
	ProduceKey        int16 = 0
	ProduceMinVersion int16 = 3
	ProduceMaxVersion int16 = 13
)

const (
	flexibleProduce = 9  // compact lengths and tagged fields from here on
	topicIDProduce  = 13 // topics go by id from here on
)

// ProducePartition is one batch on its way to one partition.
type ProducePartition struct {
	Topic     string  // used up to version 12
	TopicID   TopicID // used from version 13 on
	Partition int32
	Batch     []byte // header and records
}

// ProduceEncoder writes Produce requests, acks=all.
// It copies no batch, and allocates nothing once it has grown. Not safe for concurrent use.
type ProduceEncoder struct {
	ClientID string
	// TransactionalID of the next request; "": none.
	TransactionalID string
	small           []byte   // everything but the batches
	pieces          [][]byte // in the order of the wire
}

// Encode returns a request, from its length field on, as slices to be written one
// after the other, and how long they are together. They are valid until the next
// call; batches stand among them as they are. Neighbours in partitions that
// have the same topic share its entry. timeoutMillis is how long the broker
// may wait for its replicas.
func (e *ProduceEncoder) Encode(version int16, correlation, timeoutMillis int32, partitions []ProducePartition) ([][]byte, int, error) {
	if version < ProduceMinVersion || version > ProduceMaxVersion {
		return nil, 0, fmt.Errorf("version %d of Produce, known are %d to %d", version, ProduceMinVersion, ProduceMaxVersion)
	}
	if len(e.ClientID) > math.MaxInt16 {
		return nil, 0, fmt.Errorf("client.id of %d bytes, at most %d", len(e.ClientID), math.MaxInt16)
	}
	if len(e.TransactionalID) > math.MaxInt16 {
		return nil, 0, fmt.Errorf("transactional.id of %d bytes, at most %d", len(e.TransactionalID), math.MaxInt16)
	}
	need := 64 + len(e.ClientID) + len(e.TransactionalID)
	for i := range partitions {
		if len(partitions[i].Topic) > math.MaxInt16 {
			return nil, 0, fmt.Errorf("topic name of %d bytes, at most %d", len(partitions[i].Topic), math.MaxInt16)
		}
		need += 48 + len(partitions[i].Topic)
	}
	if cap(e.small) < need { // the pieces point into it: it must not move on the way
		e.small = make([]byte, 0, 2*need)
	}
	w := produceWriter{small: e.small[:0], pieces: e.pieces[:0], flexible: version >= flexibleProduce}
	w.head(version, correlation, e.ClientID)
	w.transactionalID(e.TransactionalID)
	w.body(version, timeoutMillis, partitions)
	w.cut()
	e.small, e.pieces = w.small, w.pieces
	if w.batches+len(w.small) > math.MaxInt32 {
		return nil, 0, fmt.Errorf("a Produce request of %d bytes, at most %d", w.batches+len(w.small), math.MaxInt32)
	}
	size := w.batches + len(w.small)
	binary.BigEndian.PutUint32(w.small, uint32(size-4))
	return w.pieces, size, nil
}

type produceWriter struct {
	small    []byte
	pieces   [][]byte
	start    int // of what of small is in no piece yet
	batches  int // bytes of batches so far
	flexible bool
}

// head is the length, patched later, and the request header (version 1, or 2 if flexible).
func (w *produceWriter) head(version int16, correlation int32, clientID string) {
	be := binary.BigEndian
	b := append(w.small, 0, 0, 0, 0)
	b = be.AppendUint16(b, uint16(ProduceKey))
	b = be.AppendUint16(b, uint16(version))
	b = be.AppendUint32(b, uint32(correlation))
	b = be.AppendUint16(b, uint16(len(clientID))) // never compact, not even in version 2
	w.small = append(b, clientID...)
	w.noTags()
}

func (w *produceWriter) transactionalID(id string) {
	switch {
	case id != "":
		w.topic(id) // a string as any other
	case w.flexible:
		w.small = append(w.small, 0)
	default:
		w.small = append(w.small, 0xff, 0xff)
	}
}

func (w *produceWriter) body(version int16, timeoutMillis int32, partitions []ProducePartition) {
	be := binary.BigEndian
	w.small = append(w.small, 0xff, 0xff) // acks: -1
	w.small = be.AppendUint32(w.small, uint32(timeoutMillis))
	topics := 0
	for rest := partitions; len(rest) > 0; topics++ {
		rest = rest[sameTopic(rest):]
	}
	w.count(topics)
	for len(partitions) > 0 {
		n := sameTopic(partitions)
		if version >= topicIDProduce {
			w.small = append(w.small, partitions[0].TopicID[:]...)
		} else {
			w.topic(partitions[0].Topic)
		}
		w.count(n)
		for i := range partitions[:n] {
			w.small = be.AppendUint32(w.small, uint32(partitions[i].Partition))
			w.count(len(partitions[i].Batch))
			w.batch(partitions[i].Batch)
			w.noTags()
		}
		w.noTags()
		partitions = partitions[n:]
	}
	w.noTags()
}

func (w *produceWriter) topic(name string) {
	if w.flexible {
		w.small = binary.AppendUvarint(w.small, uint64(len(name))+1)
	} else {
		w.small = binary.BigEndian.AppendUint16(w.small, uint16(len(name)))
	}
	w.small = append(w.small, name...)
}

// count writes the length of an array or of bytes.
func (w *produceWriter) count(n int) {
	if w.flexible {
		w.small = binary.AppendUvarint(w.small, uint64(n)+1)
	} else {
		w.small = binary.BigEndian.AppendUint32(w.small, uint32(n))
	}
}

func (w *produceWriter) noTags() {
	if w.flexible {
		w.small = append(w.small, 0)
	}
}

func (w *produceWriter) batch(b []byte) {
	w.cut()
	w.pieces = append(w.pieces, b)
	w.batches += len(b)
}

// cut makes a piece of what was written since the last batch.
func (w *produceWriter) cut() {
	if w.start < len(w.small) {
		w.pieces = append(w.pieces, w.small[w.start:])
		w.start = len(w.small)
	}
}

// sameTopic is how many partitions from the first on are of its topic.
func sameTopic(partitions []ProducePartition) int {
	n := 1
	for n < len(partitions) && partitions[n].Topic == partitions[0].Topic && partitions[n].TopicID == partitions[0].TopicID {
		n++
	}
	return n
}
