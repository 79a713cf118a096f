package chaos

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/spoold/spoold/integration/link"
)

// Options say what proxy to open.
type Options struct {
	Name   string // in the log, and part of the seed
	Target string // host and port of the broker
	Seed   uint64
	Mix    Mix
	// Log is told every decision but Pass. It is called from many goroutines, must not block for
	// long, and must not call the proxy.
	Log func(Decision)
}

// Proxy is one proxy. Its methods are safe for concurrent use.
type Proxy struct {
	opts     Options
	listener net.Listener
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	wg       sync.WaitGroup // connections and zombies

	mu      sync.Mutex
	seed    uint64
	mix     Mix
	log     func(Decision)
	numbers int // of connections since Begin
	counts  Counts
	conns   map[*pair]struct{}
	buried  []captured // of connections that are gone, for ReplayAll
	bytes   int        // in buried
	waiting int        // zombies on their way
	answers map[string]int
}

// captured is a Produce request as the client wrote it.
type captured struct {
	f           frame
	conn, frame int
}

// What is kept for ReplayAll: the last.
const (
	maxBuried      = 400
	maxBuriedBytes = 32 << 20
)

// New opens a proxy on a free port of loopback.
func New(o Options) (*Proxy, error) {
	listener, err := link.Listen()
	if err != nil {
		return nil, fmt.Errorf("chaos: %w", err)
	}
	p := &Proxy{opts: o, listener: listener, conns: make(map[*pair]struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.Begin(o.Seed, o.Mix, o.Log)
	go p.accept()
	return p, nil
}

// Addr is where clients connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Begin begins a new run: counts and numbers start again, nothing of the run before is replayed.
// Connections that are open are reset.
func (p *Proxy) Begin(seed uint64, mix Mix, log func(Decision)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seed, p.mix, p.log = seed, mix, log
	p.numbers, p.counts, p.buried, p.bytes, p.answers = 0, Counts{}, nil, 0, make(map[string]int)
	p.resetLocked()
}

// SetMix changes how often what happens, for requests from now on.
func (p *Proxy) SetMix(m Mix) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mix = m
}

// Heal lets everything pass and resets connections that hang. Zombies still come.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mix = Mix{}
	for c := range p.conns {
		if c.hangs() {
			c.close(true)
		}
	}
}

// Cut resets every open connection.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.resetLocked()
}

func (p *Proxy) resetLocked() {
	for c := range p.conns {
		c.close(true)
	}
}

// Counts is how often what happened since Begin.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// ZombieAnswers is what zombies were answered since Begin: Kafka's error codes, how often.
func (p *Proxy) ZombieAnswers() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.answers)
}

// Close ends the proxy and everything on it, and waits for that.
func (p *Proxy) Close() {
	p.cancel()
	_ = p.listener.Close() // its only failure is that it is closed already
	p.Cut()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.mu.Lock()
		if p.ctx.Err() != nil {
			p.mu.Unlock()
			_ = client.Close() // nothing was written to it
			return
		}
		p.numbers++
		c := newPair(p, client, p.numbers, p.seed)
		p.conns[c] = struct{}{}
		p.wg.Add(1)
		p.mu.Unlock()
		go func() {
			defer p.wg.Done()
			c.run()
			p.gone(c)
		}()
	}
}

// gone buries a connection. Some of its requests will walk.
func (p *Proxy) gone(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	if c.seed != p.seed || p.ctx.Err() != nil {
		return // of a run before
	}
	for _, z := range c.kept {
		p.buried = append(p.buried, z)
		p.bytes += len(z.f)
		for len(p.buried) > maxBuried || p.bytes > maxBuriedBytes {
			p.bytes -= len(p.buried[0].f)
			p.buried = p.buried[1:]
		}
	}
	for _, z := range c.walking {
		after := time.Duration(c.rand.Int64N(int64(max(p.mix.After, time.Millisecond))))
		p.waiting++
		p.wg.Go(func() {
			p.walk(z, after)
			p.mu.Lock()
			p.waiting--
			p.mu.Unlock()
		})
	}
}

// decide draws a request's fate. It draws the same number of times for each request.
func (p *Proxy) decide(r *rand.Rand, f frame) (fault Fault, amount float64, walks bool, m Mix) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u, amount, z := r.Float64(), r.Float64(), r.Float64()
	for k := Pass + 1; k < Zombie; k++ {
		if u -= p.mix.Chance[k]; u < 0 {
			fault = k
			break
		}
	}
	p.counts[fault]++
	walks = f.apiKey() == produceKey && z < p.mix.Chance[Zombie]
	return fault, amount, walks, p.mix
}

func (p *Proxy) tell(d Decision) {
	d.At, d.Proxy = time.Now(), p.opts.Name
	p.mu.Lock()
	log := p.log
	p.mu.Unlock()
	if log != nil {
		log(d)
	}
}

func stream(name string, conn int) uint64 {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s/%d", name, conn) // a hash takes everything
	return h.Sum64()
}
