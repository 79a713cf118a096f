package txn

import (
	"strings"
	"testing"

	"github.com/spoold/spoold/protocol"
)

func TestWhatProgressSaysOfADecidedTransaction(t *testing.T) {
	us, them := Metadata("us", 3), Metadata("them", 1)
	at := func(tp protocol.TopicPartition, ordinal int64, metadata string) Progress {
		return Progress{TopicPartition: tp, Ordinal: ordinal, Metadata: metadata}
	}
	unstable := Progress{TopicPartition: a0, Ordinal: -1, Unstable: true}
	open := Known{SpoolID: "us", Decided: 7, Key: a0}
	ended := Known{SpoolID: "us", Decided: 7, Ended: true, Key: a0}
	tests := []struct {
		name        string
		known       Known
		list        []Progress
		early, late Verdict
	}{
		{"it was committed", open, []Progress{at(a0, 7, us)}, WasCommitted, WasCommitted},
		{"an earlier one was the last", open, []Progress{at(a0, 6, us)}, NothingNew, NotCommitted},
		{"an earlier one, under another key", open, []Progress{at(a1, 6, us)}, NothingNew, Unknown},
		{"committed under another key than was written down", open, []Progress{at(a1, 7, us)}, WasCommitted, WasCommitted},
		{"no progress at all", open, nil, NothingNew, Unknown},
		{"the offset has expired", open, []Progress{at(a0, -1, "")}, NothingNew, Unknown},
		{"it does not end", open, []Progress{unstable}, NothingNew, Unknown},
		{"a later one than this copy knows", open, []Progress{at(a0, 8, us)}, Copy, Copy},
		{"a later one, and nothing in doubt", ended, []Progress{at(a0, 8, us)}, Copy, Copy},
		{"nothing in doubt", ended, []Progress{at(a0, 7, us)}, NothingNew, NothingNew},
		{"nothing in doubt, offset expired", ended, nil, NothingNew, NothingNew},
		{"lower than what is known to have ended", ended, []Progress{at(a0, 2, us)}, NothingNew, NothingNew},
		{"another spool", ended, []Progress{at(a0, 2, them)}, Foreign, Foreign},
		{"another spool, under another key", open, []Progress{at(a0, 7, us), at(b0, 1, them)}, Foreign, Foreign},
		{"another spool that was taken over", Known{SpoolID: "us", TookOver: "them", Ended: true}, []Progress{at(a0, 2, them)}, NothingNew, NothingNew},
		{"two spools that were taken over", Known{SpoolID: "us", TookOver: "those them", Ended: true}, []Progress{at(a0, 2, them), at(b0, 4, Metadata("those", 1))}, NothingNew, NothingNew},
		{"one that was, and one that was not", Known{SpoolID: "us", TookOver: "them", Ended: true}, []Progress{at(a0, 2, them), at(b0, 4, Metadata("those", 1))}, Foreign, Foreign},
		{"whoever it is was taken over", Known{SpoolID: "us", TookOver: AnySpool, Ended: true}, []Progress{at(a0, 2, them)}, NothingNew, NothingNew},
		{"a newer self, and all others taken over", Known{SpoolID: "us", TookOver: AnySpool, Ended: true}, []Progress{at(a0, 2, us)}, Copy, Copy},
		{"a stranger's offset", ended, []Progress{at(a0, 7, "")}, Foreign, Foreign},
		{"a stranger's first offset", ended, []Progress{at(a0, 0, "")}, Foreign, Foreign},
		{"metadata cut short", ended, []Progress{at(a0, 7, "spoold us")}, Foreign, Foreign},
		{"a new spool", Known{SpoolID: "us"}, nil, NothingNew, NothingNew},
		{"a new spool, and a former self's progress", Known{SpoolID: "us"}, []Progress{at(a0, 1, us)}, Copy, Copy},
	}
	for _, x := range tests {
		early, why := Early(x.known, x.list)
		late, _ := Late(x.known, x.list)
		if early != x.early || late != x.late {
			t.Errorf("%s: early %d, late %d, want %d, %d", x.name, early, late, x.early, x.late)
		}
		if (early == Foreign || early == Copy) && strings.TrimSpace(why) == "" {
			t.Errorf("%s: no reason", x.name)
		}
	}
}
