package world

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/spoold/spoold/integration/sim/agenda"
	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/integration/sim/disk"
	"github.com/spoold/spoold/protocol"
)

// epoch is when every run begins, ms since 1970.
const epoch = 1_700_000_000_000

// Streams of chance: each concern has its own, so that one draw more in one place shifts nothing elsewhere.
const (
	streamNet uint64 = iota + 1
	streamClient
	streamDisk
	streamCluster
	streamOther
)

// World is one run.
type World struct {
	plan     *Plan
	ag       agenda.Agenda
	cluster  *broker.Cluster
	other    *broker.Cluster // another one, where Foreign leads
	hosts    []*host
	clients  []*client
	hist     check.History
	counts   map[string]int // faults that came to pass, by kind
	missed   *Fault         // a kill that met a host which was down
	trace    trace
	calm     bool  // healed: nothing goes wrong any more
	night    int64 // clients sleep until then
	late     int   // requests on their way on no connection
	spooled  int   // records
	steps    int
	resolved int
	halves   map[int64]bool // see halved
	stage    *Stage         // nil: it is drawn what happens
}

// Result is what came of a run.
type Result struct {
	Violations []check.Violation
	Records    int // that were spooled
	Faults     map[string]int
	Kills      int // ends of processes by kill or power cut
	Steps      int
	Trace      uint64
	Tail       []string
	Parks      map[string]int
	Resolved   int
	Ms         int64          // of simulated time
	Disk       map[string]int // what came to pass in the files of hosts that have spool/bolt
}

// Whole reports whether a run is long enough to be counted: so many records, faults and kills.
func (r *Result) Whole() bool {
	n := 0
	for _, k := range r.Faults {
		n += k
	}
	return r.Records >= leastRecords && n >= leastFaults && r.Kills > 0
}

// Run carries a plan out. A run that breaks a law is made again, for its trace.
func Run(p *Plan) *Result {
	r := run(p, false, nil)
	if len(r.Violations) == 0 {
		return r
	}
	again := run(p, true, nil)
	if again.Trace != r.Trace {
		again.Violations = append(again.Violations, check.Violation{Law: "simulator", Text: "the same plan took another way the second time"})
	}
	return again
}

// book is the memory that a history is written into. To make it anew for each of so many runs would take a while.
type book struct {
	events  []check.Event
	records []check.Record
}

var books = sync.Pool{New: func() any { return &book{events: make([]check.Event, 0, 4096), records: make([]check.Record, 0, 512)} }}

// RunTraced is Run, with every line of the trace reported.
func RunTraced(p *Plan, tell func(line string)) *Result { return run(p, true, tell) }

func run(p *Plan, traced bool, tell func(line string)) (r *Result) {
	w := &World{plan: p, counts: map[string]int{}}
	w.trace.want, w.trace.all = traced, tell != nil
	b := books.Get().(*book)
	w.hist.Events, w.hist.Records = b.events[:0], b.records[:0]
	defer func() {
		b.events, b.records = w.hist.Events, w.hist.Records
		books.Put(b)
		for _, h := range w.hosts {
			h.disk.Close()
		}
		if tell != nil {
			for _, l := range w.trace.lines {
				tell(l)
			}
		}
	}()
	defer func() {
		bug := recover()
		if d, ok := bug.(*disk.Difference); ok {
			r = w.result([]check.Violation{{Law: "disk", Text: d.Error()}})
			r.Tail = append(r.Tail, stack())
		} else if bug != nil {
			w.hist.Events = append(w.hist.Events, check.Event{At: w.ms(), Kind: check.Ended, Result: check.Bug, Text: fmt.Sprint(bug)})
			r = w.result([]check.Violation{{Law: "P10", Text: fmt.Sprintf("panic: %v", bug)}})
			r.Tail = append(r.Tail, stack())
		}
	}()
	w.build()
	w.chaos()
	w.heal()
	v := w.judge()
	if w.steps >= mostSteps {
		v = append(v[:0], check.Violation{Law: "P9", Text: fmt.Sprintf("no end after %d steps, at %d ms: somebody goes round in circles", w.steps, w.ms())})
	}
	return w.result(v)
}

func (w *World) build() {
	p := w.plan
	w.ag.Set(epoch)
	cfg := p.Cluster
	cfg.Brokers, cfg.Seed = p.Brokers, p.Seed*8+streamCluster
	w.cluster = broker.New(cfg, &w.ag)
	w.cluster.Weather = p.Weather
	if w.trace.want {
		w.cluster.Tell = w.tell
	}
	w.hist.Inputs = map[int]*check.Input{}
	w.hist.Counts, w.hist.Reborn = map[string][]int32{}, map[string]bool{}
	w.hist.Hash = protocol.Murmur2
	for i := range p.Topics {
		if t := &p.Topics[i]; !t.Late {
			w.create(t)
		} else {
			w.ag.After(p.Chaos/2, func() { w.create(t) })
		}
	}
	for i := range p.Hosts {
		h := newHost(w, i)
		w.hosts = append(w.hosts, h)
		h.start()
	}
	w.hist.Hosts = len(w.hosts)
	for i := range p.Clients {
		w.clients = append(w.clients, newClient(w, i))
	}
	for i := range p.Lasting {
		p.Lasting[i].begin(w)
	}
	w.saves()
	for i := range p.Faults {
		f := &p.Faults[i]
		w.ag.After(f.At, func() { w.fault(f) })
	}
}

func (w *World) create(t *Topic) {
	if w.cluster.Exists(t.Name) {
		return
	}
	w.cluster.CreateTopic(t.Name, t.Partitions, t.Replicas, t.config())
	w.hist.Counts[t.Name] = append(w.hist.Counts[t.Name], int32(t.Partitions))
}

func (t *Topic) config() broker.TopicConfig {
	c := t.Settings
	c.MinISR, c.AppendTime, c.Compact, c.Named = t.MinISR, t.AppendTime, t.Compact, t.Named || c.Named
	if t.Refuse > 0 {
		c.Refuse = func(value []byte) bool {
			n := numberOf(value)
			return n >= 0 && n%t.Refuse == t.Refuse-1
		}
	}
	return c
}

// stream is a source of chance for one concern of one thing.
func (w *World) stream(concern uint64, which int) *rand.Rand {
	return rand.New(rand.NewPCG(w.plan.Seed, concern<<32|uint64(which)))
}

// ms is the time since the beginning.
func (w *World) ms() int64 { return w.ag.Now() - epoch }

func (w *World) tell(format string, args ...any) { w.trace.add(w.ms(), format, args...) }

func (w *World) event(e check.Event) {
	e.At = w.ms()
	w.trace.mix(e.At, int64(e.Kind), int64(e.Host), int64(e.Op), int64(e.Record), int64(e.Index), e.Offset, int64(e.Result), int64(e.N))
	w.hist.Events = append(w.hist.Events, e)
	if e.Kind == check.Durable {
		w.spooled++
	}
}

func (w *World) count(kind string) { w.counts[kind]++ }

// chaos runs until everything is to heal, or to the end of a night.
func (w *World) chaos() {
	for w.ms() < w.plan.Chaos || w.ag.Now() < w.night || w.lacking() {
		if !w.step() {
			return
		}
	}
	w.amends()
}

// lacking reports whether there are too few records yet, and clients with more.
func (w *World) lacking() bool {
	return w.plan.Whole && w.spooled < leastRecords && w.ms() < 2*w.plan.Chaos && !w.clientsDone()
}

// mostSteps is hundreds of times what a run takes; a night in which a coordinator cannot be reached takes a million.
const mostSteps = 3_000_000

// step does the next thing. false: there is none, or somebody goes round in circles.
func (w *World) step() bool {
	w.steps++
	return w.steps < mostSteps && w.ag.Step()
}

// until runs on until something is so, at most for so long.
func (w *World) until(ms int64, so func() bool) bool {
	for end := w.ag.Now() + ms; w.ag.Now() < end; {
		if so() {
			return true
		}
		for range 20 {
			if !w.step() {
				return so()
			}
		}
	}
	return so()
}

func (w *World) result(v []check.Violation) *Result {
	r := &Result{Violations: v, Records: w.spooled, Kills: w.kills(), Faults: w.counts, Steps: w.steps, Trace: w.trace.sum, Tail: w.trace.tail(50), Ms: w.ms(), Resolved: w.resolved, Parks: map[string]int{}, Disk: map[string]int{}}
	for _, h := range w.hosts {
		if d, ok := h.disk.(interface{ Came() map[string]int }); ok {
			for what, n := range d.Came() {
				r.Disk[what] += n
			}
		}
	}
	for _, p := range w.hist.Parks {
		r.Parks[p.Reason]++
	}
	return r
}
