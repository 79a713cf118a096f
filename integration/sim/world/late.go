package world

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// doubleMs is how old, by its timestamps, a batch is of which two copies may be on the way: the margin.
const doubleMs = 20 * 3600_000

// double has a request that was taken arrive once more, later. One that was refused is not doubled: the
// answer to it would not be the answer to all copies, and no connection does that to anybody.
func (l *link) double(s *written, resp kmsg.Response) {
	r, ok := resp.(*kmsg.ProduceResponse)
	if !s.again || !ok {
		return
	}
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			if r.Topics[i].Partitions[j].ErrorCode != 0 {
				return
			}
		}
	}
	l.h.w.count("request doubled")
	l.arriveLate(s, s.againMs, "copy")
}

// arriveLate delivers a request when its sender counts on it no more, to the process that it was for: a connection
// ends with it, and with it all that is on its way.
func (l *link) arriveLate(s *written, ms int64, what string) {
	w, day, msg := l.h.w, l.h.day, s.msg
	to := make([]place, 0, 4)
	for _, b := range s.r.Batches {
		to = append(to, place{b.Lane, b.Partition})
	}
	w.late++
	w.ag.After(ms, func() {
		w.late--
		conn, ok := l.conn.Beside()
		if !ok || l.h.day != day { // what an original has on its way arrives before a copy asks, or never
			return
		}
		if slices.ContainsFunc(to, func(p place) bool { return l.h.aged[p] >= s.at }) {
			return // what followed it was so old that the broker may know the producer no more
		}
		if w.trace.want {
			w.tell("late %s arrives at %d: %s", what, l.broker, describeMessage(msg))
		}
		conn.Receive(msg, func(kmsg.Response) {})
		conn.Close(true)
	})
}

// scatter decides what becomes of the requests of a connection that ends, and says how many of the last never left.
func (l *link) scatter(alive bool) (unwritten int) {
	h, w := l.h, l.h.w
	if serve := !w.calm && h.net.IntN(2) == 0; serve {
		l.conn.Close(true)
		h.served = append(h.served, l.conn)
	} else {
		l.conn.Close(false)
	}
	for i := len(l.waiting) - 1; alive && i >= 0 && !l.waiting[i].arrived && !w.calm && h.net.IntN(3) == 0; i-- {
		unwritten++
	}
	for _, s := range l.waiting[:len(l.waiting)-unwritten] {
		draw, ms := h.net.Float64(), h.net.Int64N(w.plan.ZombieMs+1)
		if s.arrived || !s.acts() || w.calm || draw >= w.plan.Chance.Zombie {
			continue
		}
		w.count("request of a lost connection arrives later")
		l.arriveLate(s, ms, "request")
	}
	return unwritten
}
