package world

import (
	"bytes"
	"errors"
	"hash/crc32"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// connectMs is how long a connection may take to be opened.
const connectMs = 100

// link is a connection from a host's process to a broker. What is written arrives in order, and so do answers.
type link struct {
	h       *host
	broker  int32
	conn    *broker.Conn
	up      bool
	hung    int64 // nothing passes until
	waiting []*written
	lastIn  int64 // when the last request arrives
	lastOut int64 // when the last answer arrives
}

// written is a request on its way, or waiting for its answer.
type written struct {
	r        sender.Request
	msg      kmsg.Request
	arrived  bool
	answered bool
	resp     kmsg.Response
	lose     bool // its answer is lost, and the connection with it
	drop     bool // it never arrives, and the connection ends
	hold     bool // it is not answered
	again    bool // it arrives once more, so much later
	againMs  int64
	at       int64 // when it was written
}

// place is a partition, as the spool names it.
type place struct {
	lane      spool.LaneID
	partition int32
}

func (l *link) producing() int {
	n := 0
	for _, s := range l.waiting {
		if s.r.Kind == sender.KindProduce {
			n++
		}
	}
	return n
}

// unanswered is the most batches of one partition that are on the wire.
func (l *link) unanswered() int {
	most := 0
	for i, s := range l.waiting {
		for _, b := range s.r.Batches {
			n := 0
			for _, o := range l.waiting[:i+1] {
				for _, c := range o.r.Batches {
					if c.Lane == b.Lane && c.Partition == b.Partition {
						n++
					}
				}
			}
			most = max(most, n)
		}
	}
	return most
}

func (w *World) brokerIDs() []int32 {
	ids := make([]int32, w.plan.Brokers)
	for i := range ids {
		ids[i] = int32(i)
	}
	return ids
}

// request carries one request of the core out. Whatever happens, one answer comes of it.
func (h *host) request(r sender.Request) {
	switch {
	case h.closing && r.Kind != sender.KindProduce:
	case r.Kind == sender.KindConnect:
		h.connect(r)
	case r.Broker == sender.AnyBroker:
		h.any(r)
	default:
		if l := h.links[r.Broker]; l != nil && l.up {
			l.write(r)
			return
		}
		h.fail1(r, errors.New("not connected"), 0)
	}
}

// fail1 answers that there is no answer.
func (h *host) fail1(r sender.Request, why error, ms int64) {
	h.after(ms, func() {
		h.carry(h.core.Handle(h.now(), sender.Response{ID: r.ID, Err: why}))
	})
}

// reached reports whether the network is whole and leads to the host's cluster. If not, r is answered.
func (h *host) reached(r sender.Request) bool {
	if h.w.ag.Now() < h.apart {
		h.fail1(r, errors.New("no route"), connectMs)
		return false
	}
	if err := foreign(h); err != nil {
		h.fail1(r, err, 1+h.net.Int64N(3))
		return false
	}
	return true
}

func (h *host) connect(r sender.Request) {
	if !h.reached(r) {
		return
	}
	h.after(1+h.net.Int64N(3), func() {
		l := &link{h: h, broker: r.Broker}
		conn, ok := h.cluster.Open(r.Broker, func() { h.after(0, func() { l.lost("reset by peer") }) })
		if !ok {
			h.carry(h.core.Handle(h.now(), sender.Response{ID: r.ID, Err: errors.New("connection refused")}))
			return
		}
		l.conn, l.up = conn, true
		h.links[r.Broker] = l
		h.carry(h.core.Handle(h.now(), sender.Response{ID: r.ID, Conn: sender.Conn{Broker: r.Broker, ProduceMax: h.cluster.ProduceMax()}}))
	})
}

// any sends to some broker: over an open link, or to a bootstrap server.
func (h *host) any(r sender.Request) {
	var best *link
	for _, b := range h.w.brokerIDs() {
		if l := h.links[b]; l != nil && l.up && (best == nil || len(l.waiting) < len(best.waiting)) {
			best = l
		}
	}
	if best != nil {
		best.write(r)
		return
	}
	if !h.reached(r) {
		return
	}
	answered, life := false, h.life
	tell := func(resp kmsg.Response, err error) {
		if answered || h.life != life {
			return
		}
		answered = true
		h.received(resp)
		h.carry(h.core.Handle(h.now(), sender.Response{ID: r.ID, Message: resp, Err: err}))
	}
	h.after(1+h.net.Int64N(4), func() {
		seed := h.net.Int32N(h.w.plan.Brokers)
		conn, ok := h.cluster.Open(seed, func() { h.after(0, func() { tell(nil, errors.New("reset by peer")) }) })
		if !ok {
			tell(nil, errors.New("connection refused"))
			return
		}
		if h.w.stage.decide(seed, r) != Serve {
			conn.Close(false)
			tell(nil, errEnded)
			return
		}
		conn.Receive(h.message(r), func(resp kmsg.Response) {
			h.after(h.net.Int64N(3), func() {
				conn.Close(false)
				h.w.stage.edit(seed, resp)
				tell(resp, nil)
			})
		})
		h.after(r.Timeout, func() {
			if !answered {
				conn.Close(false)
				tell(nil, errors.New("timed out"))
			}
		})
	})
}

// write puts a request on the wire.
func (l *link) write(r sender.Request) {
	h, w := l.h, l.h.w
	fate := w.stage.decide(l.broker, r)
	if fate == Refuse {
		h.fail1(r, errEnded, 0)
		return
	}
	s := &written{r: r, msg: h.message(r), at: w.ag.Now()}
	l.waiting = append(l.waiting, s)
	if r.Kind == sender.KindProduce {
		if w.trace.want {
			w.tell("host %d to %d: %s", h.id, l.broker, describe(r))
		}
		l.befall(s)
		for _, b := range r.Batches {
			if s.at-b.MaxTimestamp >= doubleMs {
				h.aged[place{b.Lane, b.Partition}] = s.at
			}
		}
	} else {
		if s.acts() {
			l.befall(s)
		} else {
			l.holdBack()
		}
		if w.trace.want {
			w.tell("host %d to %d: %d %s", h.id, l.broker, r.ID, describeMessage(s.msg))
		}
	}
	w.stage.wrote(l.broker, s, fate)
	at := max(w.ag.Now()+h.net.Int64N(4), l.lastIn, l.hung)
	l.lastIn = at
	h.after(at-w.ag.Now(), func() { l.arrive(s) })
	h.after(r.Timeout, func() {
		if slices.Contains(l.waiting, s) {
			l.lost("timed out")
		}
	})
}

// befall draws what happens to a Produce request.
func (l *link) befall(s *written) {
	h, c := l.h, &l.h.w.plan.Chance
	u, again := h.net.Float64(), h.net.Float64()
	if h.w.calm {
		return
	}
	switch {
	case u < c.LoseAnswer:
		s.lose = true
		h.w.count("answer lost")
	case u < c.LoseAnswer+c.LoseRequest:
		s.drop = true
		h.w.count("request lost")
	default:
		l.holdBack()
	}
	s.again, s.againMs = again < c.Twice, h.net.Int64N(h.w.plan.ZombieMs+1)
	for _, b := range s.r.Batches { // what a broker may have forgotten soon is sent once, so there is no other copy of it
		s.again = s.again && h.w.ag.Now()-b.MaxTimestamp < doubleMs
	}
}

// holdBack has the next answers take long, now and then.
func (l *link) holdBack() {
	h := l.h
	if u := h.net.Float64(); !h.w.calm && u < h.w.plan.Chance.Hold {
		l.lastOut = max(l.lastOut, h.w.ag.Now()+50+h.net.Int64N(200))
		h.w.count("answer held back")
	}
}

func (l *link) arrive(s *written) {
	h, w := l.h, l.h.w
	switch {
	case !l.up:
		return
	case w.ag.Now() < l.hung: // the wire has become deaf meanwhile
		h.after(l.hung-w.ag.Now(), func() { l.arrive(s) })
		return
	case s.drop:
		l.lost("cut")
		return
	}
	s.arrived = true
	l.conn.Receive(s.msg, func(resp kmsg.Response) {
		l.double(s, resp)
		w.stage.edit(l.broker, resp)
		if s.hold {
			return
		}
		if s.lose {
			h.after(h.net.Int64N(3), func() { l.lost("cut") })
			return
		}
		at := max(w.ag.Now()+h.net.Int64N(4), l.lastOut, l.hung)
		l.lastOut = at
		h.after(at-w.ag.Now(), func() {
			s.answered, s.resp = true, resp
			l.answer()
		})
	})
}

// answer hands over the answers that are next in order.
func (l *link) answer() {
	h := l.h
	for l.up && h.up && len(l.waiting) > 0 && l.waiting[0].answered {
		s := l.waiting[0]
		l.waiting = l.waiting[1:]
		if h.w.trace.want {
			h.w.tell("host %d from %d: answer to %d: %s", h.id, l.broker, s.r.ID, outcome(s.resp))
		}
		h.received(s.resp)
		h.carry(h.core.Handle(h.now(), sender.Response{ID: s.r.ID, Message: s.resp}))
	}
}

// lost ends the connection. What was written may have left the host, or not; what left may arrive yet.
func (l *link) lost(why string) {
	h := l.h
	if !l.up || !h.up {
		return
	}
	h.w.tell("host %d: connection to %d is lost: %s", h.id, l.broker, why)
	l.up = false
	unwritten := l.scatter(true)
	waiting := l.waiting
	l.waiting = nil
	for i, s := range waiting {
		h.carry(h.core.Handle(h.now(), sender.Response{ID: s.r.ID, Err: errors.New(why), Written: i < len(waiting)-unwritten}))
		if !h.up {
			return
		}
	}
	h.carry(h.core.Disconnected(h.now(), l.broker, errors.New(why)))
}

// abandon is lost for a process that is no more.
func (l *link) abandon() {
	if l.up {
		l.up = false
		l.scatter(false)
	}
}

// message is what goes on the wire for a request. The batches' bytes are copied: what arrives later was
// written now.
func (h *host) message(r sender.Request) kmsg.Request {
	if r.Kind != sender.KindProduce {
		version := r.Message.MaxVersion()
		if r.MaxVersion >= 0 {
			version = min(version, r.MaxVersion)
		}
		r.Message.SetVersion(version)
		return r.Message
	}
	m := kmsg.NewPtrProduceRequest()
	m.Acks, m.TimeoutMillis = -1, int32(r.Timeout/6*5)
	version := h.cluster.ProduceMax()
	for _, b := range r.Batches {
		if b.TopicID.IsZero() {
			version = min(version, 12)
		}
		t := kmsg.NewProduceRequestTopic()
		t.Topic, t.TopicID = b.Topic, b.TopicID
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = b.Partition, wire(b)
		if h.plan.Sender.Compressed {
			encoded(b, len(p.Records))
		}
		t.Partitions = append(t.Partitions, p)
		m.Topics = append(m.Topics, t)
	}
	m.SetVersion(version)
	inTransaction(m, &r)
	return m
}

// encoded reports a size that the batch might have when compressed, by its topic and contents: the broker goes by what it
// is, so that estimates are wrong in both directions.
func encoded(b *accumulator.Batch, size int) {
	sum := int(crc32.ChecksumIEEE(b.Records()))
	b.Encoded(protocol.BatchHeaderSize + (size-protocol.BatchHeaderSize)*(20+30*int(b.Lane%3)+sum%40)/100)
}

func wire(b *accumulator.Batch) []byte {
	buf := bytes.Clone(b.Buf)
	protocol.WriteBatchHeader(buf, protocol.BatchHeader{Attributes: attributes(b.Transactional), FirstTimestamp: b.FirstTimestamp, MaxTimestamp: b.MaxTimestamp, Identity: b.Identity, Base: b.Base, Count: b.Count})
	return buf
}
