package broker

import (
	"slices"

	"github.com/spoold/spoold/protocol"
)

// node is one broker: its process, what it knows of the cluster, and its disk.
type node struct {
	c          *Cluster
	id         int32
	life       int  // of the process: what belongs to a former one is dropped
	alive      bool // the process runs
	paused     bool // SIGSTOP
	registered bool // the controller takes it for alive
	leaving    bool // it is in a controlled shutdown
	unclean    bool // its last life did not end in order
	slow       bool // its followers do not come to fetch
	cutOff     bool // the controller does not hear it, nor it the controller

	applied  int                   // of Cluster.changes
	views    map[string]*topicView // by name: the newest incarnation that it knows
	replicas map[replicaKey]*replica
	order    []*replica // in the order of their making
	conns    []*Conn
	backlog  []func() // what arrived while it was paused

	block int64 // of producer ids; next one is nextPID
	next  int64
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
	if n.alive && !n.cutOff {
		n.after(n.c.within(n.c.cfg.Learn), func() { n.learn(upTo) })
	}
}

func (n *node) learn(upTo int) {
	if n.cutOff {
		return
	}
	for n.applied < upTo {
		ch := n.c.changes[n.applied]
		n.applied++
		n.apply(&ch)
	}
}

func (n *node) apply(ch *change) {
	if ch.topic == nil {
		return
	}
	t := ch.topic
	v := n.views[t.name]
	switch {
	case ch.deleted:
		if v != nil && v.topic == t {
			delete(n.views, t.name)
		}
		for _, r := range slices.Clone(n.order) {
			if r.topic == t {
				n.drop(r)
			}
		}
		return
	case v == nil || v.topic != t:
		v = &topicView{topic: t, parts: map[int32]partitionView{}}
		n.views[t.name] = v
	}
	if ch.number < 0 {
		v.config = ch.config
		return
	}
	if old, ok := v.parts[ch.number]; ok && old.version >= ch.state.version {
		return // the leader knows already what it asked for
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
		r = &replica{node: n, topic: t, number: number, epoch: -1, leader: noLeader, producers: map[int64]*producer{}}
		n.replicas[key] = r
		n.order = append(n.order, r)
	}
	return r
}

// drop deletes a replica: its topic is gone.
func (n *node) drop(r *replica) {
	delete(n.replicas, replicaKey{r.topic.id, r.number})
	n.order = slices.DeleteFunc(n.order, func(x *replica) bool { return x == r })
	r.hw = r.end()
	n.c.keep(r, len(r.log)) // whatever it was: nobody can say any more what was replicated
	r.gone = true
	r.settleWaiting()
}

// config of a topic as this broker knows it.
func (n *node) config(t *topic) TopicConfig {
	if v := n.views[t.name]; v != nil && v.topic == t {
		return v.config
	}
	return TopicConfig{}
}

// expireLater forgets producers from time to time (remove-expired-producer-ids).
func (n *node) expireLater() {
	n.after(n.c.cfg.Check, func() {
		n.expire()
		n.expireLater()
	})
}

func (n *node) expire() {
	for _, r := range n.order {
		r.expire()
	}
}

// Kill ends a broker's process at once (SIGKILL). Its log is in the page cache and survives.
func (c *Cluster) Kill(id int32) {
	n := c.nodes[id]
	if !n.alive {
		return
	}
	c.logf("broker %d: killed", id)
	n.unclean = true
	n.stop()
	c.expireSession(n)
}

// Shutdown ends a broker in order (SIGTERM): leaderships move first, producer state is kept in a snapshot.
func (c *Cluster) Shutdown(id int32) {
	n := c.nodes[id]
	if !n.alive {
		return
	}
	c.logf("broker %d: shuts down", id)
	n.leaving = true
	c.leaves(id)
	life := n.life
	c.agenda.After(2*c.cfg.Learn+1, func() {
		if n.life == life && n.alive && n.leaving {
			n.unclean = false
			n.stop()
			n.registered, n.leaving = false, false
		}
	})
}

func (n *node) stop() {
	n.alive, n.paused, n.backlog = false, false, nil
	n.life++
	for _, k := range slices.Clone(n.conns) {
		k.lost()
	}
	for _, r := range n.order {
		r.halt()
	}
}

// expireSession has the controller notice in time that a broker is not heard of.
func (c *Cluster) expireSession(n *node) {
	life := n.life
	c.agenda.After(c.cfg.Session, func() {
		if n.life == life && n.registered && (!n.alive || n.paused || n.cutOff) {
			n.registered = false
			c.fence(n.id)
		}
	})
}

// Start starts a broker that is down, on its old log.
func (c *Cluster) Start(id int32) {
	n := c.nodes[id]
	if n.alive {
		return
	}
	c.logf("broker %d: starts", id)
	n.life++
	n.alive, n.leaving = true, false
	for _, r := range n.order {
		r.load(!n.unclean)
	}
	if n.registered { // a new incarnation ends the former one's session
		n.registered = false
		c.fence(n.id)
	}
	n.expireLater()
	unclean := n.unclean
	n.after(c.within(c.cfg.Learn), func() {
		n.learn(len(c.changes))
		for _, r := range n.order {
			if v := n.views[r.topic.name]; r.leader == noLeader && v != nil && v.topic == r.topic {
				r.assume(v.parts[r.number])
			}
		}
		n.registered = true
		c.unfence(id, unclean)
	})
}

// Pause stops a broker's process without ending it (SIGSTOP): connections stay, nothing is answered.
func (c *Cluster) Pause(id int32) {
	n := c.nodes[id]
	if n.alive && !n.paused {
		c.logf("broker %d: paused", id)
		n.paused = true
		c.expireSession(n)
	}
}

// Resume lets a paused broker go on. What had reached it is served now, before it hears what was decided meanwhile.
func (c *Cluster) Resume(id int32) {
	n := c.nodes[id]
	if !n.alive || !n.paused {
		return
	}
	c.logf("broker %d: goes on", id)
	n.paused = false
	backlog := n.backlog
	n.backlog = nil
	for _, do := range backlog {
		do()
	}
	n.comeBack()
}

// CutOff parts a broker from the controller and from the other brokers, but not from clients.
func (c *Cluster) CutOff(id int32, off bool) {
	n := c.nodes[id]
	if n.cutOff == off {
		return
	}
	c.logf("broker %d: cut off: %v", id, off)
	n.cutOff = off
	if off {
		c.expireSession(n)
		return
	}
	if n.alive {
		n.comeBack()
	}
}

// comeBack has a broker hear what it missed, and be heard again.
func (n *node) comeBack() {
	n.after(n.c.within(n.c.cfg.Learn), func() {
		if n.cutOff {
			return
		}
		n.learn(len(n.c.changes))
		if !n.registered {
			n.registered = true
			n.c.unfence(n.id, false)
		}
	})
	for _, r := range n.order {
		r.poke()
		r.pokeFollowers()
	}
}

// Slow keeps a broker's followers from fetching, or lets them: its replicas fall behind.
func (c *Cluster) Slow(id int32, slow bool) {
	n := c.nodes[id]
	if n.slow == slow {
		return
	}
	c.logf("broker %d: followers slow: %v", id, slow)
	n.slow = slow
	if !slow {
		for _, r := range n.order {
			r.poke()
		}
	}
}

// Alive reports whether a broker's process runs.
func (c *Cluster) Alive(id int32) bool { return c.nodes[id].alive }

// Heal starts what is down, resumes what is paused and lets everybody talk to everybody. Denied rights are given
// back, and the weather is fair.
func (c *Cluster) Heal() {
	c.Weather = Weather{}
	clear(c.denied)
	for _, n := range c.nodes {
		c.Slow(n.id, false)
		c.CutOff(n.id, false)
		c.Resume(n.id)
		if n.alive && n.leaving {
			n.leaving = false
			c.unfence(n.id, false)
		}
		c.Start(n.id)
	}
}
