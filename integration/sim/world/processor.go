package world

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/transaction"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/txn"
)

// processor is what a client of kind Processor does: it consumes an input, and makes records of what it consumes. These are in one
// transaction with the offset in the input. Its group says how far it came, to the next process, too: the same input gives the same
// records each time.
type processor struct {
	*client
	units []processed
	at    int64 // offset in the input that was committed; -1: not read yet
	id    uint64
}

// processed is one input and what is made of it.
type processed struct {
	op       int
	topics   []string
	entries  [][]byte
	attempts int
}

func (p *processor) group() string { return fmt.Sprintf("inputs-%d", p.client.id) }

// input is the partition that it consumes. Nobody produces to it: its offsets are all that counts.
func (p *processor) input() string { return p.w.plan.Topics[0].Name }

// next takes the next input, or asks first where that is.
func (p *processor) next() {
	switch {
	case p.id != 0:
	case p.at < 0:
		p.read()
	default:
		p.send()
	}
}

// read asks the coordinator of the group for the offset that was committed last, once no transaction may change it any more.
func (p *processor) read() {
	life := p.h.life
	again := func() {
		p.w.ag.After(p.awake(20+p.rng.Int64N(30)), func() {
			if p.h.life == life {
				p.client.next()
			}
		})
	}
	at := p.w.cluster.Leader(broker.GroupOffsets, 0)
	if at < 0 || p.h.cluster != p.w.cluster || p.w.ag.Now() < p.h.apart {
		again()
		return
	}
	conn, ok := p.w.cluster.Open(at, func() {})
	if !ok {
		again()
		return
	}
	m := kmsg.NewPtrOffsetFetchRequest()
	m.SetVersion(7)
	m.Group, m.RequireStable = p.group(), true
	m.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: p.input(), Partitions: []int32{0}}}
	answered := false
	p.w.ag.After(1000, func() { // its connection may end, or nobody may be there to answer
		if !answered {
			answered = true
			again()
		}
	})
	conn.Receive(m, func(resp kmsg.Response) {
		conn.Close(false)
		r := resp.(*kmsg.OffsetFetchResponse)
		offset, code := int64(0), r.ErrorCode
		for _, t := range r.Topics {
			for _, x := range t.Partitions {
				offset, code = max(x.Offset, 0), max(code, x.ErrorCode) // none was committed: from the beginning
			}
		}
		switch {
		case answered || p.h.life != life:
		case code != 0:
			answered = true
			again()
		default:
			answered = true
			p.at = offset
			p.w.tell("host %d: the processor of group %s goes on at %d", p.h.id, p.group(), offset)
			p.client.next()
		}
	})
}

// send makes a transaction of the next input.
func (p *processor) send() {
	if p.at >= int64(p.plan.Ops) {
		p.done = true
		return
	}
	for int64(len(p.units)) <= p.at {
		p.units = append(p.units, p.process())
	}
	u := &p.units[p.at]
	u.attempts++
	p.h.onlines++
	p.id = p.h.onlines
	p.h.online[p.id] = p.ended
	p.w.hist.Inputs[p.client.id].Told[p.at] = check.Unknown
	e := p.h.core.(*transaction.Sender).Online(p.h.now(), &sender.OnlineUnit{ID: p.id, Topics: u.topics, Entries: u.entries, Groups: []txn.GroupOffsets{{
		Group: txn.Group{ID: p.group(), Generation: -1},
		Offsets: []txn.Offset{{
			TopicPartition: protocol.TopicPartition{Topic: p.input()}, Offset: p.at + 1, LeaderEpoch: -1,
		}},
	}}})
	p.h.carry(e)
}

// ended takes what became of it.
func (p *processor) ended(end sender.OnlineEnd) {
	p.w.tell("host %d: input %d of %s: committed %v %s", p.h.id, p.at, p.group(), end.Committed, end.Why)
	p.id = 0
	told := &p.w.hist.Inputs[p.client.id].Told[p.at]
	if *told = check.Refused; end.Committed {
		*told = check.OK
		p.at++
	}
	p.h.after(p.rng.Int64N(p.plan.Think+1), p.client.next)
}

// process makes records of the next input.
func (p *processor) process() processed {
	w := p.w
	for t := range w.plan.Topics { // records that are always refused are never sent
		if n := w.plan.Topics[t].Refuse; n > 0 {
			for k := range p.plan.Batch {
				if (len(w.hist.Records)+k)%n == n-1 {
					w.nudgeRecord(p.h, &w.plan.Topics[t], 0)
				}
			}
		}
	}
	op := check.Op{Host: p.h.id, First: len(w.hist.Records), Count: 1 + p.rng.IntN(p.plan.Batch), Unit: true, Online: true}
	u := processed{op: len(w.hist.Ops)}
	at := map[string]int{}
	for range op.Count {
		r := p.record(u.op)
		r.Given, r.Timestamp = true, w.ag.Now()
		w.hist.Records = append(w.hist.Records, r)
		n, ok := at[r.Topic]
		if !ok {
			n = len(u.topics)
			at[r.Topic] = n
			u.topics, u.entries = append(u.topics, r.Topic), append(u.entries, nil)
		}
		var headers []spool.Header
		for _, x := range r.Headers {
			headers = append(headers, spool.Header{Key: x.Key, Value: x.Value})
		}
		u.entries[n] = spool.AppendEntry(u.entries[n], r.Timestamp, r.Partition, r.Key, r.Value, headers, spool.BodySize(r.Key, r.Value, headers))
	}
	w.hist.Ops = append(w.hist.Ops, op)
	in := w.hist.Inputs[p.client.id]
	in.Ops, in.Told = append(in.Ops, u.op), append(in.Told, check.Unknown)
	return u
}

// inputs notes how far the groups of all processors came, and reports whether their coordinator could say so.
func inputs(w *World) bool {
	for _, c := range w.clients {
		if c.processor == nil {
			continue
		}
		at, ok := broker.GroupOffset(w.cluster, c.processor.group(), c.processor.input(), 0)
		if !ok {
			return false
		}
		w.hist.Inputs[c.id].Committed = at
	}
	return true
}
