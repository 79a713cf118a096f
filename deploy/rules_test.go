package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

var queries = parser.NewParser(parser.Options{})

// groups reads a file of rules as Prometheus does.
func groups(t *testing.T, file string) map[string]rulefmt.Rule {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, errs := rulefmt.Parse(text, false, model.UTF8Validation, queries, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	rules := map[string]rulefmt.Rule{}
	for _, g := range parsed.Groups {
		for _, r := range g.Rules {
			rules[r.Alert+r.Record] = r
		}
	}
	return rules
}

// scenario is series, a minute apart, as promtool's tests write them.
type scenario struct {
	series string
	labels map[string]string // that the alert then has, besides its own
	after  int               // minutes until it fires; 0: it never does
}

const host = `{job="spoold",instance="a"}`

var scenarios = map[string][]scenario{
	"SpooldDown": {
		{series: `up{job="spoold",instance="a"} 1 0x20`, after: 6, labels: map[string]string{"instance": "a"}},
		{series: `up{job="spoold",instance="a"} 1 0x3 1x20`},
		{series: `up{job="other",instance="a"} 0x20`},
	},
	"SpooldFilesNotFollowed": {
		{series: `spoold_ship_running{job="spoold",instance="a",section="s"} 1 0x20`, after: 2, labels: map[string]string{"section": "s"}},
		{series: `spoold_ship_running{job="spoold",instance="a",section="s"} 1x20`},
	},
	"SpooldFilesUnreadable": {
		{series: `spoold_ship_unreadable{job="spoold",instance="a",section="s"} 0 2x20`, after: 11, labels: map[string]string{"section": "s"}},
		{series: `spoold_ship_unreadable{job="spoold",instance="a",section="s"} 0 2x5 0x20`},
	},
	"SpooldFileGap": {
		{series: `spoold_ship_gaps_total{job="spoold",instance="a",section="s"} 0 1x20`, after: 1, labels: map[string]string{"section": "s"}},
		{series: `spoold_ship_gaps_total{job="spoold",instance="a",section="s"} 3x20`},
	},
	"SpooldCertificateExpires": { // the test's clock begins in 1970
		{series: `spoold_certificate_expiry_timestamp_seconds{job="spoold",instance="a",key="http.tls.certificate"} 1209900x80`, after: 66, labels: map[string]string{"key": "http.tls.certificate"}},
		{series: `spoold_certificate_expiry_timestamp_seconds{job="spoold",instance="a",key="http.tls.certificate"} 1209900x60 9999999x20`},
	},
	"SpooldPartitionParked": {
		{series: `spoold_parked_partitions{job="spoold",instance="a",topic="t",reason="no-evidence"} 2x20`, after: 1, labels: map[string]string{"topic": "t", "reason": "no-evidence"}},
		{series: `spoold_parked_partitions{job="spoold",instance="a",topic="t",reason="no-evidence"} 2 stale`},
	},
	"SpooldDataDropped": {
		{series: `spoold_dropped_records_total{job="spoold",instance="a",topic="t"} 5x10 6x20`, after: 11, labels: map[string]string{"topic": "t"}},
		{series: `spoold_dropped_records_total{job="spoold",instance="a",topic="t"} 5x30`},
	},
	"SpooldRecordsLost": {
		{series: `spoold_lost_records_total{job="spoold",instance="a",topic="t"} 0x10 3x20`, after: 11, labels: map[string]string{"topic": "t"}},
		{series: `spoold_lost_records_total{job="spoold",instance="a",topic="t"} 3x30`},
	},
	"SpooldDeadLetters": {
		{series: `spoold_dead_lettered_records_total{job="spoold",instance="a",topic="t"} 0x10 1x20`, after: 11, labels: map[string]string{"topic": "t"}},
		{series: `spoold_dead_lettered_records_total{job="spoold",instance="a",topic="t"} 7x30`},
	},
	"SpooldSpoolFull": {
		{series: "spoold_spool_used_bytes" + host + " 0 96x20\nspoold_spool_limit_bytes" + host + " 100x21", after: 2},
		{series: "spoold_spool_used_bytes" + host + " 94x20\nspoold_spool_limit_bytes" + host + " 100x21"},
	},
	"SpooldSpoolFullSoon": {
		{series: "spoold_spool_used_bytes" + host + " 0+1x120\nspoold_spool_limit_bytes" + host + " 200x121", after: 16},
		{series: "spoold_spool_used_bytes" + host + " 0+1x60\nspoold_spool_limit_bytes" + host + " 100000x61"},
		{series: "spoold_spool_used_bytes" + host + " 50x60\nspoold_spool_limit_bytes" + host + " 100x61"},
	},
	"SpooldRejecting": {
		{series: `spoold_rejected_records_total{job="spoold",instance="a",ingress="http",reason="full"} 0+1x30`, after: 6, labels: map[string]string{"reason": "full"}},
		{series: `spoold_rejected_records_total{job="spoold",instance="a",ingress="http",reason="full"} 9x30`},
	},
	"SpooldLinkDown": {
		{series: "spoold_link_up" + host + " 1x4 0x60", after: 35},
		{series: "spoold_link_up" + host + " 0x29 1x30"},
	},
	"SpooldOldRecords": {
		{series: "spoold_spool_oldest_record_age_seconds" + host + " 3601+60x30\nspoold_link_up" + host + " 1x31", after: 15},
		{series: "spoold_spool_oldest_record_age_seconds" + host + " 3601+60x30\nspoold_link_up" + host + " 0x31"},
		{series: "spoold_spool_oldest_record_age_seconds" + host + " 60x30\nspoold_link_up" + host + " 1x31"},
	},
	"SpooldSlowDisk": {
		{series: commits("0.5", "0+1x30") + commits("1", "0+10x30") + commits("+Inf", "0+10x30"), after: 11},
		{series: commits("0.5", "0+10x30") + commits("1", "0+10x30") + commits("+Inf", "0+10x30")},
	},
	"SpooldDiskHangs": {
		{series: "spoold_spool_commit_running_seconds" + host + " 0 0.1 16 76", after: 2},
		{series: "spoold_spool_commit_running_seconds" + host + " 0 14x10"},
	},
	"SpooldTransactionParked": {
		{series: "spoold_transaction_parked" + host + " 0x3 1x10", after: 5},
		{series: "spoold_transaction_parked" + host + " 0x3 1 0x10"},
	},
	"SpooldFenced": {
		{series: "spoold_transaction_fenced" + host + " 0x3 1x10", after: 4},
		{series: "spoold_transaction_fenced" + host + " 0x30"},
	},
	"SpooldTransactionOpen": {
		{series: "spoold_transaction_open_duration_seconds" + host + " 0+61x20", after: 6},
		{series: "spoold_transaction_open_duration_seconds" + host + " 0 30 61 5 61 0x20"},
	},
	"SpooldDiskLow": {
		{series: "spoold_disk_free_bytes" + host + " 900000000x20", after: 5},
		{series: "spoold_disk_free_bytes" + host + " 1100000000x20"},
	},
}

func commits(le, values string) string {
	return fmt.Sprintf("spoold_spool_commit_duration_seconds_bucket{job=\"spoold\",instance=\"a\",le=%q} %s\n", le, values)
}

func TestEachAlertFiresWhenItShouldAndOnlyThen(t *testing.T) {
	rules := groups(t, "prometheus/alerts.yml")
	for name, r := range rules {
		if len(scenarios[name]) < 2 {
			t.Errorf("%s has no scenario in which it fires and one in which it does not", name)
		}
		if r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s lacks a severity, summary or description", name)
		}
	}
	for name, list := range scenarios {
		r, ok := rules[name]
		if !ok {
			t.Errorf("there is no alert %s", name)
			continue
		}
		for i, s := range list {
			t.Run(fmt.Sprintf("%s %d", name, i), func(t *testing.T) {
				at, found := firstFiring(t, &r, s.series)
				if at != s.after {
					t.Errorf("fires after %d minutes, want %d (0: never)", at, s.after)
				}
				for k, v := range s.labels {
					if found.Get(k) != v {
						t.Errorf("label %s is %q, want %q", k, found.Get(k), v)
					}
				}
			})
		}
	}
}

// firstFiring evaluates a rule once a minute, as Prometheus does, and says when it fires first.
func firstFiring(t *testing.T, r *rulefmt.Rule, series string) (minute int, of labels.Labels) {
	t.Helper()
	load := "load 1m\n"
	for line := range strings.Lines(series) {
		load += "  " + strings.TrimSpace(line) + "\n"
	}
	storage := promqltest.LoadedStorage(t, load)
	defer storage.Close()
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, promqltest.DefaultMaxSamplesPerQuery)
	since := map[uint64]int{}
	for m := range 120 {
		q, err := engine.NewInstantQuery(context.Background(), storage, nil, r.Expr, time.Unix(0, 0).Add(time.Duration(m)*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		result := q.Exec(context.Background())
		if result.Err != nil {
			t.Fatal(result.Err)
		}
		vector, err := result.Vector()
		if err != nil {
			t.Fatal(err)
		}
		active := map[uint64]int{}
		for _, s := range vector {
			id := s.Metric.Hash()
			active[id] = m
			if first, ok := since[id]; ok {
				active[id] = first
			}
			if time.Duration(m-active[id])*time.Minute >= time.Duration(r.For) {
				q.Close()
				return m, s.Metric
			}
		}
		since = active
		q.Close()
	}
	return 0, labels.EmptyLabels()
}

var names = regexp.MustCompile(`\b(?:spoold|messaging)_[a-z_]+`)

// known fails for a metric that spoold does not have: docs/metrics.md lists those that it has.
func known(t *testing.T, where, expr string) {
	t.Helper()
	page, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names.FindAllString(expr, -1) {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, suffix)
		}
		if !strings.Contains(string(page), "`"+name+"`") && !strings.Contains(string(page), "| `"+base+"` | histogram") {
			t.Errorf("%s: spoold has no metric %s", where, name)
		}
	}
}

func TestRulesNameMetricsThatThereAre(t *testing.T) {
	for _, file := range []string{"prometheus/alerts.yml", "prometheus/kafka-producer.rules.yml"} {
		for name, r := range groups(t, file) {
			known(t, name, r.Expr)
		}
	}
}

func TestTheDashboardAsksForMetricsThatThereAre(t *testing.T) {
	text, err := os.ReadFile("grafana/spoold.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			ID      int
			Type    string
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$job", "spoold", "$instance", ".*")
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.Title == "" || p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %d %q: no title, no query, or a number that another has", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			expr := variables.Replace(target.Expr)
			if _, err := queries.ParseExpr(expr); err != nil {
				t.Errorf("%s: %s: %v", p.Title, expr, err)
			}
			known(t, p.Title, expr)
		}
	}
	if len(ids) < 20 {
		t.Errorf("%d panels", len(ids))
	}
}
