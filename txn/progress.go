package txn

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spoold/spoold/protocol"
)

// Each transaction carries its own number, its ordinal: as a consumer offset that is committed
// inside it, under a group of our own. So that offset shows whether the transaction
// was committed, for as long as the cluster keeps the offset.

// GroupID is the group that a transactional id's progress is kept under.
func GroupID(transactionalID string) string { return "spoold." + transactionalID }

// Progress is one offset of that group.
type Progress struct {
	protocol.TopicPartition
	Ordinal  int64 // -1: none
	Metadata string
	Unstable bool // a transaction that carries it has not ended
}

// Metadata says whose ordinal it is: the spool's id and its incarnation.
func Metadata(spoolID string, incarnation uint64) string {
	return fmt.Sprintf("spoold %s %d", spoolID, incarnation)
}

// spoolOf is the id of the spool that wrote metadata, or "".
func spoolOf(metadata string) string {
	rest, ok := strings.CutPrefix(metadata, "spoold ")
	if !ok {
		return ""
	}
	id, _, ok := strings.Cut(rest, " ")
	if !ok {
		return ""
	}
	return id
}

// Known is what a spool has stored about its own transactions.
type Known struct {
	SpoolID  string
	TookOver string // other spools whose progress is accepted, separated by spaces; AnySpool: all
	Decided  uint64 // ordinal of the last decided transaction; 0: none
	Ended    bool   // its outcome is known
	Key      protocol.TopicPartition
}

// AnySpool stands in Known.TookOver between an operator's take-over and the next look at the progress:
// it accepts whichever spools have used the transactional id until then.
const AnySpool = "*"

// Accept adds spools to a list as Known.TookOver is one.
func Accept(tookOver string, spools ...string) string {
	list := strings.Fields(tookOver)
	for _, id := range spools {
		if id != "" && !slices.Contains(list, id) {
			list = append(list, id)
		}
	}
	return strings.Join(list, " ")
}

// TakenOver puts the spools that have progress in the list in AnySpool's place.
func TakenOver(k Known, list []Progress) string {
	taken := strings.Fields(k.TookOver)
	if !slices.Contains(taken, AnySpool) {
		return k.TookOver // nobody has said so of what may be there now
	}
	tookOver := strings.Join(slices.DeleteFunc(taken, func(id string) bool { return id == AnySpool }), " ")
	for _, p := range list {
		if id := spoolOf(p.Metadata); id != k.SpoolID {
			tookOver = Accept(tookOver, id)
		}
	}
	return tookOver
}

func (k Known) accepts(id string) bool {
	list := strings.Fields(k.TookOver)
	return slices.Contains(list, id) || slices.Contains(list, AnySpool)
}

// Verdict is what progress says.
type Verdict uint8

// Verdicts.
const (
	NothingNew   Verdict = iota // nothing against what the spool has stored
	WasCommitted                // the decided transaction committed
	NotCommitted                // it did not
	Unknown                     // nothing that could show it is left
	Foreign                     // another spool, or another program, has used the transactional id
	Copy                        // this spool did so itself: what we have is an older copy of it
)

// Early judges what was read before anything is sent: it may find that another spool, or a newer
// copy of this one, has used the transactional id. Offsets of transactions that are still open
// are not in it.
func Early(k Known, list []Progress) (v Verdict, why string) {
	v, _, why = judge(k, list)
	return v, why
}

// Owner is the id of the other spool that makes a verdict Foreign, or "".
func Owner(k Known, list []Progress) string {
	_, by, _ := judge(k, list)
	return by
}

func judge(k Known, list []Progress) (v Verdict, by, why string) {
	v = NothingNew
	for _, p := range list {
		if p.Ordinal < 0 || p.Unstable {
			continue
		}
		switch id := spoolOf(p.Metadata); {
		case id == "":
			return Foreign, "", fmt.Sprintf("somebody else committed an offset for %s under group's name, with metadata %.60q", p.TopicPartition, p.Metadata)
		case id != k.SpoolID && k.accepts(id):
		case id != k.SpoolID:
			return Foreign, id, fmt.Sprintf("spool %s has used the transactional id (transaction %d): if that spool is not used any more, spoold txn take-over takes the id for this one", id, p.Ordinal)
		case uint64(p.Ordinal) > k.Decided:
			return Copy, "", fmt.Sprintf("transaction %d of this spool was committed, and the last that this copy knows of is %d", p.Ordinal, k.Decided)
		case uint64(p.Ordinal) == k.Decided && !k.Ended:
			v = WasCommitted
		}
	}
	return v, "", ""
}

// Late judges what was read after InitProducerId, which ends what was open: what became of the
// decided transaction. Only its own key can say that it was not committed, because keys expire
// one by one.
func Late(k Known, list []Progress) (Verdict, string) {
	v, why := Early(k, list)
	if v == Foreign || v == Copy || k.Ended || k.Decided == 0 {
		return v, why
	}
	if v == WasCommitted {
		return v, ""
	}
	for _, p := range list {
		if p.TopicPartition != k.Key {
			continue
		}
		switch {
		case p.Unstable:
			return Unknown, fmt.Sprintf("the progress on %s belongs to a transaction that does not end", p.TopicPartition)
		case p.Ordinal < 0:
		case spoolOf(p.Metadata) != k.SpoolID:
			return Unknown, fmt.Sprintf("the progress on %s is not of this spool", p.TopicPartition)
		default:
			return NotCommitted, ""
		}
	}
	return Unknown, fmt.Sprintf("there is no progress on %s: it has expired, or its group or topic was deleted", k.Key)
}
