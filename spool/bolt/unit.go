package bolt

import (
	"fmt"
	"slices"

	"github.com/spoold/spoold/spool"
)

// unitTopics are the topics of a batch that is a unit of more than one record, in the order of their
// first records, and how many each has; nil if it needs no mark.
func (b *BatchInput) unitTopics() (topics []string, counts []int) {
	if !b.Unit || len(b.Records) < 2 {
		return nil, nil
	}
	for i := range b.Records {
		topic := b.Records[i].Topic
		n := len(topics)
		if n == 0 || topics[n-1] != topic { // mostly the one before
			if at := slices.Index(topics, topic); at >= 0 {
				counts[at]++
				continue
			}
			topics, counts = append(topics, topic), append(counts, 0)
			n++
		}
		counts[n-1]++
	}
	return topics, counts
}

// unitSize is at most how many bytes the mark takes, in all lanes together.
func (b *BatchInput) unitSize() int {
	topics, _ := b.unitTopics()
	return len(topics) * spool.UnitSize(len(topics))
}

// beginUnit has the entries of b that are appended next marked as a unit. Under mu.
func (s *Store) beginUnit(g *group, b *BatchInput) error {
	topics, counts := b.unitTopics()
	if len(topics) == 0 {
		return nil
	}
	if len(topics) > spool.MaxUnitRuns {
		return fmt.Errorf("%w: a transaction or batch for %d topics, allowed are %d: use more than one", ErrInvalid, len(topics), spool.MaxUnitRuns)
	}
	unit := make([]spool.UnitRun, 0, len(topics))
	for i, topic := range topics {
		l, err := s.lane(g, topic)
		if err != nil {
			return err
		}
		unit = append(unit, spool.UnitRun{Lane: l.id, First: l.end, Count: counts[i]})
	}
	g.unit = unit
	return nil
}

func (g *group) endUnit() { g.unit = nil }

// beginsUnit reports whether the entry that is appended next is the unit's first in its lane.
func (g *group) beginsUnit(l *lane) bool {
	for _, r := range g.unit {
		if r.Lane == l.id {
			return r.First == l.end
		}
	}
	return false
}
