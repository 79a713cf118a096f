package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	SpooldNanos float64  `json:"spoold_cpu_nanoseconds_per_record"`
	KgoNanos    float64  `json:"kgo_cpu_nanoseconds_per_record"`
}

const topicPartitions = 6

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
			for _, who := range []string{"kgo", "spoold"} {
				s, err := b.child(ctx, who, topic, size, records)
				if err != nil {
					return nil, err
				}
				say("%-6s %4d B  %9.0f records/s  %4.0f ns CPU/record%s", who, size, s.rate(), s.cpuPerRecord(),
					map[bool]string{true: "  (warm-up)"}[i == 0])
				switch {
				case i == 0:
				case who == "kgo":
					cmp.Kgo = append(cmp.Kgo, s)
				default:
					cmp.Spoold = append(cmp.Spoold, s)
				}
			}
		}
		cmp.KgoRate, cmp.SpooldRate = median(cmp.Kgo, sample.rate), median(cmp.Spoold, sample.rate)
		cmp.KgoNanos, cmp.SpooldNanos = median(cmp.Kgo, sample.cpuPerRecord), median(cmp.Spoold, sample.cpuPerRecord)
		cmp.Ratio = cmp.SpooldRate / cmp.KgoRate
		all = append(all, cmp)
	}
	return all, nil
}

func median(runs []sample, f func(sample) float64) float64 {
	var v []float64
	for _, s := range runs {
		v = append(v, f(s))
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// child runs one contender in a process of its own.
func (b *bench) child(ctx context.Context, who, topic string, size, records int) (sample, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	spool, err := os.MkdirTemp(b.dir, "spool-")
	if err != nil {
		return sample{}, err
	}
	defer func() { _ = os.RemoveAll(spool) }() // the next run has its own
	cmd := exec.CommandContext(ctx, b.self, "child", who, b.cluster.Bootstrap(), topic, strconv.Itoa(size), strconv.Itoa(records),
		strconv.Itoa(b.o.batchSize), strconv.Itoa(b.o.lingerMs), b.o.codec, filepath.Join(spool, "s"), b.o.profileOf(size), b.authority)
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
