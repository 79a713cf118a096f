package world

import (
	"math/rand/v2"
	"slices"

	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// A history has at least so much of everything.
const (
	leastRecords = 200
	leastFaults  = 5
)

// Draw makes the plan of a seed: its own size, its own configuration, its own mix of faults (swarm testing: each
// kind is off in about half of the seeds, so that what others would hide is seen).
func Draw(seed uint64) *Plan {
	d := &drawing{Rand: rand.New(rand.NewPCG(seed, 0xd4a3)), allowed: map[string]bool{}}
	p := &Plan{Seed: seed, Whole: true, Brokers: 1 + int32(d.IntN(3)), Chaos: 1200 + d.Int64N(1500), ZombieMs: 20 + d.Int64N(400)}
	d.p = p
	d.cluster()
	d.topics()
	d.hosts()
	d.reals()
	d.copies()
	d.clients()
	d.chances()
	d.faults()
	d.expiry()
	d.lasting()
	d.transactional()
	d.foreignCluster()
	d.small()
	d.staged()
	for _, r := range []string{spool.ParkTopicRecreated, spool.ParkLogWentBack, spool.ParkStateForgotten, spool.ParkTailUnreadable,
		spool.ParkOutsideMargin, spool.ParkOvertaken, spool.ParkRefused, spool.ParkUnexpectedState, spool.ParkOutcomeUnknown} {
		if d.allowed[r] {
			p.Allowed = append(p.Allowed, r)
		}
	}
	return p
}

// expiry has some hosts give records up. It draws from a stream of its own.
func (d *drawing) expiry() {
	x := rand.New(rand.NewPCG(d.p.Seed, 0xe791))
	if d.copied != nil || d.restores || x.IntN(6) != 0 { // what a copy gives up of what the original has sent is not ours to judge
		return
	}
	for i := range d.p.Hosts {
		d.p.Hosts[i].ExpireMs = 30 + x.Int64N(700)
	}
}

type drawing struct {
	*rand.Rand
	p        *Plan
	allowed  map[string]bool
	nights   bool
	restores bool
	copied   *rand.Rand // of seeds that are about a copied disk; nil: it is none of them
	refuses  bool
	storms   []int64 // around which faults gather
}

// one in n.
func (d *drawing) one(n int) bool { return d.IntN(n) == 0 }

func (d *drawing) cluster() {
	p := d.p
	c := &p.Cluster
	if d.one(4) { // Kafka 3.9: no topic ids in Produce, no eligible leader replicas
		c.ProduceMax, c.NoELR = 11, true
	} else {
		c.After = 3600_000
	}
	c.Session, c.Lag = 50+d.Int64N(300), 40+d.Int64N(300)
	c.Fetch, c.Learn, c.Work = 1+d.Int64N(5), 1+d.Int64N(40), 1+d.Int64N(3)
	d.nights = d.one(12)
	if d.one(2) {
		w := &p.Weather
		for _, v := range []*float64{&w.Storage, &w.Corrupt, &w.Unknown, &w.Unavailable, &w.Throttle} {
			if d.one(3) {
				*v = d.Float64() * 0.03
			}
		}
		w.ThrottleMs = 1 + d.Int32N(40)
	}
}

func (d *drawing) topics() {
	p := d.p
	for i := range 1 + d.IntN(3) {
		t := Topic{Name: string(rune('a' + i)), Partitions: 1 + d.IntN(4), Replicas: 1 + d.IntN(int(p.Brokers))}
		if t.Replicas > 1 && d.one(2) {
			t.MinISR = 2
		}
		t.AppendTime, t.Compact, t.Named = d.one(8), d.one(8), d.one(2)
		if d.one(4) {
			t.Refuse = 10 + d.IntN(60)
			d.refuses = true
		}
		t.Late = i > 0 && d.one(6)
		p.Topics = append(p.Topics, t)
	}
}

func (d *drawing) hosts() {
	p := d.p
	for range 1 + d.IntN(3) {
		h := Host{MaxBytes: 64<<10 + d.Int64N(1<<20), MaxKeys: 100_000, SettleMs: 1 + d.Int64N(80), CommitMs: d.Int64N(6)}
		h.Sender = sender.Config{
			BatchSize: 150 + d.IntN(900), BufferMemory: 3000 + d.IntN(40_000), MaxRequestSize: 500 + d.IntN(5000), MaxInFlight: 1 + d.IntN(5),
			LingerMs: d.Int64N(8), RequestTimeoutMs: 120 + d.Int64N(400), RetryBackoffMs: 2 + d.Int64N(20), RetryBackoffMaxMs: 20 + d.Int64N(200),
			MetadataMaxAgeMs: 300 + d.Int64N(3000), AutoCreate: d.one(2), Seed: p.Seed,
		}
		h.Sender.Compressed = p.Seed%3 == 1 // not drawn: the other histories stay what they are
		if d.nights {
			h.Sender.MetadataMaxAgeMs, h.Sender.RetryBackoffMaxMs = 1800_000, 240_000
		}
		if d.one(3) {
			h.Wall = d.Int64N(6*3600_000) - 3*3600_000
		}
		p.Hosts = append(p.Hosts, h)
	}
}

func (d *drawing) clients() {
	p := d.p
	for records := 0; records < leastRecords+70 || len(p.Clients) < len(p.Hosts); {
		c := Client{Host: len(p.Clients) % len(p.Hosts), Kind: ClientKind(1 + d.IntN(4)), Think: 2 + d.Int64N(60), Batch: 1 + d.IntN(8),
			Keys: d.IntN(6), Ops: 10 + d.IntN(40), Pinned: d.one(4)}
		if d.one(6) {
			c.Old = 3600_000 * (1 + d.Int64N(72))
			d.allowed[spool.ParkOutsideMargin], d.allowed[spool.ParkStateForgotten] = true, true
		}
		if d.copied != nil { // a key would lead the copy to where the original was
			c.Keys = 0
		}
		p.Clients = append(p.Clients, c)
		records += c.Ops * (c.Batch + 1) / 2
	}
}

func (d *drawing) chances() {
	c := &d.p.Chance
	draw := func(v *float64, most float64) {
		if d.one(2) {
			*v = most * d.Float64()
		}
	}
	draw(&c.LoseAnswer, 0.08)
	draw(&c.LoseRequest, 0.06)
	draw(&c.Twice, 0.1)
	draw(&c.Hold, 0.05)
	draw(&c.Zombie, 1)
	draw(&c.LoseReply, 0.15)
	draw(&c.Impatient, 0.15)
}

// menu is what faults a seed draws from: how often in a run at most, and how long.
var menu = []struct {
	kind  FaultKind
	most  int
	ms    int64
	group int // 0 hosts, 1 network, 2 brokers, 3 topics
}{
	{KillHost, 6, 200, 0}, {PowerCut, 3, 400, 0}, {StopHost, 2, 200, 0}, {PauseHost, 3, 500, 0}, {ClockJump, 2, 3 * 3600_000, 0},
	{DiskSlow, 2, 400, 0}, {DiskFull, 2, 400, 0}, {DiskNoSpace, 2, 0, 0}, {DiskError, 2, 0, 0}, {Restore, 1, 300, 0}, {Foreign, 1, 0, 0},
	{Cut, 8, 0, 1}, {Hang, 4, 600, 1}, {Apart, 3, 500, 1},
	{KillBroker, 5, 500, 2}, {StopBroker, 3, 400, 2}, {PauseBroker, 3, 600, 2}, {CutOff, 2, 700, 2}, {SlowBroker, 3, 700, 2}, {Rolling, 1, 300, 2},
	{MoveLeader, 6, 0, 3}, {Grow, 2, 0, 3}, {Retain, 3, 0, 3}, {Recreate, 1, 100, 3}, {LowerMax, 2, 400, 3}, {Policy, 3, 250, 3}, {Deny, 2, 300, 3},
}

// Kinds are all kinds of faults that are drawn.
func Kinds() []string {
	out := []string{string(Night), string(Rival), string(ForeignCluster)}
	for i := range menu {
		out = append(out, string(menu[i].kind))
	}
	for _, k := range lastingKinds {
		out = append(out, string(k))
	}
	return out
}

func (d *drawing) faults() {
	p := d.p
	for d.one(2) || len(d.storms) > 0 && len(d.storms) < 3 {
		d.storms = append(d.storms, d.Int64N(p.Chaos-50))
		if len(d.storms) == 4 {
			break
		}
	}
	for i := range menu {
		m := &menu[i]
		switch {
		case m.kind == Restore && d.copied != nil:
		case m.kind == Recreate && d.copied != nil:
			continue
		case !d.one(2), m.kind == Foreign && !d.one(3):
			continue
		case m.kind == Restore && (!d.one(3) || d.nights): // after a night no broker has the producer id any more
			continue
		case m.kind == Recreate && (!d.one(5) || d.restores): // what a copy does to a topic that is another one is not promised
			continue
		}
		if m.kind == Restore { // the original may have cut in two what the copy holds in doubt as one
			d.restores, d.allowed[spool.ParkUnexpectedState] = true, true
		}
		for range 1 + d.IntN(m.most) {
			d.fault(m.kind, m.ms, m.group)
		}
		if m.kind == Restore {
			d.slowLeaders(&p.Faults[len(p.Faults)-1])
		}
	}
	if d.nights {
		hours := []int64{1, 19, 21, 25, 30, 49}
		at := 200 + d.Int64N(p.Chaos-200)
		if d.one(3) { // and nobody may ask what became of what was on its way
			t := &p.Topics[d.IntN(len(p.Topics))]
			p.Faults = append(p.Faults, Fault{At: at - 100, Kind: Deny, B: int32(broker.Read), D: 2 * 49 * 3600_000, Name: t.Name})
			d.allowed[spool.ParkTailUnreadable], d.allowed[spool.ParkUnexpectedState] = true, true
		}
		night := hours[d.IntN(len(hours))]*3600_000 + d.Int64N(600_000)
		if d.one(2) { // and some hosts are away all that time, with requests on their way
			for i := range p.Hosts {
				p.Faults = append(p.Faults, Fault{At: at - 1 - d.Int64N(60), Kind: Apart, A: int32(i), D: night - d.Int64N(600_000)})
			}
		}
		p.Faults = append(p.Faults, Fault{At: at, Kind: Night, D: night})
		d.allowed[spool.ParkOutsideMargin], d.allowed[spool.ParkStateForgotten] = true, true
	}
	if d.refuses {
		d.allowed[spool.ParkRefused] = true
	}
	// At least so many, and a kill.
	for n := 0; n < leastFaults || len(p.Faults) < leastFaults+1; n++ {
		if n == 0 {
			d.fault(KillHost, 200, 0)
		} else {
			d.fault(Cut, 0, 1)
		}
	}
	d.blind()
}

// blind takes from the plan what nobody could notice: a broker that starts with an emptied log has forgotten its
// producers, and who may not ask takes it that a copy which is accepted is the first one.
func (d *drawing) blind() {
	p := d.p
	for i := range p.Faults {
		if f := &p.Faults[i]; f.Kind == Retain && slices.ContainsFunc(p.Faults, func(x Fault) bool {
			return x.Kind == Deny && x.B == int32(broker.Read) && x.Name == f.Name
		}) {
			*f = Fault{At: f.At, Kind: Cut, B: f.A, D: 1}
		}
	}
}

// when is the time of a fault: anywhere, or, in half of the seeds, near a few others, so that one meets what another has
// begun.
func (d *drawing) when() int64 {
	const near = 60
	most := d.p.Chaos - 50
	if len(d.storms) == 0 {
		return 50 + d.Int64N(most)
	}
	return 50 + min(d.storms[d.IntN(len(d.storms))]+d.Int64N(near), most-1)
}

func (d *drawing) fault(kind FaultKind, ms int64, group int) {
	p := d.p
	f := Fault{At: d.when(), Kind: kind, D: 1}
	if ms > 0 {
		f.D = 1 + d.Int64N(ms)
	}
	t := &p.Topics[d.IntN(len(p.Topics))]
	switch group {
	case 0:
		f.A = d.Int32N(int32(len(p.Hosts)))
		if kind == ClockJump && d.one(2) {
			f.D = -f.D
		}
	case 1:
		f.A, f.B = d.Int32N(int32(len(p.Hosts))), d.Int32N(p.Brokers)
	case 2:
		f.A = d.Int32N(p.Brokers)
	case 3:
		f.Name, f.A, f.B = t.Name, d.Int32N(p.Brokers), d.Int32N(int32(t.Partitions))
		d.topicFault(&f, t)
	}
	p.Faults = append(p.Faults, f)
}

func (d *drawing) topicFault(f *Fault, t *Topic) {
	switch f.Kind {
	case Grow:
		f.B = int32(t.Partitions + 1 + d.IntN(3))
	case Retain:
		f.D = d.Int64N(40) // how much is kept
		d.allowed[spool.ParkTailUnreadable] = true
		d.allowed[spool.ParkStateForgotten] = true // a broker that starts with an emptied log has no producer
	case Recreate:
		d.allowed[spool.ParkTopicRecreated] = true
		// Questions go by name: asked before metadata shows it, the new topic has nothing of what the former one acked.
		d.allowed[spool.ParkStateForgotten] = true
		// By name, the new topic takes what was meant for the former; and a broker that does not have it yet may send a spool
		// that has where the former one ends.
		d.allowed[spool.ParkLogWentBack] = true
	case LowerMax:
		f.B = int32(120 + d.IntN(300))
		d.refuses = true
	case Policy:
		d.refuses = true
	case Deny:
		rights := []broker.Right{broker.Write, broker.Read, broker.Describe, broker.Idempotent, broker.Configs}
		r := rights[d.IntN(len(rights))]
		f.B = int32(r)
		if r == broker.Idempotent || r == broker.Configs {
			f.Name = ""
		}
		if r == broker.Read && d.restores { // who may not ask does not notice a copy
			f.B, r = int32(broker.Write), broker.Write
		}
		if r == broker.Read {
			d.allowed[spool.ParkTailUnreadable], d.allowed[spool.ParkUnexpectedState] = true, true
		}
	}
}

// saves: a disk is copied some time before it is put back.
func (w *World) saves() {
	for i := range w.plan.Faults {
		if f := &w.plan.Faults[i]; f.Kind == Restore && int(f.A) < len(w.hosts) {
			w.ag.After(max(f.At-f.D, 0), w.hosts[f.A].save)
		}
	}
}
