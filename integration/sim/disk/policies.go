package disk

import (
	"fmt"
	"maps"
	"slices"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Policies say what a spool's records may take by themselves.
type Policies struct {
	Quota     bolt.Quota // of each topic; the zero value: none
	DeadBytes int64      // what dead letters may take; 0: a quarter of the limit
	DeadBlock bool       // above it none is dropped, and none is made
}

// options puts the policies into those of a store.
func (p *Policies) options(o *bolt.Options) {
	o.DeadBytes, o.DeadBlock = p.DeadBytes, p.DeadBlock
	if p.Quota.Bytes > 0 {
		o.Quota = func(string) bolt.Quota { return p.Quota }
	}
}

// Crowded are lanes that came near their quota since the last call.
func (a *Alone) Crowded() []spool.LaneID { return a.real.life.store.TakeCrowded() }

// Excess is one above the last entry, from index from on, that is to be dropped for the lane's quota; 0: none is.
func (a *Alone) Excess(lane spool.LaneID, from spool.Index) spool.Index {
	return a.real.life.store.Excess(lane, from)
}

// DeadFull reports whether there is to be no further dead letter.
func (a *Alone) DeadFull() bool { return a.real.life.deadFull }

// ClearDead is an operator who drops all dead letters. No commit may be under way, and the open group must be empty.
func (a *Alone) ClearDead() {
	defer unfit()
	l := a.real.life
	n := len(l.store.DeadLetters(bolt.DeadFilter{}, -1))
	if n == 0 || l.busy || l.filling {
		return
	}
	if _, err := l.store.DropDead(over, bolt.DeadFilter{}, bolt.Drop{}); err == nil {
		panic("disk: dead letters are gone before a commit")
	}
	a.look()
	a.real.dropped += n
	a.real.dir.came["dead letters dropped by the operator"] += n
	a.stats = l.store.Stats()
}

// Overdrawn says what takes more than it may, or is not counted; or "".
func (a *Alone) Overdrawn() string {
	store := a.real.life.store
	quotas := store.Quotas()
	for _, topic := range slices.Sorted(maps.Keys(quotas)) {
		if q := quotas[topic]; q.Taken > q.Bytes || q.Taken < 0 {
			return fmt.Sprintf("records of topic %s take %d bytes of at most %d", topic, q.Taken, q.Bytes)
		}
	}
	if gone := len(a.dead) - a.stats.DeadLetters; gone != a.real.dropped {
		return fmt.Sprintf("%d of %d dead letters are gone, and %d were counted as dropped", gone, len(a.dead), a.real.dropped)
	}
	if p := a.real.rules.DeadBytes; p > 0 && !a.real.rules.DeadBlock {
		sum := int64(0)
		for _, d := range store.DeadLetters(bolt.DeadFilter{}, -1) {
			sum += d.Bytes
		}
		if sum > p {
			return fmt.Sprintf("dead letters take %d bytes of at most %d", sum, p)
		}
	}
	return ""
}

// Untaken says which topic's quota is taken although nothing waits, or "".
func (a *Alone) Untaken() string {
	quotas := a.real.life.store.Quotas()
	for _, topic := range slices.Sorted(maps.Keys(quotas)) {
		if q := quotas[topic]; q.Taken != 0 {
			return fmt.Sprintf("records of topic %s take %d bytes of its quota, and none is there", topic, q.Taken)
		}
	}
	return ""
}
