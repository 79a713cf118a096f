package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spoold/spoold/integration/kafka"
)

type bench struct {
	o       *options
	self    string // this program, for children
	dir     string
	cluster *kafka.Cluster
	// authority is the PEM file of who issued the broker's certificate; "": no TLS.
	authority string
}

// sample is what one child measured.
type sample struct {
	Records int     `json:"records"`
	Seconds float64 `json:"seconds"`
	CPU     float64 `json:"cpu_seconds"` // user and system, of the whole process, in that time
	MaxRSS  int64   `json:"max_rss_bytes"`
	Anon    int64   `json:"max_anonymous_bytes,omitempty"`
}

func (s sample) rate() float64         { return float64(s.Records) / s.Seconds }
func (s sample) cpuPerRecord() float64 { return s.CPU / float64(s.Records) * 1e9 }

// comparison is both contenders at one record size.
type comparison struct {
	Size        int      `json:"value_bytes"`
	Spoold      []sample `json:"spoold_runs"`
	Kgo         []sample `json:"kgo_runs"`
	SpooldRate  float64  `json:"spoold_records_per_second"`
	KgoRate     float64  `json:"kgo_records_per_second"`
	Ratio       float64  `json:"ratio"`
	TLS         *tlsCost `json:"tls,omitempty"`
	SpooldNanos float64  `json:"spoold_cpu_nanoseconds_per_record"`
	KgoNanos    float64  `json:"kgo_cpu_nanoseconds_per_record"`
}

const topicPartitions = 6

// tlsCost is what both contenders reach with TLS, in turns with the runs without.
type tlsCost struct {
	Spoold       []sample `json:"spoold_runs"`
	Kgo          []sample `json:"kgo_runs"`
	SpooldRate   float64  `json:"spoold_records_per_second"`
	KgoRate      float64  `json:"kgo_records_per_second"`
	SpooldNanos  float64  `json:"spoold_cpu_nanoseconds_per_record"`
	KgoNanos     float64  `json:"kgo_cpu_nanoseconds_per_record"`
	SpooldShare  float64  `json:"spoold_rate_kept"` // of the rate without TLS
	KgoShare     float64  `json:"kgo_rate_kept"`
	SpooldAdding float64  `json:"spoold_cpu_nanoseconds_added_per_record"`
	KgoAdding    float64  `json:"kgo_cpu_nanoseconds_added_per_record"`
}

func (t *tlsCost) sum(c *comparison) {
	t.SpooldRate, t.KgoRate = medianOf(t.Spoold, sample.rate), medianOf(t.Kgo, sample.rate)
	t.SpooldNanos, t.KgoNanos = medianOf(t.Spoold, sample.cpuPerRecord), medianOf(t.Kgo, sample.cpuPerRecord)
	t.SpooldShare, t.KgoShare = t.SpooldRate/medianOf(c.Spoold, sample.rate), t.KgoRate/medianOf(c.Kgo, sample.rate)
	t.SpooldAdding, t.KgoAdding = t.SpooldNanos-medianOf(c.Spoold, sample.cpuPerRecord), t.KgoNanos-medianOf(c.Kgo, sample.cpuPerRecord)
}

// contender is who runs next, and where its results go.
type contender struct {
	who  string
	tls  bool
	runs *[]sample
}

func (b *bench) contenders(c *comparison) []contender {
	list := []contender{{"kgo", false, &c.Kgo}, {"spoold", false, &c.Spoold}}
	if b.o.tls {
		if c.TLS == nil {
			c.TLS = new(tlsCost)
		}
		list = append(list, contender{"kgo", true, &c.TLS.Kgo}, contender{"spoold", true, &c.TLS.Spoold})
	}
	return list
}

// produce lets the contenders run in turns, after one run each that warms the broker.
func (b *bench) produce(ctx context.Context) ([]comparison, error) {
	var all []comparison
	for _, size := range b.o.sizes {
		topic := fmt.Sprintf("bench-%d", size)
		if err := b.cluster.CreateTopic(ctx, topic, topicPartitions, nil); err != nil {
			return nil, err
		}
		records := int(b.o.seconds * 800_000)
		if size > 500 {
			records = int(b.o.seconds * 120_000)
		}
		cmp := comparison{Size: size}
		for i := range b.o.runs + 1 {
			for _, c := range b.contenders(&cmp) {
				s, err := b.child(ctx, c.who, c.tls, topic, size, records)
				if err != nil {
					return nil, err
				}
				say("%-6s %4d B  %-6s  %9.0f records/s  %4.0f ns CPU/record%s", c.who, size, map[bool]string{true: "TLS"}[c.tls], s.rate(), s.cpuPerRecord(),
					map[bool]string{true: "  (warm-up)"}[i == 0])
				if i > 0 {
					*c.runs = append(*c.runs, s)
				}
			}
		}
		if b.o.tls {
			cmp.TLS.sum(&cmp)
		}
		cmp.KgoRate, cmp.SpooldRate = medianOf(cmp.Kgo, sample.rate), medianOf(cmp.Spoold, sample.rate)
		cmp.KgoNanos, cmp.SpooldNanos = medianOf(cmp.Kgo, sample.cpuPerRecord), medianOf(cmp.Spoold, sample.cpuPerRecord)
		cmp.Ratio = cmp.SpooldRate / cmp.KgoRate
		all = append(all, cmp)
	}
	return all, nil
}

// child runs one contender in a process of its own.
func (b *bench) child(ctx context.Context, who string, tls bool, topic string, size, records int, env ...string) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	spool, err := os.MkdirTemp(b.dir, "spool-")
	if err != nil {
		return sample{}, err
	}
	defer func() { _ = os.RemoveAll(spool) }() // the next run has its own
	bootstrap, authority := b.cluster.Direct(), ""
	if tls {
		bootstrap, authority = b.cluster.Bootstrap(), b.authority
	}
	cmd := exec.CommandContext(ctx, b.self, "child", who, bootstrap, topic, strconv.Itoa(size), strconv.Itoa(records),
		strconv.Itoa(b.o.batchSize), strconv.Itoa(b.o.lingerMs), b.o.codec, filepath.Join(spool, "s"), b.o.profileOf(size), authority)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("%s: %w", who, err)
	}
	var s sample
	if err := json.Unmarshal(out.Bytes(), &s); err != nil {
		return sample{}, fmt.Errorf("%s said %q: %w", who, out.String(), err)
	}
	return s, nil
}
