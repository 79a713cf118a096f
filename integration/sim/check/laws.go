package check

import (
	"bytes"
	"fmt"
	"slices"
)

// Laws are the checks, by name.
var Laws = []struct {
	Name  string
	Check func(*facts) []Violation
}{
	{"P1 no loss", (*facts).noLoss},
	{"P2 no duplicate", (*facts).noDuplicate},
	{"P3 order", (*facts).order},
	{"P4 units are whole", (*facts).whole},
	{"P4 offsets go with records", (*facts).processed},
	{"P5 no invention", (*facts).noInvention},
	{"P6 true answers", (*facts).trueAnswers},
	{"P7 one record a key", (*facts).oneRecordAKey},
	{"P8 bounded", (*facts).bounded},
	{"P9 alive", (*facts).alive},
	{"P9 trouble is shown, and is of its topic alone", (*facts).waits},
	{"P10 fail-stop", (*facts).failStop},
	{"P11 copies are noticed", (*facts).copiesAreNoticed},
	{"P12 conservation", (*facts).conservation},
}

// Check says what is wrong with a history: of each law the first few violations.
func Check(h *History) []Violation {
	f := gather(h)
	var out []Violation
	for _, law := range Laws {
		found := law.Check(f)
		out = append(out, found[:min(len(found), 3)]...)
	}
	return out
}

// facts are what the laws look at, gathered once.
type facts struct {
	h       *History
	durable []place       // of each record, where it is on a disk, if it was ever
	outcome []Outcome     // of each record, 0: it has not left
	seen    [][]sight     // of each record, where the logs have it
	hidden  map[int]sight // where they have it in a transaction that was aborted
	undone  []bool        // its disk was put back to a day before it
	// twice: its disk was put back to a day before it, whatever came later. A client may have sent it again then, and
	// a copy may hold it under another number: of these only loss is judged. So it is of those that a copy sends again which
	// said that it could not look whether it is one.
	twice    []bool
	stamps   map[int][]int64 // with which such a record was spooled
	restored []bool          // of each host: its disk was put back at some time, and what it knows of keys with it
}

type place struct {
	ever  bool
	at    int64
	index uint64
	ts    int64
}

type sight struct {
	log    *Log
	offset int64
	of     *Transaction
}

func gather(h *History) *facts {
	n := len(h.Records)
	f := &facts{h: h, durable: make([]place, n), outcome: make([]Outcome, n), seen: make([][]sight, n), undone: make([]bool, n), twice: make([]bool, n), hidden: map[int]sight{}, stamps: map[int][]int64{}, restored: make([]bool, h.Hosts)}
	back := make([]map[int]bool, h.Hosts) // what a copy has before it again
	for i := range back {
		back[i] = map[int]bool{}
	}
	for i := range h.Events {
		e := &h.Events[i]
		switch e.Kind {
		case Durable:
			if f.durable[e.Record].ever && !f.undone[e.Record] {
				continue // P7 speaks of it
			}
			f.durable[e.Record] = place{true, e.At, e.Index, e.Timestamp}
			f.undone[e.Record] = false
		case Undone:
			f.undone[e.Record], f.twice[e.Record] = true, true
			f.stamps[e.Record] = append(f.stamps[e.Record], f.durable[e.Record].ts)
			f.outcome[e.Record] = 0
		case Back:
			f.outcome[e.Record] = 0
			back[e.Host][e.Record] = true
		case Unchecked:
			for r := range back[e.Host] {
				f.twice[r] = true
			}
		case Restored:
			f.restored[e.Host] = true
		case Left:
			f.outcome[e.Record] = e.Outcome
			delete(back[e.Host], e.Record)
		}
	}
	f.look()
	return f
}

// look gathers where the logs have each record. What was deleted before its transaction had ended nobody has seen: it counts, if that
// was committed, where no other copy stands.
func (f *facts) look() {
	unread := map[int]sight{}
	for i := range f.h.Logs {
		l := &f.h.Logs[i]
		for k := range l.Entries {
			e := &l.Entries[k]
			switch at := (sight{l, e.Offset, e.Of}); {
			case e.Record < 0 || e.Record >= len(f.seen):
			case l.hid(e) && e.committed():
				unread[e.Record] = at
			case l.hid(e) || !e.visible():
				f.hidden[e.Record] = at
			default:
				f.seen[e.Record] = append(f.seen[e.Record], at)
			}
		}
	}
	for r, at := range unread {
		if len(standing(f.seen[r])) == 0 {
			f.seen[r] = append(f.seen[r], at)
		}
	}
}

func (f *facts) name(record int) string {
	r := &f.h.Records[record]
	return fmt.Sprintf("record %d (host %d, topic %s)", record, f.h.Ops[r.Op].Host, r.Topic)
}

func broken(law, format string, args ...any) Violation {
	return Violation{law, fmt.Sprintf(format, args...)}
}

func (f *facts) noLoss() (out []Violation) {
	pending, dead := map[int]bool{}, map[int]bool{}
	for _, d := range f.h.Dead {
		dead[d.Record] = true
	}
	for i := range f.h.Hosted {
		for _, r := range f.h.Hosted[i].Pending {
			pending[r] = true
		}
	}
	for r := range f.durable {
		d := &f.durable[r]
		if !d.ever || f.undone[r] {
			continue
		}
		switch {
		case f.outcome[r] == OutcomeAcked && len(f.seen[r]) == 0:
			out = append(out, broken("P1", "%s was settled as acked and is in no log%s", f.name(r), f.behind(r)))
		case f.outcome[r] == OutcomeDead && !dead[r]:
			out = append(out, broken("P1", "%s was settled as dead-lettered and is not among the dead letters", f.name(r)))
		case f.outcome[r] == 0 && !pending[r]:
			out = append(out, broken("P1", "%s was durable, has not left and is not in its spool", f.name(r)))
		}
	}
	return out
}

func (f *facts) noDuplicate() (out []Violation) {
	for r, all := range f.seen {
		if f.twice[r] || f.torn(r) {
			continue
		}
		list := standing(all)
		if len(list) > 1 {
			out = append(out, broken("P2", "%s is in the logs %d times: %s-%d at %d and %s-%d at %d", f.name(r), len(list),
				list[0].log.Topic, list[0].log.Partition, list[0].offset, list[1].log.Topic, list[1].log.Partition, list[1].offset))
		}
		if len(list) > 0 && f.outcome[r] == OutcomeDead {
			out = append(out, broken("P2", "%s was dead-lettered and is in %s-%d at %d", f.name(r), list[0].log.Topic, list[0].log.Partition, list[0].offset))
		}
	}
	return out
}

// standing leaves out topics that were deleted: those took what they held with them.
func standing(all []sight) []sight {
	gone := func(s sight) bool { return s.log.Deleted }
	if !slices.ContainsFunc(all, gone) {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), gone)
}

// order: of one host's records of a topic, those of a partition stand in the order of its spool.
func (f *facts) order() (out []Violation) {
	for i := range f.h.Logs {
		l := &f.h.Logs[i]
		if l.Deleted || f.h.Reborn[l.Topic] {
			continue
		}
		last := make([]int, f.h.Hosts)
		for k := range last {
			last[k] = -1
		}
		for k := range l.Entries {
			r := l.Entries[k].Record
			if !l.Entries[k].visible() || l.Entries[k].Unread || r < 0 || r >= len(f.durable) || !f.durable[r].ever || f.twice[r] || f.torn(r) {
				continue
			}
			host := f.h.Ops[f.h.Records[r].Op].Host
			if p := last[host]; p >= 0 && f.durable[p].index >= f.durable[r].index && p != r {
				out = append(out, broken("P3", "%s-%d: %s, number %d of its spool, stands at %d behind %s, number %d", l.Topic, l.Partition,
					f.name(r), f.durable[r].index, l.Entries[k].Offset, f.name(p), f.durable[p].index))
			}
			last[host] = r
		}
	}
	return out
}

func (f *facts) noInvention() (out []Violation) {
	for i := range f.h.Logs {
		l := &f.h.Logs[i]
		for k := range l.Entries {
			if what := f.invented(l, &l.Entries[k]); what != "" {
				out = append(out, broken("P5", "%s-%d at %d: %s", l.Topic, l.Partition, l.Entries[k].Offset, what))
			}
		}
	}
	return out
}

// invented says what of an entry nobody sent.
func (f *facts) invented(l *Log, e *Entry) string {
	if e.Record < 0 || e.Record >= len(f.h.Records) {
		return fmt.Sprintf("nobody sent key %q value %.40q", e.Key, e.Value)
	}
	r, d := &f.h.Records[e.Record], &f.durable[e.Record]
	switch {
	case !d.ever && !f.h.Ops[r.Op].Online:
		return f.name(e.Record) + " is there and never was on its host's disk"
	case r.Topic != l.Topic:
		return f.name(e.Record) + " was sent to another topic"
	case !same(r.Key, e.Key), !same(r.Value, e.Value), !slices.EqualFunc(r.Headers, e.Headers, func(a, b Header) bool {
		return a.Key == b.Key && same(a.Value, b.Value)
	}):
		return fmt.Sprintf("%s has other bytes: key %q value %.40q headers %q, sent were %q %.40q %q", f.name(e.Record), e.Key, e.Value, e.Headers, r.Key, r.Value, r.Headers)
	case f.h.Ops[r.Op].Online && !e.Appended && e.Timestamp != r.Timestamp:
		return fmt.Sprintf("%s has timestamp %d, sent with %d", f.name(e.Record), e.Timestamp, r.Timestamp)
	case !f.h.Ops[r.Op].Online && !e.Appended && e.Timestamp != d.ts && !slices.Contains(f.stamps[e.Record], e.Timestamp):
		return fmt.Sprintf("%s has timestamp %d, spooled with %d", f.name(e.Record), e.Timestamp, d.ts)
	case !f.h.Ops[r.Op].Online && r.Given && d.ts != r.Timestamp:
		return fmt.Sprintf("%s was spooled with timestamp %d, sent with %d", f.name(e.Record), d.ts, r.Timestamp)
	case r.Partition >= 0 && r.Partition != l.Partition:
		return fmt.Sprintf("%s was sent to partition %d", f.name(e.Record), r.Partition)
	case r.Partition < 0 && r.Key != nil && !f.hashes(r, l.Partition):
		return fmt.Sprintf("%s has key %q, which belongs to no such partition of %v", f.name(e.Record), r.Key, f.h.Counts[r.Topic])
	}
	return ""
}

// hashes reports whether a key belongs to a partition, by any number of partitions that the topic ever had.
func (f *facts) hashes(r *Record, partition int32) bool {
	h := int32(f.h.Hash(r.Key) & 0x7fffffff)
	return slices.ContainsFunc(f.h.Counts[r.Topic], func(n int32) bool { return h%n == partition })
}

// same tells null from empty.
func same(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
