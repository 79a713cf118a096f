package spool

// keyEntry is a key in a KeyIndex. There are hundreds of thousands: each byte counts.
type keyEntry struct {
	digest KeyDigest
	body   uint64
	age    int64
	block  *KeyBlock
	first  Index // of the first run, if count is not 0; a batch for several topics has more
	lane   LaneID
	count  int32
}

// keyChunk is how many keys are kept in one piece of memory.
const keyChunk = 256

// keyQueue is keys by age. Each has a place, which it keeps; places are given without gaps.
type keyQueue struct {
	chunks []*[keyChunk]keyEntry
	first  uint64 // place of the oldest
	end    uint64 // one above that of the youngest
}

func (q *keyQueue) len() int { return int(q.end - q.first) }

// at is the key at a place, from first to end.
func (q *keyQueue) at(place uint64) *keyEntry {
	return &q.chunks[place/keyChunk-q.first/keyChunk][place%keyChunk]
}

// push gives a new youngest its place.
func (q *keyQueue) push(e keyEntry) (place uint64) {
	if q.end%keyChunk == 0 || len(q.chunks) == 0 {
		q.chunks = append(q.chunks, new([keyChunk]keyEntry))
	}
	q.end++
	*q.at(q.end - 1) = e
	return q.end - 1
}

// pop takes the oldest.
func (q *keyQueue) pop() keyEntry {
	e := *q.at(q.first)
	*q.at(q.first) = keyEntry{} // so that nothing keeps its block
	q.first++
	if q.first%keyChunk == 0 {
		n := copy(q.chunks, q.chunks[1:])
		q.chunks[n] = nil
		q.chunks = q.chunks[:n]
	}
	return e
}
