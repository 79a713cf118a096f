package agenda

import "container/heap"

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
	heap.Push(&a.queue, item{at: a.now + max(ms, 0), order: a.order, do: do})
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
	it := heap.Pop(&a.queue).(item)
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

type queue []item

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(item)) }
func (q *queue) Pop() any {
	old := *q
	it := old[len(old)-1]
	old[len(old)-1] = item{}
	*q = old[:len(old)-1]
	return it
}
