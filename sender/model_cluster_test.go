package sender_test

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/spoold/spoold/protocol"
)

// modelCluster keeps Kafka's rules about producers, written from
// ProducerStateManager, ProducerAppendInfo and UnifiedLog, not from what our client
// assumes: duplicates by epoch and both sequences among the last five, one after a
// restart or a fail-over to a restarted replica, any sequence without state, size checks
// before duplicates, answers that wait for the high watermark, truncation.
type modelCluster struct {
	hints    bool // refusals name the new leader (KIP-951)
	rng      *rand.Rand
	brokers  int32
	topics   map[string]*modelTopic
	nextPID  int64
	id       string
	now      int64 // the brokers' clock, ms
	expire   int64 // producer.id.expiration.ms
	hidden   bool  // topics may not be described
	few      int   // not 0: a broker answers that has not heard of more partitions
	unheard  int32 // one above the broker that has heard of no topic; 0: none
	noAsk    bool  // DescribeProducers is refused
	auto     bool  // auto.create.topics.enable
	byName   bool  // Produce goes by name: a recreated topic takes what was meant for the former
	deposed  bool  // leaders are not leaders any more, and metadata does not say so
	noRefuse bool  // a lagging ISR never answers NOT_ENOUGH_REPLICAS
}

type modelTopic struct {
	id     protocol.TopicID
	parts  []*modelPartition
	maxLen int // max.message.bytes by record count, 0: none
	refuse func(value []byte) protocol.ErrorCode
	names  bool // refusals name the records
}

type modelPartition struct {
	leader int32
	epoch  int32
	log    []modelBatch
	start  int64
	hw     int64
	isr    bool // followers keep up
	fresh  bool // followers were never restarted: they know the window
	state  map[int64]*modelProducer
}

type modelBatch struct {
	id     protocol.ProducerIdentity
	base   protocol.Sequence
	count  int32
	offset int64
	maxTS  int64
	values [][]byte
}

func (b *modelBatch) last() protocol.Sequence { return b.base.Last(int(b.count)) }

type modelProducer struct {
	epoch  protocol.ProducerEpoch
	window []modelBatch // last five
	lastTS int64
}

func (p *modelPartition) end() int64 {
	if n := len(p.log); n > 0 {
		return p.log[n-1].offset + int64(p.log[n-1].count)
	}
	return p.start
}

func newModelCluster(rng *rand.Rand, brokers int32) *modelCluster {
	return &modelCluster{rng: rng, brokers: brokers, topics: map[string]*modelTopic{}, nextPID: 1000, id: "model-cluster",
		now: 1_700_000_000_000, expire: 24 * 3600_000}
}

func (c *modelCluster) create(name string, parts int) *modelTopic {
	t := &modelTopic{}
	binary.BigEndian.PutUint64(t.id[:], c.rng.Uint64()|1)
	for range parts {
		t.grow(1, c.rng.Int32N(c.brokers))
	}
	c.topics[name] = t
	return t
}

// grow adds partitions with a leader.
func (t *modelTopic) grow(n int, leader int32) {
	for range n {
		t.parts = append(t.parts, &modelPartition{leader: leader, isr: true, fresh: true, state: map[int64]*modelProducer{}})
	}
}

func (p *modelPartition) replicate() {
	if p.isr {
		p.hw = p.end()
	}
}

// rebuild is what a replica knows that was restarted: the last batch of each producer.
func (p *modelPartition) rebuild(keep int) {
	p.state = map[int64]*modelProducer{}
	for _, b := range p.log {
		p.remember(b, keep)
	}
}

func (p *modelPartition) remember(b modelBatch, keep int) {
	st := p.state[int64(b.id.ID)]
	if st == nil || st.epoch != b.id.Epoch {
		st = &modelProducer{epoch: b.id.Epoch}
		p.state[int64(b.id.ID)] = st
	}
	st.window = append(st.window, b)
	if len(st.window) > keep {
		st.window = st.window[len(st.window)-keep:]
	}
	st.lastTS = b.maxTS
}

// failOver moves the partition; what was not replicated is gone.
func (c *modelCluster) failOver(p *modelPartition) {
	for len(p.log) > 0 && p.log[len(p.log)-1].offset >= p.hw {
		p.log = p.log[:len(p.log)-1]
	}
	p.epoch++
	if c.brokers > 1 {
		p.leader = (p.leader + 1 + c.rng.Int32N(c.brokers-1)) % c.brokers
	}
	p.isr = true
	if p.fresh {
		p.rebuild(5)
	} else {
		p.rebuild(1)
	}
	p.fresh = false
	p.hw = p.end()
}

// restart of a leader that comes back as leader: nothing is lost, one batch is known.
func (c *modelCluster) restart(p *modelPartition) {
	p.epoch++
	p.isr = true
	p.fresh = false
	p.rebuild(1)
	p.hw = p.end()
}

func (c *modelCluster) expireProducers() {
	for _, t := range c.topics {
		for _, p := range t.parts {
			for id, st := range p.state {
				if c.now-st.lastTS >= c.expire {
					delete(p.state, id)
				}
			}
		}
	}
}

// append is UnifiedLog.append for a client: the offset, or why not.
func (c *modelCluster) append(t *modelTopic, p *modelPartition, b modelBatch) (int64, protocol.ErrorCode) {
	if !p.isr && !c.noRefuse && c.rng.IntN(2) == 0 {
		return -1, protocol.NotEnoughReplicas
	}
	if t.maxLen > 0 && int(b.count) > t.maxLen {
		return -1, protocol.MessageTooLarge
	}
	if t.refuse != nil {
		for _, v := range b.values {
			if code := t.refuse(v); code != protocol.None {
				return -1, code
			}
		}
	}
	st := p.state[int64(b.id.ID)]
	if st != nil {
		for _, old := range st.window {
			if st.epoch == b.id.Epoch && old.base == b.base && old.last() == b.last() {
				return old.offset, protocol.None
			}
		}
		switch {
		case b.id.Epoch < st.epoch:
			return -1, protocol.InvalidProducerEpoch
		case b.id.Epoch > st.epoch && b.base != 0:
			return -1, protocol.OutOfOrderSequenceNumber
		case b.id.Epoch == st.epoch:
			lastSeq := st.window[len(st.window)-1].last()
			if lastSeq.Next(1) != b.base {
				return -1, protocol.OutOfOrderSequenceNumber
			}
		}
	}
	b.offset = p.end()
	p.log = append(p.log, b)
	p.remember(b, 5)
	p.replicate()
	return b.offset, protocol.None
}
