package accumulator

// Which partition a new sticky run goes to: Kafka's adaptive choice (KIP-794). Each partition is weighted by how much shorter
// its queue is than the longest one; those that cannot be written to, or whose broker has taken nothing for
// Config.AvailabilityMs although something waits for it, are left out.

// leftOut is the queue of a partition that must not be chosen.
const leftOut = -1

// noBroker leads a partition of which no leader is known.
const noBroker = -1

// Pick chooses one of n partitions at random. queue is how many batches wait for a partition, or negative if it is not to be
// chosen. ok is false if none is.
func (a *Accumulator) Pick(n int32, queue func(int32) int) (partition int32, ok bool) {
	a.queues = a.queues[:0]
	for k := range n {
		a.queues = append(a.queues, queue(k))
	}
	a.upTo = frequencies(a.upTo[:0], a.queues, a.cfg.Uniform)
	total := 0
	if n > 0 {
		total = a.upTo[n-1]
	}
	if total == 0 {
		return 0, false
	}
	drawn := a.rng.IntN(total)
	for k := range n {
		if drawn < a.upTo[k] {
			return k, true
		}
	}
	return 0, false
}

// frequencies appends the cumulative frequencies of partitions with such queues: one more than the longest queue is longer
// than their own, or 0 for those left out. uniform: the same for all.
func frequencies(dst, queues []int, uniform bool) []int {
	longest := 0
	for _, q := range queues {
		longest = max(longest, q)
	}
	sum := 0
	for _, q := range queues {
		switch {
		case q < 0:
		case uniform:
			sum++
		default:
			sum += longest + 1 - q
		}
		dst = append(dst, sum)
	}
	return dst
}

// pick is the partition of the next sticky run.
func (l *Lane) pick(a *Accumulator) int32 {
	for _, which := range []func(*Partition) bool{
		func(p *Partition) bool { return !p.blocked && !a.stalled(p.broker) },
		func(p *Partition) bool { return !p.blocked },
		func(*Partition) bool { return true },
	} {
		n, ok := a.Pick(l.count, func(n int32) int {
			if p := l.parts[n]; which(p) {
				return len(p.queue)
			}
			return leftOut
		})
		if ok {
			return n
		}
	}
	return 0
}

// drain is how a broker takes what is ready for it.
type drain struct {
	waiting int   // partitions with a batch that is ready and was not taken
	since   int64 // Age at which one was taken last, or the first of these began to wait, if that was later
}

// stalled reports whether nothing was taken for a broker for too long.
func (a *Accumulator) stalled(broker int32) bool {
	if a.cfg.AvailabilityMs <= 0 {
		return false
	}
	d := a.drains[broker]
	return d != nil && d.waiting > 0 && a.now-d.since > a.cfg.AvailabilityMs
}

// Led says which broker leads p.
func (a *Accumulator) Led(p *Partition, broker int32) {
	if p.broker == broker {
		return
	}
	waits := p.waits
	a.waits(p, false)
	p.broker = broker
	a.waits(p, waits)
}

// waits notes whether p has a batch that is ready.
func (a *Accumulator) waits(p *Partition, waits bool) {
	if p.waits == waits || a.cfg.AvailabilityMs <= 0 {
		return
	}
	p.waits = waits
	d := a.drains[p.broker]
	if d == nil {
		d = &drain{}
		a.drains[p.broker] = d
	}
	if !waits {
		d.waiting--
		return
	}
	if d.waiting == 0 {
		d.since = a.now
	}
	d.waiting++
}

// took notes that a batch of p was taken.
func (a *Accumulator) took(p *Partition) {
	a.waits(p, false)
	if d := a.drains[p.broker]; d != nil {
		d.since = a.now
	}
}
