package sender

// work is the partitions that have anything to do.
type work struct {
	*call
	active []*partition // in no order that matters
}

// retire drops from active what has nothing to do.
func (w *work) retire() {
	k := 0
	for _, p := range w.active {
		if p.Idle() {
			p.active = false
			continue
		}
		w.active[k] = p
		k++
	}
	clear(w.active[k:])
	w.active = w.active[:k]
}

func (w *work) activate(p *partition) {
	if !p.active {
		p.active, p.since = true, w.now.Age
		w.active = append(w.active, p)
	}
}
