package world

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// client sends requests to one host.
type client struct {
	w    *World
	h    *host
	id   int
	plan *Client
	rng  *rand.Rand

	made  int // requests so far
	ask   *ask
	done  bool
	past  []*ask // answered ones, to be repeated now and then
	tails []*ask // of a Tailer, by number

	processor *processor // nil: it is none
}

// ask is one request and what came of it.
type ask struct {
	op       int
	batch    *bolt.BatchInput
	attempt  int
	answered bool
	first    int64 // when it was made
	at       int64 // when it was answered
}

func newClient(w *World, id int) *client {
	p := &w.plan.Clients[id]
	c := &client{w: w, h: w.hosts[p.Host], id: id, plan: p, rng: w.stream(streamClient, id)}
	if p.Kind == Processor {
		c.processor = &processor{client: c, at: -1}
		w.hist.Inputs[id] = &check.Input{}
	}
	if c.inside() {
		c.began()
	} else {
		w.ag.After(c.rng.Int64N(100), c.next)
	}
	return c
}

// inside reports whether the client is part of the host's process.
func (c *client) inside() bool { return c.plan.Kind >= Tailer }

// next makes the next request, after a pause.
func (c *client) next() {
	switch {
	case c.w.ag.Now() < c.w.night && !c.w.calm:
		c.w.ag.After(c.awake(c.rng.Int64N(20)), c.next)
		return
	case c.inside() && !c.h.up:
		return // reset, and then the next process, call it again
	case c.made >= c.plan.Ops || c.h.gone || c.w.calm:
		c.done = true
		return
	}
	switch c.plan.Kind {
	case Tailer:
		c.tail()
	case Pipeline:
		c.pipeline()
	case Processor:
		c.processor.next()
	default:
		c.request()
	}
}

func (c *client) pause() { c.w.ag.After(c.rng.Int64N(c.plan.Think+1), c.next) }

// request sends a new request, or now and then an old one once more.
func (c *client) request() {
	if c.plan.Kind == Keyed && len(c.past) > 0 {
		old := c.past[c.rng.IntN(len(c.past))]
		switch c.rng.IntN(12) {
		case 0: // the same once more: it is the same record
			if c.w.ag.Now()-old.at < 3600_000 {
				c.send(&ask{op: old.op, batch: old.batch, first: old.first})
				return
			}
		case 1: // its key for other records
			if c.w.ag.Now()-old.at < 3600_000 {
				a := c.make()
				a.batch.Key = old.batch.Key
				c.w.hist.Ops[a.op].Foreign = true
				c.send(a)
				return
			}
		}
	}
	c.made++
	c.send(c.make())
}

func (c *client) send(a *ask) {
	c.ask = a
	c.w.ag.After(c.rng.Int64N(3), func() { c.attempt(a) })
}

// attempt lets the request arrive at the host.
func (c *client) attempt(a *ask) {
	if c.ask != a || a.answered {
		return
	}
	a.attempt++
	mine := a.attempt
	again := func(ms int64) {
		c.w.ag.After(c.awake(ms), func() {
			if c.ask == a && !a.answered && a.attempt == mine {
				c.unanswered(a)
			}
		})
	}
	if !c.h.up || c.w.ag.Now() < c.h.paused {
		again(20 + c.rng.Int64N(60))
		return
	}
	lose := !c.w.calm && c.rng.Float64() < c.w.plan.Chance.LoseReply
	hasty := !c.w.calm && c.rng.Float64() < c.w.plan.Chance.Impatient
	day := c.h.day
	c.h.take(a.op, a.batch, func(r check.Result) {
		c.w.event(check.Event{Kind: check.Answered, Host: c.h.id, Op: a.op, Result: r})
		if lose {
			c.w.count("answer to a client lost")
			return
		}
		c.w.ag.After(c.rng.Int64N(3), func() { c.answered(a, mine, r, day) })
	})
	if hasty {
		again(1 + c.rng.Int64N(3))
	} else {
		again(150 + c.rng.Int64N(200))
	}
}

// awake is ms, or the end of the night.
func (c *client) awake(ms int64) int64 {
	if c.w.calm {
		return ms
	}
	return max(ms, c.w.night-c.w.ag.Now()+ms)
}

// answered takes the host's word on an attempt. Only the last one is made again: the others were when they were late.
func (c *client) answered(a *ask, attempt int, r check.Result, day int) {
	if c.ask != a || a.answered {
		return
	}
	switch r {
	case check.OK, check.Reused:
		a.answered, a.at = true, c.w.ag.Now()
		if r == check.OK && c.plan.Kind == Keyed && len(c.past) < 20 && day == c.h.day {
			c.past = append(c.past, a)
		}
		c.ask = nil
		c.pause()
	case check.Refused, check.Unknown:
		c.w.ag.After(c.awake(10+c.rng.Int64N(40)), func() {
			if c.ask == a && !a.answered && a.attempt == attempt {
				c.unanswered(a)
			}
		})
	}
}

// keyMs is how long a client repeats a request: a key is known for a day.
const keyMs = 20 * 3600_000

// unanswered repeats a request that has a key, and gives up one that has none.
func (c *client) unanswered(a *ask) {
	if c.plan.Kind == Keyed && c.w.ag.Now()-a.first < keyMs {
		c.attempt(a)
		return
	}
	c.ask = nil
	c.pause()
}

// reset: the host's process has ended. Whoever waits for it learns that now; what is part of it is no more.
func (c *client) reset() {
	a := c.ask
	if c.inside() {
		if c.ask = nil; c.processor != nil {
			c.processor.at, c.processor.id = -1, 0
		}
		return
	}
	if a != nil && !a.answered {
		mine := a.attempt
		c.w.ag.After(1+c.rng.Int64N(30), func() {
			if c.ask == a && !a.answered && a.attempt == mine {
				c.unanswered(a)
			}
		})
	}
}

// began: a new process of the host is there; what is part of it begins.
func (c *client) began() {
	if !c.inside() {
		return
	}
	if c.plan.Kind == Tailer {
		c.made = 0
		if v, ok := c.h.disk.Note(c.note()); ok {
			n, err := strconv.Atoi(string(v))
			if err != nil {
				panic(fmt.Sprintf("world: note %q", v))
			}
			c.made = n
		}
	}
	c.h.after(c.rng.Int64N(5), c.next)
}

func (c *client) note() string { return fmt.Sprintf("tail-%d", c.id) }

// tail sends what comes next in its file, and where it is in it, in one commit.
func (c *client) tail() {
	for len(c.tails) <= c.made {
		a := c.make()
		a.batch.Notes = []bolt.Note{{Name: c.note(), Value: strconv.AppendInt(nil, int64(len(c.tails)+1), 10)}}
		c.tails = append(c.tails, a)
	}
	a := c.tails[c.made]
	c.ask = a
	c.h.take(a.op, a.batch, func(r check.Result) {
		c.w.event(check.Event{Kind: check.Answered, Host: c.h.id, Op: a.op, Result: r})
		switch r {
		case check.OK:
			c.made++
			c.ask = nil
			c.h.after(c.rng.Int64N(c.plan.Think+1), c.next)
		case check.Refused:
			c.ask = nil
			c.h.after(20+c.rng.Int64N(50), c.next)
		}
	})
}

// pipeline sends several requests without waiting.
func (c *client) pipeline() {
	for range 1 + c.rng.IntN(6) {
		if c.made >= c.plan.Ops {
			break
		}
		c.made++
		a := c.make()
		c.h.take(a.op, a.batch, func(r check.Result) {
			c.w.event(check.Event{Kind: check.Answered, Host: c.h.id, Op: a.op, Result: r})
		})
	}
	c.h.after(c.rng.Int64N(c.plan.Think*4+1), c.next)
}

// make makes a request with records that nobody has sent before.
func (c *client) make() *ask {
	w := c.w
	op := check.Op{Host: c.h.id, First: len(w.hist.Records), Count: 1 + c.rng.IntN(c.plan.Batch), Keyed: c.plan.Kind == Keyed}
	op.Unit = c.h.plan.TransactionalID != ""
	a := &ask{op: len(w.hist.Ops), batch: &bolt.BatchInput{Records: make([]bolt.RecordInput, 0, op.Count), Unit: op.Unit}, first: w.ag.Now()}
	for range op.Count {
		r := c.record(a.op)
		w.hist.Records = append(w.hist.Records, r)
		in := bolt.RecordInput{Topic: r.Topic, Timestamp: bolt.NoTimestamp, Partition: r.Partition, Key: r.Key, Value: r.Value}
		if r.Given {
			in.Timestamp = r.Timestamp
		}
		for _, x := range r.Headers {
			in.Headers = append(in.Headers, spool.Header{Key: x.Key, Value: x.Value})
		}
		a.batch.Records = append(a.batch.Records, in)
	}
	if op.Keyed {
		a.batch.Scope, a.batch.Key = "/", fmt.Sprintf("c%d-%d", c.id, a.op)
	}
	w.hist.Ops = append(w.hist.Ops, op)
	return a
}

// record makes one record; its number stands in its value, or in its key if the value is null.
func (c *client) record(op int) check.Record {
	w := c.w
	n := len(w.hist.Records)
	t := &w.plan.Topics[c.rng.IntN(len(w.plan.Topics))]
	r := check.Record{Op: op, Topic: t.Name, Partition: -1}
	size := c.rng.IntN(40)
	if c.rng.IntN(30) == 0 {
		size = c.rng.IntN(900) // larger than many a batch.size
	}
	size += c.plan.Pad
	r.Value = fmt.Appendf(make([]byte, 0, 12+size), "u%d:", n)
	for range size {
		r.Value = append(r.Value, byte('a'+n%26))
	}
	switch {
	case c.plan.Keys > 0 && (t.Compact || c.rng.IntN(3) > 0):
		r.Key = fmt.Appendf(nil, "k%d", c.rng.IntN(c.plan.Keys))
	case t.Compact:
		r.Key = []byte{}
	case c.rng.IntN(20) == 0:
		r.Key, r.Value = fmt.Appendf(nil, "u%d:", n), nil // a tombstone
	}
	if c.plan.Pinned && c.rng.IntN(4) == 0 {
		r.Partition = c.rng.Int32N(int32(t.Partitions))
	}
	if c.rng.IntN(10) == 0 {
		r.Headers = []check.Header{{Key: "h", Value: []byte("x")}, {Key: "", Value: nil}}[:1+c.rng.IntN(2)]
	}
	if c.plan.Old > 0 && c.rng.IntN(6) == 0 {
		r.Given, r.Timestamp = true, w.ag.Now()-c.rng.Int64N(c.plan.Old)
	}
	return r
}

// numberOf is the number of the record that a value, or a key, belongs to; -1: none.
func numberOf(b []byte) int {
	if len(b) < 3 || b[0] != 'u' {
		return -1
	}
	n, _, ok := bytes.Cut(b[1:], []byte{':'})
	if !ok {
		return -1
	}
	v, err := strconv.Atoi(string(n))
	if err != nil {
		return -1
	}
	return v
}
