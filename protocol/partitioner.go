package protocol

import "hash/crc32"

// Partitioner says where records go that name no partition. The zero value is Kafka's own.
type Partitioner uint8

// Partitioners. What a record without a key, or with an empty one, is for each of them, is where they differ beside the hash.
const (
	ByKafka         Partitioner = iota // murmur2 of the key; without a key, the same partition until its batch is full
	Sticky                             // the same partition until its batch is full, whatever the key (partitioner.ignore.keys)
	RoundRobin                         // one partition after the other, whatever the key
	ByMurmur2                          // murmur2, no key counts as an empty one
	ByCRC32                            // CRC-32, no key counts as an empty one (librdkafka: consistent)
	ByCRC32OrSticky                    // CRC-32; sticky if the key is empty or missing (librdkafka: consistent_random)
	ByFNV1a                            // FNV-1a, no key counts as an empty one
	ByFNV1aOrSticky                    // FNV-1a; sticky without a key (librdkafka: fnv1a_random; sarama's default)
)

// Sticks reports whether the record goes where the ones before it went, until a batch is full there.
func (p Partitioner) Sticks(key []byte, hasKey bool) bool {
	switch p {
	case ByKafka, ByFNV1aOrSticky:
		return !hasKey
	case ByCRC32OrSticky:
		return len(key) == 0
	}
	return p == Sticky
}

// Choose is the partition, of n, of a record that does not stick. index is the record's place in its topic's lane: the choice is
// a function of what is durable, so that a restart puts a record where it was put before.
func (p Partitioner) Choose(key []byte, index uint64, n int32) int32 {
	switch p {
	case RoundRobin:
		return int32(index % uint64(n))
	case ByCRC32, ByCRC32OrSticky:
		return int32(crc32.ChecksumIEEE(key) % uint32(n))
	case ByFNV1a, ByFNV1aOrSticky:
		return int32(fnv1a(key) % uint32(n))
	}
	return int32(Murmur2(key)&0x7fffffff) % n
}

// fnv1a is the absolute value of the 32-bit FNV-1a hash, taken as a signed number: what sarama and librdkafka use.
func fnv1a(key []byte) uint32 {
	h := uint32(2166136261)
	for _, b := range key {
		h = (h ^ uint32(b)) * 16777619
	}
	if int32(h) < 0 {
		h = -h
	}
	return h
}
