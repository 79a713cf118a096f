package disk

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestATornFileHoldsWhatWasThereBeforeOrAfterAndIsNotDurable(t *testing.T) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), 1))
	came := map[string]int{}
	for range 2000 {
		before := make([]byte, page*(3+rng.IntN(5)))
		fill(rng, before)
		after := append(bytes.Clone(before), make([]byte, page*rng.IntN(3))...)
		meta := page * rng.IntN(2)
		fill(rng, after[meta:meta+80])
		for range rng.IntN(5) {
			at := page * (2 + rng.IntN(len(after)/page-2))
			fill(rng, after[at:at+page])
		}
		synced := int64(page * (2 + rng.IntN(len(before)/page-1)))
		power := rng.IntN(2) == 0
		out, how := torn(rng, before, after, synced, power)
		came[how]++
		for i := range out {
			if was := part(before, i, i+1)[0]; out[i] != was && out[i] != after[i] {
				t.Fatalf("%s: byte %d is neither what it was nor what was written", how, i)
			}
		}
		if bytes.Equal(out[meta:meta+80], after[meta:meta+80]) {
			t.Fatalf("%s: the meta page is whole", how)
		}
		if len(out) < int(synced) || !power && len(out) != len(after) {
			t.Fatalf("%s: %d bytes; before %d, %d of them synced, after %d", how, len(out), len(before), synced, len(after))
		}
	}
	if len(came) != 3 {
		t.Errorf("came to pass: %v", came)
	}
}

func fill(rng *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}
