package check

import (
	"fmt"
	"slices"
)

// visible reports whether a reader of committed records sees an entry, now or when its transaction has ended. One that was decided
// to be aborted, and whose marker the cluster has lost, stays open where its host has stopped for good.
func (e *Entry) visible() bool { return e.Of == nil || !e.Of.Aborted && !e.Of.dropped() }

// dropped reports whether a transaction was decided to be aborted, and its end is not in the log.
func (t *Transaction) dropped() bool { return t.Open && t.Decided >= 0 && !t.Commit && !t.Torn }

// forgotten reports whether a transaction has ended in a partition that its coordinator did not know of any more: one that begins to
// lead loads its log to the end (TransactionStateManager.loadTransactionMetadata), answers from what is not replicated, and the next
// one may not have that. Whoever wrote the marker that was missing decided.
func (t *Transaction) forgotten() bool { return !t.Open && t.Decided == -1 }

// torn reports whether a record was in a transaction that the cluster itself has committed in some partitions and aborted in others:
// whoever sends all of it again doubles what was committed, and whoever does not loses the rest.
func (f *facts) torn(r int) bool {
	is := func(s sight) bool { return s.of != nil && s.of.Torn }
	return is(f.hidden[r]) || slices.ContainsFunc(f.seen[r], is)
}

// hid reports whether a reader of committed records has never seen an entry, and never will: it was deleted before its transaction
// had ended, alone or with its topic. So it is where something else had ended a committed one with abort, because its marker was lost,
// and the topic went before that could be seen.
func (l *Log) hid(e *Entry) bool {
	return e.Unread || l.Deleted && e.Of != nil && (e.Of.Open || e.Of.Commit && e.Of.Aborted)
}

// committed reports whether the transaction of an entry was committed: as its log has it, or, if that has no end of it, as was decided.
func (e *Entry) committed() bool {
	return e.Of == nil || e.Of.Commit || e.Of.Torn || !e.Of.Open && !e.Of.Aborted
}

// whole: of a unit all records are visible, or none; they are so through one transaction; nothing of it is told or settled as
// delivered before that was decided on; and at the end none is open.
func (f *facts) whole() (out []Violation) {
	for _, what := range f.h.Open {
		out = append(out, broken("P4", "a transaction is open long after the last fault: %s", what))
	}
	for i := range f.h.Ops {
		if f.h.Ops[i].Unit {
			out = append(out, f.divided(i)...)
		}
	}
	return append(out, f.early()...)
}

// divided looks whether a reader sees one part of a unit without another.
func (f *facts) divided(op int) (out []Violation) {
	o := &f.h.Ops[op]
	for r := o.First; r < o.First+o.Count; r++ {
		if f.torn(r) {
			return nil
		}
	}
	seen, unseen := -1, -1
	var number int64
	for r := o.First; r < o.First+o.Count; r++ {
		list := standing(f.seen[r])
		switch {
		case f.twice[r], f.undone[r], len(f.seen[r]) != len(list):
			return nil // a disk was put back, or a topic deleted
		case len(list) == 0:
			unseen = r
			continue
		}
		seen = r
		of := list[0].of
		switch {
		case of == nil:
			return append(out, broken("P4", "%s is in a unit, and in no transaction", f.name(r)))
		case of.Open && f.h.Hosted[o.Host].Stopped: // nobody writes a marker that was lost
			return out
		case of.Open:
			return append(out, broken("P4", "%s: its transaction has not ended", f.name(r)))
		case of.forgotten():
			continue
		case number != 0 && of.Number != number:
			return append(out, broken("P4", "request %d was divided: %s is in transaction %d, what came before in %d", op, f.name(r), of.Number, number))
		}
		number = of.Number
	}
	if seen >= 0 && unseen >= 0 {
		return append(out, broken("P4", "request %d was divided: %s is visible, %s is not", op, f.name(seen), f.name(unseen)))
	}
	return nil
}

// early looks for what was settled, or told as delivered, before its transaction was to be committed.
func (f *facts) early() (out []Violation) {
	for i := range f.h.Events {
		e := &f.h.Events[i]
		if e.Kind != Acked && (e.Kind != Left || e.Outcome != OutcomeAcked) {
			continue
		}
		if r := &f.h.Records[e.Record]; !f.h.Ops[r.Op].Unit || f.twice[e.Record] || len(f.seen[e.Record]) == 0 {
			continue
		}
		of := f.seen[e.Record][0].of
		if of != nil && !of.Open && !of.Torn && !of.forgotten() && !slices.ContainsFunc(f.seen[e.Record], func(s sight) bool {
			return s.of == nil || s.of.Commit && s.of.Decided <= e.At
		}) {
			what := "was settled"
			if e.Kind == Acked {
				what = "was told to be delivered"
			}
			out = append(out, broken("P4", "%s %s at %d ms, and the decision on its transaction %d fell at %d", f.name(e.Record), what, e.At, of.Number, of.Decided))
		}
	}
	return out
}

// behind says where a record is that no reader of committed records sees.
func (f *facts) behind(record int) string {
	at, ok := f.hidden[record]
	if !ok {
		return ""
	}
	return fmt.Sprintf(" but in %s-%d at %d, in transaction %d, which was aborted", at.log.Topic, at.log.Partition, at.offset, at.of.Number)
}
