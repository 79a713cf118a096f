package otel

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/otlptranslator"
	"github.com/twmb/franz-go/pkg/kfake"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/spoold/spoold"
)

var update = flag.Bool("update", false, "rewrite docs/metrics.md")

// busy is a status in which everything has a value.
func busy() *spoold.Status {
	return &spoold.Status{
		Transaction:  &spoold.TransactionStatus{Open: true, OpenSeconds: 1},
		Certificates: []spoold.Certificate{{Key: "ssl.keystore.location", NotAfter: time.Unix(1800000000, 0)}},
		Link:         "up", Accepted: 10, Acked: 5, Pending: 2, DeadLettered: 2, Expired: 1, Brokers: 3, SendersWaiting: 1, SendWaitSeconds: 2.5, MetadataAgeSeconds: 7,
		Topics: []spoold.TopicStatus{{Topic: "t", Accepted: 10, Acked: 5, Pending: 2, DeadLettered: 2, Expired: 1, QuotaBytes: 9, QuotaUsedBytes: 8,
			Partitions: []spoold.PartitionStatus{{InDoubt: 3, ParkReason: "no-evidence"}}}},
	}
}

// everything has each instrument take a value, and returns what a reader collects.
func everything(t *testing.T) (*Metrics, []metricdata.Metrics) {
	t.Helper()
	reader := sdk.NewManualReader()
	m, err := New("v1", &Export{Reader: reader})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Watch(busy); err != nil {
		t.Fatal(err)
	}
	if err := m.WatchFiles(func() []spoold.FollowedFiles { return []spoold.FollowedFiles{{Section: "s", Running: true, Gaps: 2}} }); err != nil {
		t.Fatal(err)
	}
	h := m.Hooks()
	h.SpoolCommit(spoold.SpoolCommit{Duration: time.Millisecond, Records: 3, Bytes: 300})
	h.BatchAcked(spoold.BatchAcked{Topic: "t", Records: 3, Bytes: 300})
	h.BatchRetried(spoold.BatchRetried{Topic: "t", Code: 6})
	h.RecordDeadLettered(spoold.RecordDeadLettered{Topic: "t", Code: 10})
	h.EpochBumped(spoold.EpochBumped{})
	h.LinkChanged(spoold.LinkChanged{Up: true})
	h.Recovery(spoold.Recovery{Seals: 2})
	h.ProduceRequest(spoold.ProduceRequest{Batches: 1, Records: 3, Bytes: 100, Uncompressed: 300, Duration: time.Millisecond, Throttle: time.Second, Splits: 1})
	h.ProduceRequest(spoold.ProduceRequest{Batches: 1, Records: 3, Duration: time.Second, Err: errors.New("closed")})
	m.dwell.Record(context.Background(), 1)
	in := m.Ingress("http")
	in.Spooled("t", 3)
	in.Duplicate()
	in.Rejected("full", 1)
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	var list []metricdata.Metrics
	for _, scope := range all.ScopeMetrics {
		list = append(list, scope.Metrics...)
	}
	slices.SortFunc(list, func(a, b metricdata.Metrics) int { return strings.Compare(a.Name, b.Name) })
	return m, list
}

// A slow record in the histogram names its trace.
func TestDwellTimesHaveTheTraceOfARecord(t *testing.T) {
	m, err := New("v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	tracing := NewTracing(sdktrace.NewTracerProvider(), 1)
	tracing.Measure(m)
	p, _ := open(t, spoold.Env{Tracer: tracing, Hooks: tracing.Hooks(m.Hooks())}, kfake.SeedTopics(1, "t"))
	if _, err := p.Send(patient(t), spoold.Record{Topic: "t"}); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(patient(t)); err != nil {
		t.Fatal(err)
	}
	scraped := httptest.NewRecorder()
	req := httptest.NewRequest("GET", "/metrics", nil)
	req.Header.Set("Accept", "application/openmetrics-text")
	m.Handler().ServeHTTP(scraped, req)
	for line := range strings.Lines(scraped.Body.String()) {
		if strings.HasPrefix(line, "spoold_record_dwell_seconds_bucket") && strings.Contains(line, " 1 # {") && strings.Contains(line, `trace_id="`) {
			return
		}
	}
	t.Errorf("no exemplar: %s", scraped.Body)
}

func TestTheTimeAtWhichACertificateExpiresIsItsMetric(t *testing.T) {
	m, err := New("v1", nil)
	if err == nil {
		err = m.Watch(busy)
	}
	if err != nil {
		t.Fatal(err)
	}
	scraped := httptest.NewRecorder()
	m.Handler().ServeHTTP(scraped, httptest.NewRequest("GET", "/metrics", nil))
	if want := `spoold_certificate_expiry_timestamp_seconds{key="ssl.keystore.location"} 1.8e+09`; !strings.Contains(scraped.Body.String(), want) {
		t.Errorf("want %s in %s", want, scraped.Body)
	}
}

// Each further reason why the link is down comes as an event, too.
func TestAnotherReasonIsNoOtherLink(t *testing.T) {
	m, err := New("v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	h := m.Hooks()
	for _, e := range []spoold.LinkChanged{{Err: "refused"}, {Err: "no answer"}, {Err: "refused"}, {Up: true}, {Err: "refused"}} {
		h.LinkChanged(e)
	}
	scraped := httptest.NewRecorder()
	m.Handler().ServeHTTP(scraped, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{`spoold_link_changes_total{state="down"} 2`, `spoold_link_changes_total{state="up"} 1`} {
		if !strings.Contains(scraped.Body.String(), want) {
			t.Errorf("want %s of three reasons in two outages: %s", want, scraped.Body)
		}
	}
}

// describe gives a metric's kind and the names of its attributes.
func describe(t *testing.T, m *metricdata.Metrics) (kind string, attributes []string, of otlptranslator.MetricType) {
	t.Helper()
	switch d := m.Data.(type) {
	case metricdata.Sum[int64]:
		return "counter", attributeNames(d.DataPoints), otlptranslator.MetricTypeMonotonicCounter
	case metricdata.Sum[float64]:
		return "counter", attributeNames(d.DataPoints), otlptranslator.MetricTypeMonotonicCounter
	case metricdata.Gauge[int64]:
		return "gauge", attributeNames(d.DataPoints), otlptranslator.MetricTypeGauge
	case metricdata.Gauge[float64]:
		return "gauge", attributeNames(d.DataPoints), otlptranslator.MetricTypeGauge
	case metricdata.Histogram[int64]:
		return "histogram", histogramNames(d.DataPoints), otlptranslator.MetricTypeHistogram
	case metricdata.Histogram[float64]:
		return "histogram", histogramNames(d.DataPoints), otlptranslator.MetricTypeHistogram
	}
	t.Fatalf("%s is a %T", m.Name, m.Data)
	return "", nil, 0
}

func attributeNames[N int64 | float64](points []metricdata.DataPoint[N]) []string {
	var names []string
	for i := range points {
		for _, kv := range points[i].Attributes.ToSlice() {
			names = append(names, string(kv.Key))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func histogramNames[N int64 | float64](points []metricdata.HistogramDataPoint[N]) []string {
	var names []string
	for i := range points {
		for _, kv := range points[i].Attributes.ToSlice() {
			names = append(names, string(kv.Key))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

const metricsPage = "../docs/metrics.md"

// docs/metrics.md lists every instrument as it is, and every Prometheus name is one that /metrics has.
func TestTheMetricsPageListsEveryInstrument(t *testing.T) {
	m, list := everything(t)
	scraped := httptest.NewRecorder()
	m.Handler().ServeHTTP(scraped, httptest.NewRequest("GET", "/metrics", nil))
	namer := otlptranslator.MetricNamer{WithMetricSuffixes: true}
	var b strings.Builder
	b.WriteString("| OpenTelemetry | Prometheus | kind | unit | attributes | what |\n|---|---|---|---|---|---|\n")
	for i := range list {
		kind, attributes, of := describe(t, &list[i])
		name, err := namer.Build(otlptranslator.Metric{Name: list[i].Name, Unit: list[i].Unit, Type: of})
		if err != nil {
			t.Fatal(err)
		}
		sample := name
		if kind == "histogram" {
			sample += "_count"
		}
		if !strings.Contains(scraped.Body.String(), "\n"+sample) {
			t.Errorf("/metrics lacks %s", sample)
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s | %s |\n", list[i].Name, name, kind, list[i].Unit, strings.Join(attributes, ", "), list[i].Description)
	}
	replace(t, "instruments", b.String())
}

// Each of Kafka's names that Producer.Metrics has is mapped to what Prometheus has.
func TestTheMetricsPageMapsKafkasNames(t *testing.T) {
	m, _ := everything(t)
	scraped := httptest.NewRecorder()
	m.Handler().ServeHTTP(scraped, httptest.NewRequest("GET", "/metrics", nil))
	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers, cfg.SpoolPath, cfg.SpoolMinFreeBytes = []string{"127.0.0.1:1"}, t.TempDir(), 0
	p, err := spoold.Open(cfg, spoold.Env{})
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	defer func() { _ = p.Close(ended) }()
	var b strings.Builder
	b.WriteString("| Kafka's metric | unit | what | in PromQL |\n|---|---|---|---|\n")
	metrics := p.Metrics()
	if len(metrics) != len(KafkaExpressions) {
		t.Errorf("%d metrics, %d expressions", len(metrics), len(KafkaExpressions))
	}
	for _, k := range metrics {
		expression := KafkaExpressions[k.Name]
		if expression == "" {
			t.Errorf("%s has no expression", k.Name)
		}
		for _, name := range promNames.FindAllString(expression, -1) {
			if !strings.Contains(scraped.Body.String(), "\n"+name) {
				t.Errorf("%s: /metrics lacks %s", k.Name, name)
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | `%s` |\n", k.Name, k.Unit, k.Description, strings.ReplaceAll(expression, "|", `\|`))
	}
	replace(t, "kafka", b.String())
}

// replace compares what stands between two comments of the page with what should, or rewrites it.
func replace(t *testing.T, section, want string) {
	t.Helper()
	page, err := os.ReadFile(metricsPage)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+section+" -->\n", "<!-- end of "+section+" -->"
	before, rest, ok := strings.Cut(string(page), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no section %s", metricsPage, section)
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("%s, section %s, is not what the code says: run go test ./otel -update, and explain the difference.\ngot:\n%s\nwant:\n%s", metricsPage, section, got, want)
	}
	if err := os.WriteFile(metricsPage, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

const rulesFile = "../deploy/prometheus/kafka-producer.rules.yml"

// The recording rules name what they record as jmx_exporter names the metrics of Apache Kafka's producer, so
// that dashboards for that one show something.
func TestTheRecordingRulesAreKafkasMetrics(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Apache Kafka's producer metrics, under the names that jmx_exporter gives them, from those of spoold.\n" +
		"# Written by go test ./otel -update.\ngroups:\n  - name: spoold-kafka-producer\n    rules:\n")
	names := slices.Sorted(maps.Keys(KafkaExpressions))
	for _, name := range names {
		fmt.Fprintf(&b, "      - record: kafka_producer_producer_metrics_%s\n        expr: %s\n", strings.ReplaceAll(name, "-", "_"), KafkaExpressions[name])
	}
	got, err := os.ReadFile(rulesFile)
	if err == nil && string(got) == b.String() {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the code says: run go test ./otel -update, and explain the difference", rulesFile)
	}
	if err := os.WriteFile(rulesFile, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}
