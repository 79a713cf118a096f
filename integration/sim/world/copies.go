package world

import "math/rand/v2"

// streamCopies is Draw's own, as streamReal is.
const streamCopies = 0xc0b1

// copies makes one seed in eight about a disk that is put back while some leaders are slow to say that they know the
// original. It takes several partitions on several brokers and records without keys, which the copy sends elsewhere than
// the original did: all that chance brings together too seldom.
func (d *drawing) copies() {
	rng := rand.New(rand.NewPCG(d.p.Seed, streamCopies))
	if rng.IntN(8) > 0 || d.nights || d.p.Brokers == 1 {
		return
	}
	d.copied = rng
	for i := range d.p.Topics {
		t := &d.p.Topics[i]
		t.Partitions = max(t.Partitions, 2+rng.IntN(3))
	}
}

// slowLeaders has the disk put back while clients are busy yet, and some brokers paused when the copy starts.
func (d *drawing) slowLeaders(restore *Fault) {
	if d.copied == nil {
		return
	}
	restore.At, restore.D = 150+d.copied.Int64N(d.p.Chaos/3), 20+d.copied.Int64N(120)
	at, awake := restore.At-1-d.copied.Int64N(10), d.copied.Int32N(d.p.Brokers)
	for b := range d.p.Brokers {
		if b != awake && d.copied.IntN(4) > 0 {
			d.p.Faults = append(d.p.Faults, Fault{At: at, Kind: PauseBroker, A: b, D: 50 + d.copied.Int64N(300)})
		}
	}
}
