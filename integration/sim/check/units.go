package check

import (
	"fmt"
	"slices"
)

// visible reports whether a reader of committed records sees an entry, now or when its transaction has ended.
func (e *Entry) visible() bool { return e.Of == nil || !e.Of.Aborted }

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
	seen, unseen := -1, -1
	var number int64
	for r := o.First; r < o.First+o.Count; r++ {
		list := standing(f.seen[r])
		switch {
		case f.twice[r], f.undone[r], len(f.seen[r]) != len(list):
			return nil // a disk was put back, or a topic deleted
		case f.hidden[r].of != nil && f.hidden[r].of.Torn:
			return nil
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
		if of != nil && !of.Open && !of.Torn && !slices.ContainsFunc(f.seen[e.Record], func(s sight) bool {
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
