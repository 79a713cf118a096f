package transaction

import (
	"slices"

	"github.com/spoold/spoold/sender/cluster"
	"github.com/spoold/spoold/txn"
)

// A broker that is apart from the others takes itself for the coordinator of our group still, and does not have what was committed
// since. So another broker is asked, too. Where it names another one, both say what they have: progress goes on and never back, so the
// one that has more knows.

// checks is how far that has come.
type checks struct {
	sure     int32 // the coordinator that another broker was asked about
	second   int32 // the one that it has named instead; -1: none
	first    []txn.Progress
	checking bool  // another broker is being asked
	unsureAt int64 // Age since which none could be asked; 0: none was needed yet
}

var unchecked = checks{sure: -1, second: -1}

// nobody: the coordinators are looked up again.
func (b *beginning) nobody() {
	b.group, b.owner = -1, -1
	b.checks = checks{sure: -1, second: -1, unsureAt: b.unsureAt}
}

// sureOfGroup reports whether another broker was asked who coordinates our group, and asks one if not. Where no other can be reached
// within request.timeout.ms it is enough that this one says so.
func (s *starter) sureOfGroup() bool {
	b := &s.begun
	if b.sure == b.group {
		return true
	}
	if b.unsureAt == 0 {
		b.unsureAt = s.now.Age
	}
	other, others := cluster.Other(s.view, b.group)
	switch {
	case !others || other == nil && s.now.Age-b.unsureAt >= s.cfg.RequestTimeoutMs:
		b.sure = b.group
		return true
	case other == nil:
		s.lookAgain("no other broker can be asked who coordinates group " + txn.GroupID(s.known.ID))
	default:
		b.checking = true
		s.askCoordinator(other.ID, txn.GroupID(s.known.ID), 0)
	}
	return false
}

// named takes who coordinates our group.
func (b *beginning) named(node int32) {
	if !b.checking {
		b.group = node
		return
	}
	b.checking, b.sure = false, b.group
	if node != b.group {
		b.second = node
	}
}

// allProgress adds what the first coordinator has said to what the second says; nil: the second is to be asked.
func (s *starter) allProgress(list []txn.Progress) []txn.Progress {
	b := &s.begun
	all := append(b.first[:len(b.first):len(b.first)], list...)
	if b.second >= 0 {
		b.first = slices.DeleteFunc(all, func(p txn.Progress) bool { return p.Unstable }) // it may be so for ever there
		b.group, b.sure, b.second = b.second, b.second, -1
		s.starting()
		return nil
	}
	if all == nil {
		all = []txn.Progress{}
	}
	return all
}
