package chaos

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// pair is one client's connection and the one to the broker that it feeds. One goroutine
// carries requests, one carries answers.
type pair struct {
	p      *Proxy
	number int
	seed   uint64
	rand   *rand.Rand // of the goroutine that carries requests; after that, of gone

	client, server net.Conn
	gone           chan struct{} // closed by close
	once           sync.Once
	hang           atomic.Bool // black hole

	mu       sync.Mutex
	expected []expectation // answers to come, in order

	// of the goroutine that carries requests; after that, of gone
	frames  int
	kept    []captured // the last Produce requests
	walking []captured // those that become zombies
}

// expectation is what to do with an answer.
type expectation struct {
	correlation int32
	fault       Fault
	amount      float64
	hold        time.Duration
}

// swallow stands for Pass of a duplicate's answer: it is read and thrown away.
const swallow = faults

// keptPerConn is how many of a connection's last Produce requests are kept for ReplayAll.
const keptPerConn = 8

func newPair(p *Proxy, client net.Conn, number int, seed uint64) *pair {
	return &pair{p: p, number: number, seed: seed, client: client, gone: make(chan struct{}),
		rand: rand.New(rand.NewPCG(seed, stream(p.opts.Name, number)))}
}

func (c *pair) hangs() bool { return c.hang.Load() }

// close ends both sides; with reset, the peers see a reset and not an orderly end.
func (c *pair) close(reset bool) {
	c.once.Do(func() {
		close(c.gone)
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, side := range []net.Conn{c.client, c.server} {
			if side == nil {
				continue
			}
			if tcp, ok := side.(*net.TCPConn); ok && reset {
				_ = tcp.SetLinger(0) // best effort: a peer that is gone needs no reset
			}
			_ = side.Close()
		}
	})
}

func (c *pair) run() {
	d := net.Dialer{Timeout: 5 * time.Second}
	server, err := d.DialContext(c.p.ctx, "tcp", c.p.opts.Target)
	if err != nil {
		c.close(true) // as from a host whose service is down
		return
	}
	c.mu.Lock()
	select {
	case <-c.gone: // while we dialled
		c.mu.Unlock()
		_ = server.Close() // nothing was written to it
		return
	default:
	}
	c.server = server
	c.mu.Unlock()
	back := make(chan struct{})
	go func() {
		defer close(back)
		c.carryAnswers()
	}()
	c.carryRequests()
	<-back
}

// carryRequests ends with the connection.
func (c *pair) carryRequests() {
	defer c.close(false)
	for {
		f, err := readFrame(c.client, minRequest)
		if err != nil {
			return
		}
		if c.hangs() {
			continue // taken, as a full network buffer takes it, and gone
		}
		c.frames++
		fault, amount, walks, mix := c.p.decide(c.rand, f)
		if f.apiKey() == produceKey {
			c.keep(captured{f: f, conn: c.number, frame: c.frames}, walks)
		}
		if !c.request(f, fault, amount, mix) {
			return
		}
	}
}

func (c *pair) keep(z captured, walks bool) {
	if len(c.kept) == keptPerConn {
		c.kept = append(c.kept[:0], c.kept[1:]...)
	}
	c.kept = append(c.kept, z)
	if walks {
		c.walking = append(c.walking, z)
	}
}

// request carries one request, or breaks it. It reports whether the connection lives on.
func (c *pair) request(f frame, fault Fault, amount float64, mix Mix) bool {
	detail := ""
	reset := amount < 0.5 // how a cut ends: half of them with a reset
	e := expectation{correlation: f.correlation(), fault: fault, amount: amount}
	cut := 0
	switch fault {
	case HoldAnswer:
		e.hold = time.Duration(amount * float64(mix.Hold))
		detail = e.hold.String()
	case DelayRequest:
		detail = time.Duration(amount * float64(mix.Delay)).String()
	case CutRequest:
		cut = 1 + int(amount*float64(len(f)-1))
		detail = fmt.Sprintf("after %d bytes", cut)
		reset = c.frames%2 == 0
	}
	if fault != Pass {
		c.tell(f, fault, detail)
	}
	switch fault {
	case DropRequest:
		c.close(reset)
		return false
	case Blackhole:
		c.hang.Store(true)
		return true
	case CutRequest:
		_, _ = c.server.Write(f[:min(cut, len(f)-1)]) // the connection ends either way
		c.close(reset)
		return false
	case DelayRequest:
		if !c.wait(time.Duration(amount * float64(mix.Delay))) {
			return false
		}
	}
	if !c.pass(f, e) {
		return false
	}
	switch fault {
	case Duplicate:
		e.fault = swallow
		return c.pass(f, e)
	case Reset:
		c.close(true)
		return false
	}
	return true
}

// pass writes a request to the broker.
func (c *pair) pass(f frame, e expectation) bool {
	c.mu.Lock()
	c.expected = append(c.expected, e)
	c.mu.Unlock()
	if _, err := c.server.Write(f); err != nil {
		c.close(true)
		return false
	}
	return true
}

func (c *pair) tell(f frame, fault Fault, detail string) {
	c.p.tell(Decision{Conn: c.number, Frame: c.frames, APIKey: f.apiKey(), Version: f.version(), Correlation: f.correlation(),
		Size: len(f), Fault: fault, Detail: detail})
}

// wait reports false when the connection ended first.
func (c *pair) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.gone:
		return false
	}
}

// carryAnswers ends with the connection.
func (c *pair) carryAnswers() {
	for {
		f, err := readFrame(c.server, 8)
		if err != nil {
			if !c.hangs() { // a black hole does not even tell that the broker is gone
				c.close(false)
			}
			return
		}
		if c.hangs() {
			continue
		}
		e, ok := c.expect(f.answers())
		if !ok || !c.answer(f, e) {
			c.close(!ok)
			return
		}
	}
}

// expect is what to do with the answer that has this correlation id.
func (c *pair) expect(correlation int32) (expectation, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.expected) == 0 || c.expected[0].correlation != correlation {
		return expectation{}, false
	}
	e := c.expected[0]
	c.expected = c.expected[1:]
	return e, true
}

// answer carries one answer, or breaks it. It reports whether the connection lives on.
func (c *pair) answer(f frame, e expectation) bool {
	switch e.fault {
	case swallow:
		return true
	case DropAnswer:
		c.close(e.amount < 0.5)
		return false
	case CutAnswer:
		_, _ = c.client.Write(f[:1+int(e.amount*float64(len(f)-1))]) // the connection ends either way
		c.close(false)
		return false
	case HoldAnswer:
		if !c.wait(e.hold) || c.hangs() {
			return !c.hangs()
		}
	}
	_, err := c.client.Write(f)
	return err == nil
}
