package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/pki"
)

type options struct {
	runs      int
	seconds   float64
	batchSize int
	lingerMs  int
	codec     string
	sizes     []int
	clients   []int
	only      string
	out       string
	profile   string
	tls       bool
}

// profileOf is where the children of one record size write their profiles.
func (o *options) profileOf(size int) string {
	if o.profile == "" {
		return ""
	}
	return fmt.Sprintf("%s-%d", o.profile, size)
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		exitOn(child(os.Args[2:]))
		return
	}
	o := options{sizes: []int{100, 1024}, clients: []int{1, 64, 512}}
	flag.IntVar(&o.runs, "runs", 5, "runs of each contender; the median counts")
	flag.Float64Var(&o.seconds, "seconds", 5, "about how long a run takes")
	flag.IntVar(&o.batchSize, "batch.size", 256<<10, "bytes, both sides")
	flag.IntVar(&o.lingerMs, "linger.ms", 5, "both sides")
	flag.StringVar(&o.codec, "compression.type", "none", "none, gzip, snappy, lz4 or zstd, both sides")
	flag.StringVar(&o.only, "only", "", "produce, transactions, memory, http or telemetry; empty: all")
	flag.StringVar(&o.out, "out", ".", "folder for bench.json and bench.svg")
	flag.StringVar(&o.profile, "profile", "", "path: CPU profiles of the last runs, as PATH-SIZE-WHO.pprof; they cost a little")
	flag.BoolVar(&o.tls, "tls", false, "both contenders run with TLS, too, in turns with those without; crypto/tls and the broker choose how")
	flag.Parse()
	exitOn(run(context.Background(), &o))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// report is bench.json.
type report struct {
	Kafka     string       `json:"kafka"`
	BatchSize int          `json:"batch.size"`
	LingerMs  int          `json:"linger.ms"`
	Codec     string       `json:"compression.type"`
	TLS       bool         `json:"tls"`
	Produce   []comparison `json:"produce"`
	Memory    []memoryRun  `json:"memory,omitempty"` // 1,000 partitions, buffer.memory=32MiB
	HTTP      []httpResult `json:"http"`
	Txn       []txnRow     `json:"transactions"`
	Telemetry *telemetry   `json:"telemetry,omitempty"`
}

func run(ctx context.Context, o *options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "spoold-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // spools that nobody needs any more
	props, authority := map[string]string{
		"num.io.threads": "4", "log.retention.bytes": "268435456", "log.segment.bytes": "134217728",
		"log.retention.check.interval.ms": "5000", "log.segment.delete.delay.ms": "1000"}, ""
	if o.tls {
		var broker string
		if broker, authority, err = pki.Files(dir); err != nil {
			return err
		}
		maps.Copy(props, kafka.TLS(broker, authority))
	}
	c, err := kafka.Start(ctx, kafka.Options{Fast: true, Props: props})
	if err != nil {
		return err
	}
	defer c.Close()
	rep := &report{Kafka: kafka.Newest, BatchSize: o.batchSize, LingerMs: o.lingerMs, Codec: o.codec, TLS: o.tls}
	b := &bench{o: o, self: self, dir: dir, cluster: c, authority: authority}
	if o.only == "" || o.only == "produce" {
		if rep.Produce, err = b.produce(ctx); err != nil {
			return err
		}
	}
	if o.only == "" || o.only == "transactions" {
		if rep.Txn, err = b.transactions(ctx); err != nil {
			return err
		}
	}
	if o.only == "" || o.only == "memory" {
		if rep.Memory, err = b.memory(ctx); err != nil {
			return err
		}
	}
	if !o.tls && (o.only == "" || o.only == "http") {
		if rep.HTTP, err = b.http(ctx); err != nil {
			return err
		}
	}
	if !o.tls && (o.only == "" || o.only == "telemetry") {
		if rep.Telemetry, err = b.telemetry(ctx); err != nil {
			return err
		}
	}
	rep.print(os.Stdout)
	raw, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(o.out, "bench.json"), append(raw, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(o.out, "bench.svg"), rep.svg(), 0o644)
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05 ")+format+"\n", args...)
}
