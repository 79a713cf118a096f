package broker

import (
	"slices"

	"github.com/spoold/spoold/protocol"
)

// node is one broker: its process, what it has of the cluster's metadata, and its disk.
type node struct {
	c          *Cluster
	id         int32
	life       int   // of the process: what belongs to a former one is dropped
	alive      bool  // the process runs
	paused     bool  // SIGSTOP
	registered bool  // the controller takes it for alive
	starting   bool  // it has not registered yet, and listens to nobody
	leaving    bool  // it is in a controlled shutdown,
	withdrawn  bool  // and the controller has been asked
	unclean    bool  // its last life did not end in order
	lost       int64 // when its last life ended without the controller's knowledge
	slow       bool  // its followers do not come to fetch
	cutOff     bool  // nothing passes between it and the controller
	cuts       int   // how often it was: what was on its way to or from other brokers may be lost then

	applied  int                   // of the controller's changes
	brokers  []int32               // those that are not fenced, by its metadata
	views    map[string]*topicView // by name: the newest incarnation that it has
	ids      map[[16]byte]*topicView
	replicas map[replicaKey]*replica
	order    []*replica // in the order of their making
	conns    []*Conn
	backlog  []func() // what arrived while it was paused

	waiting    []*delayed // requests that wait for replicas
	nextExpiry int64      // when they are looked at; 0: nothing is planned

	pids pidBlocks

	coordinator txnCoordinator
	groups      groupCoordinator
}

// topicView is a topic as a broker's metadata cache has it.
type topicView struct {
	topic  *topic
	config TopicConfig
	parts  map[int32]partitionView
}

type replicaKey struct {
	id     protocol.TopicID
	number int32
}

func (n *node) running() bool { return n.alive && !n.paused }

// after calls do later, if the process is still the same one; while it is paused, it waits.
func (n *node) after(ms int64, do func()) {
	life := n.life
	n.c.agenda.After(ms, func() { n.run(life, do) })
}

func (n *node) run(life int, do func()) {
	switch {
	case n.life != life || !n.alive:
	case n.paused:
		n.backlog = append(n.backlog, func() { n.run(life, do) })
	default:
		do()
	}
}

// learnLater has the broker apply the metadata log up to upTo, soon.
func (n *node) learnLater(upTo int) {
	if n.alive && !n.cutOff && !n.starting {
		n.after(n.c.within(n.c.cfg.Learn), func() { n.learn(upTo) })
	}
}

func (n *node) learn(upTo int) {
	if n.cutOff {
		return
	}
	for n.applied < upTo {
		ch := n.c.controller.changes[n.applied]
		n.applied++
		n.apply(&ch)
	}
}

func (n *node) apply(ch *change) {
	if ch.topic == nil {
		n.brokers = ch.brokers
		return
	}
	t := ch.topic
	v := n.views[t.name]
	switch {
	case ch.deleted:
		if v != nil && v.topic == t {
			delete(n.views, t.name)
		}
		delete(n.ids, t.id)
		for _, r := range slices.Clone(n.order) {
			if r.topic == t {
				n.drop(r)
			}
		}
		return
	case v == nil || v.topic != t:
		v = &topicView{topic: t, parts: map[int32]partitionView{}}
		n.views[t.name], n.ids[t.id] = v, v
	}
	if ch.number < 0 {
		v.config = ch.config
		return
	}
	if old, ok := v.parts[ch.number]; ok && old.version >= ch.state.version {
		return // the leader has already what it asked for
	}
	v.parts[ch.number] = ch.state
	if slices.Contains(ch.state.replicas, n.id) {
		n.replica(t, ch.number).assume(ch.state)
	}
}

// replica is the broker's replica of a partition, made if need be.
func (n *node) replica(t *topic, number int32) *replica {
	key := replicaKey{t.id, number}
	r := n.replicas[key]
	if r == nil {
		r = &replica{node: n, topic: t, view: n.views[t.name], number: number, epoch: -1, leader: noLeader, producers: map[int64]*producer{}}
		r.tick = r.fetchNow
		n.replicas[key] = r
		n.order = append(n.order, r)
	}
	return r
}

// drop deletes a replica: its topic is gone. With that, log starts of all others are written down (LogManager.asyncDelete).
func (n *node) drop(r *replica) {
	delete(n.replicas, replicaKey{r.topic.id, r.number})
	n.order = slices.DeleteFunc(n.order, func(x *replica) bool { return x == r })
	for _, other := range n.order {
		other.saved = other.start
	}
	r.hw = r.end()
	n.c.archive.keep(r, len(r.log)) // whatever it was: nobody can say any more what was replicated
	r.gone = true
	r.settleWaiting()
}

// lookForExpired forgets producers, now and from then on from time to time (PeriodicProducerExpirationCheck).
func (n *node) lookForExpired() {
	n.expire()
	n.after(n.c.cfg.Check, n.lookForExpired)
}

// Expire has a broker look at once which producers are to be forgotten, between the times at which it does so by itself.
func (c *Cluster) Expire(id int32) { c.nodes[id].expire() }

func (n *node) expire() {
	for _, r := range n.order {
		r.expire()
	}
}
