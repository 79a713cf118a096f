package broker_test

import (
	"bufio"
	"bytes"
	_ "embed"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spoold/spoold/integration/sim/broker"
)

// The observations on real brokers as a test of the model: every row of testdata/facts.tsv is covered by a case that
// makes the same requests and sees the same, or is out of the model's scope by a rule with a reason, or is missing by
// name with a reason. There is no fourth.

//go:embed testdata/facts.tsv
var factsTSV []byte

// fact is one observation.
type fact struct{ of, sent string }

// release is a configuration of real brokers, and the model's for it.
type release struct {
	name   string
	column int // of outcomes
	cfg    broker.Config
}

var releases = []release{
	{"4.3.1", 0, broker.Config{After: 3600_000}},
	{"3.9.1", 2, broker.Config{ProduceMax: 11, NoELR: true}},
}

// missing rows, and why.
var missing = map[fact]string{
	{"15", "6 × leader killed with 5 in flight: answers before the kill"}: "how many answers come before a kill is time, no rule; " +
		"TestAnswersOfOneConnectionComeInOrderUntilTheBrokerIsKilled has what can be said of it",
}

// outOfScope says why a row is no matter of the model's. "": it is one.
func outOfScope(f fact) string {
	const later, groups = "transactions: later", "consumer groups: the model has none"
	switch f.of {
	case "07", "14":
		return groups
	case "08", "08p", "08r", "09", "10", "16", "19", "20", "21", "22", "23":
		return later
	case "17":
		if !strings.HasPrefix(f.sent, "cluster id") {
			return "ApiVersions: the model has none, its caller chooses versions"
		}
	case "12":
		if strings.Contains(f.sent, "rogress") || strings.Contains(f.sent, "TxnOffsetCommit") {
			return groups
		}
		if strings.Contains(f.sent, "open transaction") || f.sent == "… state one second later" || f.sent == "… InitProducerId" {
			return later
		}
	}
	for _, word := range []string{"txn:", "txn,", "transaction open", "open transaction", "DescribeTransactions", "ListTransactions", "EndTxn", "incarnation", "the transaction's marker"} {
		if strings.Contains(f.sent, word) {
			return later
		}
	}
	// What follows an open transaction, in its case.
	following := map[string][]string{
		"02c": {"… duplicate at the new leader", "… markers", "transaction coordinator killed: Produce of the open transaction to a new partition"},
		"06": {"after InitProducerId", "open: DescribeProducers", "open: high watermark, last stable offset", "committed: DescribeProducers",
			"aborted: DescribeProducers", "log"},
		"15z": {"… old coordinator wakes: its answer to EndTxn", "… and commits"},
	}
	if slices.Contains(following[f.of], f.sent) {
		return later
	}
	return ""
}

func TestTheModelAnswersAsRealBrokersWereSeenToAnswer(t *testing.T) {
	rows, order := facts(t)
	checkRules(t, rows)
	for f, why := range missing {
		if _, ok := rows[f]; !ok || why == "" {
			t.Errorf("missing: %v is no row, or has no reason", f)
		}
	}
	covered := map[fact]bool{}
	for _, rel := range releases {
		t.Run(rel.name, func(t *testing.T) {
			for _, name := range slices.Sorted(maps.Keys(cases)) {
				t.Run(name, func(t *testing.T) {
					c := &caseRun{t: t, of: name, rel: rel, rows: rows, seen: map[fact]string{}}
					cases[name](c)
					for f := range c.seen {
						covered[f] = true
					}
				})
			}
		})
	}
	if t.Failed() {
		return // what is not covered may only be not reached
	}
	counts, why := map[string]int{}, map[string]int{}
	for _, f := range order {
		reason := outOfScope(f)
		_, excused := missing[f]
		states := 0
		for name, is := range map[string]bool{"covered": covered[f], "not applicable": reason != "", "missing": excused} {
			if is {
				states++
				counts[name]++
			}
		}
		if reason != "" {
			why[reason]++
		}
		if states != 1 {
			t.Errorf("case %s, %q: covered %v, not applicable %q, missing by name %v: must be just one of them", f.of, f.sent, covered[f], reason, excused)
		}
	}
	t.Logf("%d observations: %d covered and equal, %d not applicable, %d missing", len(order), counts["covered"], counts["not applicable"], counts["missing"])
	for _, reason := range slices.Sorted(maps.Keys(why)) {
		t.Logf("  not applicable: %3d  %s", why[reason], reason)
	}
	for f, reason := range missing {
		t.Logf("  missing: case %s, %q: %s", f.of, f.sent, reason)
	}
}

// facts are the rows: outcomes by configuration.
func facts(t *testing.T) (map[fact][]string, []fact) {
	rows, order := map[fact][]string{}, []fact(nil)
	in := bufio.NewScanner(bytes.NewReader(factsTSV))
	for heading := true; in.Scan(); {
		if strings.HasPrefix(in.Text(), "#") {
			continue
		}
		cells := strings.Split(in.Text(), "\t")
		if len(cells) != 6 {
			t.Fatalf("testdata/facts.tsv: %d cells in %q, want 6", len(cells), in.Text())
		}
		f := fact{cells[0], cells[1]}
		if _, twice := rows[f]; twice {
			t.Fatalf("testdata/facts.tsv: case %s, %q stands there twice", f.of, f.sent)
		}
		if !heading {
			rows[f] = cells[2:]
			order = append(order, f)
		}
		heading = false
	}
	if len(order) < 400 {
		t.Fatalf("testdata/facts.tsv: %d rows, want about 500", len(order))
	}
	return rows, order
}

// checkRules wants transaction.version to make no difference to what the model is asked.
func checkRules(t *testing.T, rows map[fact][]string) {
	for f, outcomes := range rows {
		if outOfScope(f) == "" && !same(outcomes[0], outcomes[1]) && missing[f] == "" {
			t.Errorf("case %s, %q: %q with transaction.version 2, %q with 1: this is about transactions, a rule must say so", f.of, f.sent, outcomes[0], outcomes[1])
		}
	}
}

// caseRun is one case under one release.
type caseRun struct {
	t    *testing.T
	of   string
	rel  release
	rows map[fact][]string
	seen map[fact]string
}

// lab is a cluster of the case's release.
func (c *caseRun) lab(cfg broker.Config) *lab {
	r := c.rel.cfg
	cfg.ProduceMax, cfg.NoELR, cfg.After = r.ProduceMax, r.NoELR, r.After
	return newLab(c.t, cfg)
}

// saw reports an observation.
func (c *caseRun) saw(sent, outcome string) {
	c.t.Helper()
	f := fact{c.of, sent}
	row, ok := c.rows[f]
	before, twice := c.seen[f]
	switch {
	case !ok:
		c.t.Errorf("%q is no row of case %s", sent, c.of)
		return
	case twice && before != outcome:
		c.t.Errorf("%q: first %q, then %q", sent, before, outcome)
	}
	want := row[c.rel.column]
	if want == "–" {
		return // not run there
	}
	c.seen[f] = outcome
	if !same(want, outcome) {
		c.t.Errorf("%s: real brokers %q, the model %q", sent, want, outcome)
	}
}

var (
	recordErrors = regexp.MustCompile(`(records |,)(\d+):"[^"]*("|…)`)
	known        = regexp.MustCompile(` \(a broker restarted before\)$`)
)

// same compares two outcomes. Of records that are refused it takes the index, and not the wording of the reason; of an outcome that was cut
// off, what is there.
func same(want, got string) bool {
	norm := func(s string) string { return known.ReplaceAllString(recordErrors.ReplaceAllString(s, "$1$2"), "") }
	want, got = norm(want), norm(got)
	if head, cut := strings.CutSuffix(want, "…"); cut {
		return strings.HasPrefix(got, head)
	}
	return want == got
}

// A comparison that takes everything would prove nothing.
func TestOutcomesAreComparedButForTheWordingOfReasons(t *testing.T) {
	for _, tt := range []struct {
		want, got string
		equal     bool
	}{
		{"NONE off=3", "NONE off=3", true},
		{"NONE off=3", "NONE off=2", false},
		{"NONE", "NONE off=2", false},
		{`INVALID_RECORD records 0:"Compacted topic",1:"Compac…`, `INVALID_RECORD records 0:"no key",1:"no key"`, true},
		{`INVALID_RECORD records 0:"Compacted topic"`, `INVALID_RECORD records 0:"no key",1:"no key"`, false},
		{`INVALID_RECORD records 0:"Compacted topic"`, `INVALID_RECORD`, false},
		{`INVALID_TIMESTAMP records 0:"x"`, `INVALID_RECORD records 0:"x"`, false},
		{"1 known: last→ ok@12 OOO", "1 known: last→ ok@12 OOO", true},
		{"1 known: last→ ok@12 OOO", "2 known: last→ ok@12 ok@10", false},
	} {
		if same(tt.want, tt.got) != tt.equal {
			t.Errorf("same(%q, %q) = %v", tt.want, tt.got, !tt.equal)
		}
	}
}
