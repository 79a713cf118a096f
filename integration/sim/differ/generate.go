package differ

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
)

// Mix says how often something other than a request is done, in a million steps.
type Mix struct {
	Restarts int // of a broker: half of them with SIGTERM, half with SIGKILL
	Recreate int
	Grow     int
	MaxBytes int
}

// generator draws steps. It looks at the answers to know what a producer would send next; it gets the model's, so
// that a seed is one sequence whatever the real brokers say.
type generator struct {
	rng    *rand.Rand
	mix    Mix
	older  bool // Kafka 3.9: no Produce by topic id
	pids   []int64
	newPID int64
	parts  []int // how many partitions each topic has
	lives  []int // how many incarnations
	sent   map[stream][]Batch
	ends   map[place]int64
	probes []Step // to be done next
}

// place is a partition.
type place struct {
	topic     int
	partition int32
}

// stream is a producer's batches on a partition.
type stream struct {
	place
	pid int64
}

const (
	producers = 4
	firstPID  = 7_000_000 // never given out by anybody, which brokers do not mind
	rememberN = 7         // batches of a stream, to be sent again
)

func newGenerator(seed uint64, mix Mix, older bool) *generator {
	g := &generator{rng: rand.New(rand.NewPCG(seed, 0xd1ff)), mix: mix, older: older, newPID: firstPID, sent: map[stream][]Batch{}, ends: map[place]int64{}}
	for range producers {
		g.pids = append(g.pids, g.freshPID())
	}
	for _, k := range topics {
		g.parts = append(g.parts, k.partitions)
		g.lives = append(g.lives, 1)
	}
	return g
}

func (g *generator) freshPID() int64 { g.newPID++; return g.newPID }

func (g *generator) chance(percent float64) bool { return g.rng.Float64()*100 < percent }

// pick is one of list.
func pick[T any](g *generator, list ...T) T { return list[g.rng.IntN(len(list))] }

// version is one of a request's: the last one depends on the broker's.
func (g *generator) version(first, older, newest int16) int16 {
	if g.older {
		newest = older
	}
	return first + int16(g.rng.IntN(int(newest-first)+1))
}

func (g *generator) place() place {
	// The first topic is what most do.
	topic := max(0, g.rng.IntN(len(topics)+3)-3)
	return place{topic, g.rng.Int32N(int32(g.parts[topic]))}
}

// next is the next step.
func (g *generator) next() Step {
	if n := len(g.probes); n > 0 {
		s := g.probes[0]
		g.probes = g.probes[1:]
		return s
	}
	switch n := g.rng.IntN(1_000_000); {
	case n < g.mix.Restarts/2:
		return Step{Op: StopBroker}
	case n < g.mix.Restarts:
		return Step{Op: KillBroker}
	case n < g.mix.Restarts+g.mix.Recreate:
		return Step{Op: Recreate, Topic: g.rng.IntN(len(topics))}
	case n < g.mix.Restarts+g.mix.Recreate+g.mix.Grow:
		return Step{Op: Grow, Topic: g.rng.IntN(len(topics))}
	case n < g.mix.Restarts+g.mix.Recreate+g.mix.Grow+g.mix.MaxBytes:
		return Step{Op: SetMaxBytes, Topic: 3, N: pick(g, smallBytes, 4000, sizeOf(1), sizeOf(2), sizeOf(2)-1)}
	}
	switch n := g.rng.IntN(100); {
	case n < 78:
		return g.produce()
	case n < 88:
		return g.fetch()
	case n < 93:
		p := g.place()
		return Step{Op: ListOffsets, Version: g.version(1, 9, 10), Topic: p.topic, Partition: g.stray(p), N: pick[int32](g, -1, -2)}
	case n < 96:
		p := g.place()
		end := g.ends[p]
		return Step{Op: DeleteRecords, Topic: p.topic, Partition: g.stray(p), Offset: pick(g, -1, -2, 0, end/2, end-1, end, end+1)}
	}
	return Step{Op: InitProducerID, Version: int16(g.rng.IntN(6)), PID: pick[int64](g, -1, -1, firstPID), PEpoch: pick[int16](g, -1, -1, 0, 5)}
}

// sizeOf is how long a batch of n records often is: limits are to be met exactly.
func sizeOf(n int) int32 { return int32(len((&Batch{Count: n}).bytes(0))) }

// stray is a partition, once in a while one that is not there.
func (g *generator) stray(p place) int32 {
	if g.chance(3) {
		return int32(g.parts[p.topic])
	}
	return p.partition
}

func (g *generator) fetch() Step {
	p := g.place()
	end := g.ends[p]
	return Step{Op: Fetch, Version: pick[int16](g, 4, 7, 9, 10, 11, 12), Topic: p.topic, Partition: g.stray(p),
		Offset: pick(g, 0, end/3, end/2, end-1, end, end, end+1), Epoch: pick[int32](g, -1, -1, -1, 0, 99), N: pick[int32](g, 1, 100, 500, 1<<20)}
}

func (g *generator) produce() Step {
	if g.chance(1) { // so that no producer stays at its last epoch for ever
		g.pids[g.rng.IntN(len(g.pids))] = g.freshPID()
	}
	s := Step{Op: Produce, Version: g.version(3, 11, 13), Acks: -1}
	if g.chance(15) {
		s.Acks = 1
	} else if g.chance(1) {
		s.Acks = 2
	}
	used := map[place]bool{}
	for range 1 + g.rng.IntN(4)/3*g.rng.IntN(3) {
		p := g.place()
		if used[p] {
			continue
		}
		used[p] = true
		part := Part{Topic: p.topic, Partition: g.stray(p), Life: g.lives[p.topic] - 1, Batch: g.batch(p)}
		if g.chance(4) {
			part.Life = g.rng.IntN(part.Life+2) - 1
		}
		s.Parts = append(s.Parts, part)
	}
	return s
}

// batch is one for a partition: often what its producer would send next.
func (g *generator) batch(p place) Batch {
	b := Batch{PID: pick(g, g.pids...), Count: 1 + g.rng.IntN(4), Heads: g.chance(20), Null: g.chance(10), Large: g.chance(4), Mixed: g.chance(3)}
	if g.chance(3) {
		b.PID = pick[int64](g, -1, -1, -1, -2)
		b.Epoch, b.Base = pick[int16](g, -1, 0), pick[int32](g, -1, 0)
	} else {
		g.sequence(p, &b)
	}
	switch {
	case g.chance(3):
		b.Age = Age(g.rng.IntN(ages))
	case g.chance(3):
		b.Age = Old
	}
	if g.chance(7) {
		b.Lie = 1 + Lie(g.rng.IntN(int(lies)-1))
	}
	return b
}

// sequence chooses epoch and sequences.
func (g *generator) sequence(p place, b *Batch) {
	list := g.sent[stream{p, b.PID}]
	if len(list) == 0 {
		b.Epoch = pick[int16](g, 0, 0, 0, 0, 0, 1, 7)
		b.Base = pick[int32](g, 0, 0, 0, 0, 0, 3, 1<<31-10, 1<<31-5, 1<<31-2, 1<<31-1)
		if g.chance(5) {
			b.Count = 20 // over the wrap
		}
		return
	}
	last := list[len(list)-1]
	b.Epoch, b.Base = last.Epoch, after(last.Base, last.Count)
	switch n := g.rng.IntN(100); {
	case n < 45: // the next one
	case n < 70: // one of those before
		old := pick(g, list...)
		b.Epoch, b.Base, b.Count = old.Epoch, old.Base, old.Count
	case n < 75: // one of those before, but not quite
		old := pick(g, list...)
		b.Epoch, b.Base, b.Count = old.Epoch, old.Base+pick[int32](g, 0, 0, 1), old.Count+pick(g, 0, 1)
	case n < 80: // a gap
		b.Base = after(last.Base, last.Count+1+g.rng.IntN(3))
	case n < 83:
		b.Base = 0
	case n < 84:
		b.Base = -1
	case n < 85:
		b.Base = pick[int32](g, 1<<31-1, 1<<31-3)
	case n < 91:
		b.Epoch++
		b.Base = pick[int32](g, 0, 0, 0, b.Base, 1)
	case n < 92:
		b.Epoch = pick[int16](g, 32767, b.Epoch+5)
		b.Base = 0
	case n < 95:
		b.Epoch--
	case n < 96:
		b.Epoch = pick[int16](g, -1, -2)
	}
}

// after is the sequence n after one.
func after(base int32, n int) int32 { return int32((int64(base) + int64(n)) & (1<<31 - 1)) }

// saw learns from an answer to a part of a Produce.
func (g *generator) saw(s *Step, part int, code int16) {
	p := &s.Parts[part]
	if code != 0 || p.Batch.PID < 0 {
		return
	}
	at := place{p.Topic, p.Partition}
	key := stream{at, p.Batch.PID}
	list := g.sent[key]
	for _, b := range list {
		if b.Epoch == p.Batch.Epoch && b.Base == p.Batch.Base && b.Count == p.Batch.Count {
			return
		}
	}
	if list = append(list, p.Batch); len(list) > rememberN {
		list = list[1:]
	}
	g.sent[key] = list
}

// did learns what has become of a topic. Producers do not forget what they sent to a former incarnation.
func (g *generator) did(s *Step) {
	switch s.Op {
	case Grow:
		g.parts[s.Topic]++
	case Recreate:
		g.parts[s.Topic] = topics[s.Topic].partitions
		g.lives[s.Topic]++
	case StopBroker, KillBroker:
		g.probe()
	}
}

// probe has the last batches of some producers sent again, the last one first: so one sees what a broker remembers.
func (g *generator) probe() {
	const streams = 8
	all := slices.SortedFunc(maps.Keys(g.sent), func(a, b stream) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition), cmp.Compare(a.pid, b.pid))
	})
	g.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for _, key := range all[:min(streams, len(all))] {
		for _, b := range slices.Backward(g.sent[key]) {
			b.Lie, b.Null, b.Large, b.Mixed, b.Age = Truth, false, false, false, Now
			part := Part{Topic: key.topic, Partition: key.partition, Life: g.lives[key.topic] - 1, Batch: b}
			g.probes = append(g.probes, Step{Op: Produce, Version: 9, Acks: -1, Parts: []Part{part}})
		}
	}
}
