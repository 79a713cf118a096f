package agenda

// Agenda is a queue of things to be done. The zero value begins at time 0.
type Agenda struct {
	now   int64
	order uint64
	queue []item // a binary heap: queue[0] is next
}

// Now is the time, in ms.
func (a *Agenda) Now() int64 { return a.now }

// Set begins at a time; nothing may have been put in.
func (a *Agenda) Set(now int64) { a.now = now }

// After has do done ms from now; at the earliest when Step is called next.
func (a *Agenda) After(ms int64, do func()) {
	a.order++
	a.push(item{at: a.now + max(ms, 0), order: a.order, do: do})
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
	it := a.pop()
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

func (a *item) before(b *item) bool { return a.at < b.at || a.at == b.at && a.order < b.order }

// push and pop are container/heap's, without an allocation for each item.
func (a *Agenda) push(it item) {
	q := append(a.queue, it)
	i := len(q) - 1
	for i > 0 {
		parent := (i - 1) / 2
		if !it.before(&q[parent]) {
			break
		}
		q[i] = q[parent]
		i = parent
	}
	q[i] = it
	a.queue = q
}

func (a *Agenda) pop() item {
	q := a.queue
	top, last := q[0], q[len(q)-1]
	q[len(q)-1] = item{}
	q = q[:len(q)-1]
	i := 0
	for {
		child := 2*i + 1
		if child >= len(q) {
			break
		}
		if child+1 < len(q) && q[child+1].before(&q[child]) {
			child++
		}
		if !q[child].before(&last) {
			break
		}
		q[i] = q[child]
		i = child
	}
	if len(q) > 0 {
		q[i] = last
	}
	a.queue = q
	return top
}
