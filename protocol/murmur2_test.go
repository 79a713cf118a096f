package protocol

import "testing"

// The vectors of Kafka's own UtilsTest.testMurmur2.
func TestMurmur2GivesKafkasHashes(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(Murmur2([]byte(key))); got != want {
			t.Errorf("Murmur2(%q) = %d, want %d", key, got, want)
		}
	}
}

func TestMurmur2AllocatesNothing(t *testing.T) {
	key := []byte("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8")
	if n := testing.AllocsPerRun(100, func() { Murmur2(key) }); n != 0 {
		t.Errorf("Murmur2 makes %v allocations, want none", n)
	}
}
