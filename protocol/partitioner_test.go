package protocol

import (
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"testing"
)

// The values are those of librdkafka's and sarama's own tests.
func TestFNV1aIsThatOfOtherClients(t *testing.T) {
	for key, want := range map[string]uint32{"kafka": 0xd33c4e1, "giberish123456789": 0x77a58295, "1234": 0x23bdd03, "234": 0x2dea3cd2,
		"34": 0x740fa83e, "4": 0x310ca263, "PreAmbleWillBeRemoved,ThePrePartThatIs": 0x65cbd69c, "": 0x7ee3623b} {
		if got := fnv1a([]byte(key)); got != want {
			t.Errorf("fnv1a(%q) = %#x, want %#x", key, got, want)
		}
	}
}

func TestEachPartitionerPutsAKeyWhereItsClientDoes(t *testing.T) {
	for i := range 1000 {
		key := fmt.Appendf(nil, "key-%d", i*i)
		for _, n := range []int32{1, 3, 7, 100} {
			h := fnv.New32a()
			_, _ = h.Write(key)
			sarama := int32(h.Sum32()) % n // as its HashPartitioner has it
			if sarama < 0 {
				sarama = -sarama
			}
			for p, want := range map[Partitioner]int32{
				ByKafka: int32(Murmur2(key)&0x7fffffff) % n, ByMurmur2: int32(Murmur2(key)&0x7fffffff) % n,
				ByCRC32: int32(crc32.ChecksumIEEE(key) % uint32(n)), ByCRC32OrSticky: int32(crc32.ChecksumIEEE(key) % uint32(n)),
				ByFNV1a: sarama, ByFNV1aOrSticky: sarama, RoundRobin: int32(i) % n,
			} {
				if got := p.Choose(key, uint64(i), n); got != want {
					t.Errorf("partitioner %d puts %q of %d at %d, want %d", p, key, n, got, want)
				}
			}
		}
	}
	if p := RoundRobin.Choose(nil, 1<<64-1, 10); p != 5 {
		t.Errorf("the last index is at %d, want 5", p)
	}
}

func TestWhichRecordsStick(t *testing.T) {
	for p, want := range map[Partitioner][3]bool{ // no key, an empty one, a key
		ByKafka: {true, false, false}, Sticky: {true, true, true}, RoundRobin: {}, ByMurmur2: {}, ByCRC32: {},
		ByCRC32OrSticky: {true, true, false}, ByFNV1a: {}, ByFNV1aOrSticky: {true, false, false},
	} {
		if got := [3]bool{p.Sticks(nil, false), p.Sticks([]byte{}, true), p.Sticks([]byte("k"), true)}; got != want {
			t.Errorf("partitioner %d: %v, want %v", p, got, want)
		}
	}
}
