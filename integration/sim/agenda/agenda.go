package agenda

// Agenda is a queue of things to be done. The zero value begins at time 0.
type Agenda struct {
	now   int64
	order uint64
	queue queue
}

// Now is the time, in ms.
func (a *Agenda) Now() int64 { return a.now }

// Set begins at a time; nothing may have been put in.
func (a *Agenda) Set(now int64) { a.now = now }

// After has do done ms from now; at the earliest when Step is called next.
func (a *Agenda) After(ms int64, do func()) {
	a.order++
	a.queue.push(item{at: a.now + max(ms, 0), order: a.order, do: do})
}

// Next is the time of the next thing. false: there is none.
func (a *Agenda) Next() (int64, bool) {
	if len(a.queue) == 0 {
		return 0, false
	}
	return a.queue[0].at, true
}

// Step does the next thing, at its time. false: there is none.
func (a *Agenda) Step() bool {
	if len(a.queue) == 0 {
		return false
	}
	it := a.queue.pop()
	a.now = max(a.now, it.at)
	it.do()
	return true
}

// Run does what is due until a time, which it then is.
func (a *Agenda) Run(until int64) {
	for len(a.queue) > 0 && a.queue[0].at <= until {
		a.Step()
	}
	a.now = max(a.now, until)
}

// Pass lets time go by without anything being done: what was due meanwhile is late.
func (a *Agenda) Pass(ms int64) { a.now += ms }

type item struct {
	at    int64
	order uint64
	do    func()
}

func (a item) before(b item) bool { return a.at < b.at || a.at == b.at && a.order < b.order }

// queue is a heap. container/heap would make two allocations for each item, which is a fifth of a run.
type queue []item

func (q *queue) push(it item) {
	*q = append(*q, it)
	h := *q
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if !h[i].before(h[up]) {
			return
		}
		h[i], h[up] = h[up], h[i]
		i = up
	}
}

func (q *queue) pop() item {
	h := *q
	first, last := h[0], len(h)-1
	h[0], h[last] = h[last], item{}
	h = h[:last]
	*q = h
	for i := 0; ; {
		k := 2*i + 1
		if k >= last {
			return first
		}
		if k+1 < last && h[k+1].before(h[k]) {
			k++
		}
		if !h[k].before(h[i]) {
			return first
		}
		h[i], h[k] = h[k], h[i]
		i = k
	}
}
