package broker

import "slices"

// Kill ends a broker's process at once (SIGKILL). Its log is in the page cache and survives.
func (c *Cluster) Kill(id int32) {
	n := c.nodes[id]
	if !n.alive {
		return
	}
	c.logf("broker %d: killed", id)
	n.unclean = true
	n.stop()
	n.lost = c.now()
	c.controller.expireSession(n)
}

// Shutdown ends a broker in order (SIGTERM): leaderships move first, if the controller can be reached, and producer state is kept in a snapshot. One that
// is paused does so when it goes on.
func (c *Cluster) Shutdown(id int32) {
	n := c.nodes[id]
	if !n.alive || n.leaving {
		return
	}
	if n.paused {
		n.backlog = append(n.backlog, func() { c.Shutdown(id) })
		return
	}
	c.logf("broker %d: shuts down", id)
	n.leaving = true
	if n.registered && !n.cutOff {
		n.withdrawn = true
		c.controller.leaves(id)
	}
	n.after(2*c.cfg.Learn+1, n.end)
}

// end is the end of a controlled shutdown.
func (n *node) end() {
	n.unclean = n.unclean && n.starting // the controller has not received its registration yet
	n.stop()
	if !n.withdrawn {
		n.lost = n.c.now()
		n.c.controller.expireSession(n)
		return
	}
	n.registered, n.withdrawn = false, false
	n.c.controller.publish(change{brokers: n.c.controller.unfenced()}) // fenced, though there may be nothing left to decide
}

func (n *node) stop() {
	n.alive, n.paused, n.leaving, n.backlog = false, false, false, nil
	n.waiting, n.nextExpiry, n.pids = nil, 0, pidBlocks{}
	n.coordinator, n.groups = txnCoordinator{}, groupCoordinator{}
	n.life++
	for _, k := range slices.Clone(n.conns) {
		k.lost()
	}
	for _, r := range n.order {
		r.halt(!n.unclean)
	}
}

// Start starts a broker that is down, on its old log. It listens when it has registered and has what was decided meanwhile
// (BrokerServer.startup).
func (c *Cluster) Start(id int32) {
	n := c.nodes[id]
	if n.alive {
		return
	}
	c.logf("broker %d: starts", id)
	n.life++
	n.alive, n.starting = true, true
	for _, r := range n.order {
		r.load(!n.unclean)
	}
	if n.registered {
		c.controller.expireSessionIn(n, n.lost+c.cfg.Session-c.now()) // the former one's
	}
	n.after(c.cfg.Check, n.lookForExpired)
	n.after(c.within(c.cfg.Learn), n.join)
}

// join registers a broker with the controller, and gives it what it missed.
func (n *node) join() {
	if n.cutOff {
		return // when that ends
	}
	if n.starting {
		if n.registered && !n.withdrawn && !n.c.cfg.Combined {
			return // DuplicateBrokerRegistration, until the former incarnation's session is over
		}
		if n.registered, n.withdrawn = false, false; n.unclean {
			n.c.controller.uncleanShutdown(n.id)
		}
	}
	n.learn(len(n.c.controller.changes))
	if n.starting {
		n.starting = false
		for _, r := range n.order {
			if r.leader == noLeader {
				r.assume(r.view.parts[r.number])
			}
		}
	}
	if !n.registered {
		n.registered = true
		n.c.controller.unfence(n.id)
	}
}

// Pause stops a broker's process without ending it (SIGSTOP): connections stay, nothing is answered.
func (c *Cluster) Pause(id int32) {
	n := c.nodes[id]
	if n.alive && !n.paused {
		c.logf("broker %d: paused", id)
		n.paused = true
		c.controller.expireSession(n)
	}
}

// Resume lets a paused broker go on. What had reached it is served now, before it receives what was decided meanwhile.
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
		n.cuts++
	}
	if off {
		c.controller.expireSession(n)
		return
	}
	if n.alive {
		n.comeBack()
	}
}

// comeBack has a broker go on from which nothing came.
func (n *node) comeBack() {
	n.after(n.c.within(n.c.cfg.Learn), n.join)
	for _, r := range n.order {
		r.poke()
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
		if n.leaving {
			n.end()
		}
		c.Start(n.id)
	}
}
