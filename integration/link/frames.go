package link

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// frames carries one connection's requests and answers. One goroutine carries requests, one carries answers.
type frames struct {
	*pair
	l         *Link
	number    int
	seed      uint64
	rand      *rand.Rand // of the goroutine that carries requests; after that, of bury
	blackhole atomic.Bool

	mu       sync.Mutex
	expected []expectation // answers to come, in order

	// of the goroutine that carries requests; after that, of bury
	count   int
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
const swallow = numFaults

// keptPerConn is how many of a connection's last Produce requests are kept for ReplayAll.
const keptPerConn = 8

// newFrames numbers a new connection. The caller has the link's lock.
func (l *Link) newFrames(p *pair) *frames {
	l.faults.numbers++
	c := &frames{pair: p, l: l, number: l.faults.numbers, seed: l.faults.seed}
	c.rand = rand.New(rand.NewPCG(c.seed, stream(l.faults.name, c.number)))
	return c
}

// carryRequests ends with the connection.
func (c *frames) carryRequests() {
	defer c.close(false)
	for {
		f, err := readFrame(c.client, minRequest)
		if !c.l.flowing(c.pair) || err != nil {
			return
		}
		if c.blackhole.Load() {
			continue // taken, as a full network buffer takes it, and gone
		}
		c.count++
		fault, amount, walks, mix := c.l.decide(c.rand, f)
		if f.apiKey() == produceKey {
			c.keep(captured{f: f, conn: c.number, frame: c.count}, walks)
		} else if walks {
			c.walking = append(c.walking, captured{f: f, conn: c.number, frame: c.count})
		}
		if !c.request(f, fault, amount, mix) {
			return
		}
	}
}

func (c *frames) keep(z captured, walks bool) {
	if len(c.kept) == keptPerConn {
		c.kept = append(c.kept[:0], c.kept[1:]...)
	}
	c.kept = append(c.kept, z)
	if walks {
		c.walking = append(c.walking, z)
	}
}

// request carries one request, or breaks it. It reports whether the connection lives on.
func (c *frames) request(f frame, fault Fault, amount float64, mix Mix) bool {
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
		reset = c.count%2 == 0
	}
	if fault != Pass {
		c.tell(f, fault, detail)
	}
	switch fault {
	case DropRequest:
		c.close(reset)
		return false
	case Blackhole:
		c.blackhole.Store(true)
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
func (c *frames) pass(f frame, e expectation) bool {
	c.mu.Lock()
	c.expected = append(c.expected, e)
	c.mu.Unlock()
	if _, err := c.server.Write(f); err != nil {
		c.close(true)
		return false
	}
	return true
}

func (c *frames) tell(f frame, fault Fault, detail string) {
	c.l.tell(Decision{Conn: c.number, Frame: c.count, APIKey: f.apiKey(), Version: f.version(), Correlation: f.correlation(),
		Size: len(f), Fault: fault, Detail: detail})
}

// wait reports false when the connection ended first.
func (c *frames) wait(d time.Duration) bool {
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
func (c *frames) carryAnswers() {
	for {
		f, err := readFrame(c.server, 8)
		if !c.l.flowing(c.pair) {
			return
		}
		if err != nil {
			if !c.blackhole.Load() { // a black hole does not even tell that the broker is gone
				c.close(false)
			}
			return
		}
		if c.blackhole.Load() {
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
func (c *frames) expect(correlation int32) (expectation, bool) {
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
func (c *frames) answer(f frame, e expectation) bool {
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
		if !c.wait(e.hold) || c.blackhole.Load() {
			return !c.blackhole.Load()
		}
	}
	_, err := c.client.Write(f)
	return err == nil
}
