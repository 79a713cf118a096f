package spool

import "hash/crc32"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// CRC is the CRC-32C that covers every block, section and head.
func CRC(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Sum is a checksum over a set of pairs that can be kept up to date: adding and
// removing a pair are the same operation, in any order.
//
// A state of thousands of keys cannot be read again with every commit, and bbolt
// does not check its pages. So the head holds the Sum of all pairs; one flipped
// bit in any of them, a lost one or one too many changes it.
type Sum uint64

// Toggle puts a pair in, or takes it out.
func (s *Sum) Toggle(key, value []byte) { *s ^= Sum(hashPair(key, value)) }

// hashPair mixes two CRCs so that the sum over several pairs is not linear in
// their bits: CRCs alone would cancel out.
func hashPair(key, value []byte) uint64 {
	k := CRC(key)
	h := uint64(k)<<32 | uint64(crc32.Update(k, castagnoli, value))
	h ^= uint64(len(value)) * 0x9e3779b97f4a7c15
	h ^= h >> 30
	h *= 0xbf58476d1ce4e5b9
	h ^= h >> 27
	h *= 0x94d049bb133111eb
	return h ^ h>>31
}

func update(crc uint32, b []byte) uint32 { return crc32.Update(crc, castagnoli, b) }
