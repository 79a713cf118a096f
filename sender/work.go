package sender

import "container/heap"

// work is the partitions that have anything to do, and those of them that a call of the core has to look at: a call
// costs what it changes.
type work struct {
	*call
	active []*partition // in no order that matters; active[k].place is k
	// touched are those that something happened to since they were looked at.
	touched []*partition
	// all: something happened that any of them may wait for, so all are looked at. allNext: in the next call.
	all, allNext bool
	// reachAt is the Age at which the view of the cluster has to be asked again for ways to leaders; 0: no need.
	reachAt int64
	due     dueHeap // by the Age at which they are to be looked at
}

// beginWork has the partitions looked at whose time has come.
func (w *work) beginWork() {
	w.all = w.all || w.allNext || w.reachAt != 0 && w.now.Age >= w.reachAt
	w.allNext = false
	for len(w.due) > 0 && w.due[0].dueAt <= w.now.Age {
		w.touch(w.due[0])
		w.setDue(w.due[0], 0)
	}
}

// activate has p looked at, now and until it has nothing to do.
func (w *work) activate(p *partition) {
	if !p.active {
		p.active, p.since, p.place = true, w.now.Age, len(w.active)
		w.active = append(w.active, p)
	}
	w.touch(p)
}

// touch has p looked at in this call, if it has anything to do.
func (w *work) touch(p *partition) {
	if p.active && !p.touched {
		p.touched = true
		w.touched = append(w.touched, p)
	}
}

// touchAll has all partitions looked at if something happened that any of them may wait for.
func (w *work) touchAll() {
	if !w.all {
		return
	}
	w.all, w.reachAt = false, 0
	for _, p := range w.active {
		w.touch(p)
	}
}

// reachAgain has all partitions looked at again at Age at, if it is not 0: there may be ways to leaders then.
func (w *work) reachAgain(at int64) {
	if at != 0 && (w.reachAt == 0 || at < w.reachAt) {
		w.reachAt = at
	}
}

// retire ends the look at the partitions that were touched, and drops from active what has nothing to do.
func (w *work) retire() {
	for _, p := range w.touched {
		p.touched = false
		if !p.Idle() {
			continue
		}
		last := w.active[len(w.active)-1]
		w.active[p.place], last.place = last, p.place
		w.active[len(w.active)-1] = nil
		w.active = w.active[:len(w.active)-1]
		p.active = false
		w.setDue(p, 0)
	}
	clear(w.touched)
	w.touched = w.touched[:0]
	if len(w.due) > 0 {
		w.wake(w.due[0].dueAt)
	}
	if w.reachAt != 0 {
		w.wake(w.reachAt)
	}
}

// setDue has p looked at again at Age at, and not before for this reason; 0: no need.
func (w *work) setDue(p *partition, at int64) {
	switch listed := p.dueAt != 0; {
	case p.dueAt == at:
	case at == 0:
		heap.Remove(&w.due, p.heapPlace)
		p.dueAt = 0
	case listed:
		p.dueAt = at
		heap.Fix(&w.due, p.heapPlace)
	default:
		p.dueAt = at
		heap.Push(&w.due, p)
	}
}

// dueHeap is ordered by dueAt; the place of a partition in it is heapPlace.
type dueHeap []*partition

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].dueAt < h[j].dueAt }
func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapPlace, h[j].heapPlace = i, j
}

// Push is heap.Interface's.
func (h *dueHeap) Push(x any) {
	p := x.(*partition)
	p.heapPlace = len(*h)
	*h = append(*h, p)
}

// Pop is heap.Interface's.
func (h *dueHeap) Pop() any {
	n := len(*h) - 1
	p := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	return p
}
