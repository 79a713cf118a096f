package broker

import (
	"cmp"
	"slices"
)

// archive is what leaders' log starts have passed, for those who check.
type archive map[replicaKey][]entry

// keep archives the first k batches of a leader's log, as far as they are replicated.
func (a archive) keep(r *replica, k int) {
	key := replicaKey{r.topic.id, r.number}
	for i := range k {
		if r.log[i].end() <= r.hw {
			a[key] = append(a[key], r.log[i])
		}
	}
}

// keepAll archives what any replica of a topic has below the highest high watermark: the topic is deleted.
func (a archive) keepAll(t *topic, nodes []*node) {
	for _, p := range t.parts {
		key := replicaKey{t.id, p.number}
		var best *replica
		for _, n := range nodes {
			if r := n.replicas[key]; r != nil && (best == nil || r.hw > best.hw) {
				best = r
			}
		}
		if best != nil {
			a.keep(best, len(best.log))
		}
	}
}

// whole is a leader's log with what retention has taken. A later leader may have taken the same again.
func (a archive) whole(r *replica) []entry {
	return sorted(append(slices.Clone(a[replicaKey{r.topic.id, r.number}]), r.log...))
}

func sorted(all []entry) []entry {
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.offset, b.offset) })
	return slices.CompactFunc(all, func(a, b entry) bool { return a.offset == b.offset && a.epoch == b.epoch })
}
