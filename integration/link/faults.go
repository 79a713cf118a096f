package link

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"time"
)

// Options say what link to open.
type Options struct {
	Name   string // in the log, and part of the seed
	Target string // host and port of the broker
	Seed   uint64
	Mix    Mix
	// Log is given every decision but Pass. It is called from many goroutines, must not block for
	// long, and must not call the link.
	Log func(Decision)
}

// faults is what a link of NewKafka breaks, and what it keeps for later. The link's lock guards it.
type faults struct {
	name    string
	seed    uint64
	mix     Mix
	log     func(Decision)
	numbers int // of connections since Begin
	counts  Counts
	ended   []captured // of connections that are gone, for ReplayAll
	bytes   int        // in ended
	waiting int        // zombies on their way
	answers map[string]int
	aim     aim
}

// aim is what the next request of one API meets.
type aim struct {
	key   int16
	fault Fault
	then  func() // nil: nothing is aimed at
}

// Aim has the next request of an API meet a fault, whatever the mix says. then is called, in a goroutine of its own,
// when the request has come, before it is passed on. With Zombie its answer is dropped, and it is sent again, of whichever API it
// is, after its connection has ended and the mix's After is over. Another Aim replaces one that was not met yet.
func (l *Link) Aim(key int16, fault Fault, then func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults.aim = aim{key, fault, then}
}

// captured is a Produce request as the client wrote it.
type captured struct {
	f           frame
	conn, frame int
}

// What is kept for ReplayAll: the last.
const (
	maxEnded      = 400
	maxEndedBytes = 32 << 20
)

// Begin begins a new run: counts and numbers start again, nothing of the run before is replayed.
// Connections that are open are reset.
func (l *Link) Begin(seed uint64, mix Mix, log func(Decision)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults.seed, l.faults.mix, l.faults.log = seed, mix, log
	l.faults.numbers, l.faults.counts, l.faults.ended, l.faults.bytes = 0, Counts{}, nil, 0
	l.faults.answers = make(map[string]int)
	l.cutLocked()
}

// SetMix changes how often what happens, for requests from now on.
func (l *Link) SetMix(m Mix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.faults.mix = m
}

// Counts is how often what happened since Begin.
func (l *Link) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.faults.counts
}

// ZombieAnswers is what zombies were answered since Begin: Kafka's error codes, how often.
func (l *Link) ZombieAnswers() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.faults.answers)
}

// bury keeps a closed connection's requests. Some of them will walk.
func (l *Link) bury(c *frames) {
	f := l.faults
	if c.seed != f.seed || l.ctx.Err() != nil {
		return // of a run before
	}
	for _, z := range c.kept {
		f.ended = append(f.ended, z)
		f.bytes += len(z.f)
		for len(f.ended) > maxEnded || f.bytes > maxEndedBytes {
			f.bytes -= len(f.ended[0].f)
			f.ended = f.ended[1:]
		}
	}
	for _, z := range c.walking {
		after := time.Duration(c.rand.Int64N(int64(max(f.mix.After, time.Millisecond))))
		f.waiting++
		l.wg.Go(func() {
			l.walk(z, after)
			l.mu.Lock()
			f.waiting--
			l.mu.Unlock()
		})
	}
}

// decide draws a request's fate. It draws the same number of times for each request.
func (l *Link) decide(r *rand.Rand, f frame) (fault Fault, amount float64, walks bool, m Mix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	mix := l.faults.mix
	u, amount, z := r.Float64(), r.Float64(), r.Float64()
	for k := Pass + 1; k < Zombie; k++ {
		if u -= mix.Chance[k]; u < 0 {
			fault = k
			break
		}
	}
	if a := l.faults.aim; a.then != nil && f.apiKey() == a.key {
		l.faults.aim = aim{}
		fault, amount = a.fault, 1
		if fault == Zombie {
			fault, walks = DropAnswer, true
		}
		go a.then()
	}
	l.faults.counts[fault]++
	walks = walks || f.apiKey() == produceKey && z < mix.Chance[Zombie]
	return fault, amount, walks, mix
}

func (l *Link) tell(d Decision) {
	d.At, d.Link = time.Now(), l.faults.name
	l.mu.Lock()
	log := l.faults.log
	l.mu.Unlock()
	if log != nil {
		log(d)
	}
}

func stream(name string, conn int) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s/%d", name, conn) // a hash takes everything
	return h.Sum64()
}
