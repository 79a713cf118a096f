package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold"
)

// job is what a child is told.
type job struct {
	bootstrap, topic, codec, spool     string
	profile                            string // "": none
	size, records, batchSize, lingerMs int
	authority                          string // PEM file of who issued the broker's certificate; "": no TLS
	values                             [][]byte
	unit, callers                      int // records of a transaction; who commit them side by side
	// For the look at the memory.
	set       map[string]string
	partition func(i int) spoold.Partition
	anon      int64
}

func child(args []string) error {
	if len(args) != 11 {
		return errors.New("child: not for people")
	}
	j := &job{bootstrap: args[1], topic: args[2], codec: args[7], spool: args[8], profile: args[9], authority: args[10]}
	for i, n := range []*int{&j.size, &j.records, &j.batchSize, &j.lingerMs} {
		var err error
		if *n, err = strconv.Atoi(args[3+i]); err != nil {
			return err
		}
	}
	j.values = values(j.size)
	contenders := map[string]func(*job) (func() error, func() error, error){"kgo": withKgo, "spoold": withSpoold, "memory": withMemory,
		"txn-kgo": withKgoTransactions(1), "txn-kgos": withKgoTransactions(0), "txn-spoold": withSpooldTransactions}
	who := strings.Split(args[0], "/")
	if len(who) == 3 {
		var bad, worse error
		j.unit, bad = strconv.Atoi(who[1])
		j.callers, worse = strconv.Atoi(who[2])
		if err := errors.Join(bad, worse); err != nil {
			return err
		}
	}
	send, end, err := contenders[who[0]](j)
	if err != nil {
		return err
	}
	if j.profile != "" {
		stop, err := profile(j.profile + "-" + who[0])
		if err != nil {
			return err
		}
		defer stop()
	}
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		return err
	}
	began := time.Now()
	if err := send(); err != nil {
		return err
	}
	s := sample{Records: j.records, Seconds: time.Since(began).Seconds()}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		return err
	}
	s.CPU = cpu(&after) - cpu(&before)
	s.MaxRSS, s.Anon = after.Maxrss<<10, j.anon
	if err := end(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(s)
}

// profile writes a CPU profile until stop.
func profile(path string) (stop func(), err error) {
	f, err := os.Create(path + ".pprof")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }, nil // a look inside, no result
}

func cpu(u *syscall.Rusage) float64 {
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// values are JSON-like texts that compress two- to threefold.
func values(size int) [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	all := make([][]byte, 1024)
	for i := range all {
		v := []byte(`{"event":"measured",`)
		for len(v) < size {
			v = fmt.Appendf(v, `"sensor-%d":%d,`, r.IntN(100), r.IntN(1_000_000))
		}
		all[i] = v[:size]
	}
	return all
}

// kgoOptions are what both kinds of load set.
func (j *job) kgoOptions() ([]kgo.Opt, error) {
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	opts := []kgo.Opt{kgo.SeedBrokers(j.bootstrap), kgo.DefaultProduceTopic(j.topic),
		kgo.ProducerBatchMaxBytes(int32(j.batchSize)), kgo.ProducerLinger(time.Duration(j.lingerMs) * time.Millisecond),
		kgo.ProducerBatchCompression(codecs[j.codec]), kgo.RequiredAcks(kgo.AllISRAcks()),
		// Its default of 10,000 records would make it wait; so much fits into buffer.memory, too.
		kgo.MaxBufferedRecords(1 << 20), kgo.MaxBufferedBytes(32 << 20)}
	if j.authority != "" {
		pem, err := os.ReadFile(j.authority)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		opts = append(opts, kgo.DialTLSConfig(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}))
	}
	return opts, nil
}

// withKgo sends as kgo's users do: a record and a callback each.
func withKgo(j *job) (send, end func() error, err error) {
	opts, err := j.kgoOptions()
	if err != nil {
		return nil, nil, err
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, nil, err
	}
	if err := client.Ping(context.Background()); err != nil {
		return nil, nil, err
	}
	send = func() error {
		ctx := context.Background()
		var acked atomic.Int64
		var failed atomic.Pointer[error]
		for i := range j.records {
			client.Produce(ctx, &kgo.Record{Value: j.values[i%len(j.values)]}, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Store(&err)
				}
				acked.Add(1)
			})
		}
		if err := client.Flush(ctx); err != nil {
			return err
		}
		if err := failed.Load(); err != nil {
			return *err
		}
		if n := acked.Load(); n != int64(j.records) {
			return fmt.Errorf("kgo: %d of %d records acked", n, j.records)
		}
		return nil
	}
	return send, func() error { client.Close(); return nil }, nil
}

// open opens a producer and waits for its link, as kgo's Ping does.
func (j *job) open() (*spoold.Producer, error) {
	cfg := spoold.DefaultConfig()
	err := errors.Join(cfg.Set("bootstrap.servers", j.bootstrap), cfg.Set("spool.path", j.spool),
		cfg.Set("batch.size", strconv.Itoa(j.batchSize)), cfg.Set("linger.ms", strconv.Itoa(j.lingerMs)),
		cfg.Set("compression.type", j.codec))
	if j.authority != "" {
		err = errors.Join(err, cfg.Set("security.protocol", "SSL"), cfg.Set("ssl.truststore.location", j.authority))
	}
	for k, v := range j.set {
		err = errors.Join(err, cfg.Set(k, v))
	}
	if err != nil {
		return nil, err
	}
	p, err := spoold.Open(cfg, spoold.Env{})
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for p.Status().Link != "up" {
		<-tick.C
	}
	return p, nil
}

// withSpoold sends one record at a time. In the end all are on disk and acked.
func withSpoold(j *job) (send, end func() error, err error) {
	p, err := j.open()
	if err != nil {
		return nil, nil, err
	}
	ctx := context.Background()
	send = func() error {
		var last spoold.Delivery
		for i := range j.records {
			r := spoold.Record{Topic: j.topic, Value: j.values[i%len(j.values)]}
			if j.partition != nil {
				r.Partition = j.partition(i)
			}
			d, err := p.Send(ctx, r)
			if err != nil {
				return err
			}
			last = d
		}
		if err := last.Spooled(ctx); err != nil {
			return err
		}
		return p.Flush(ctx)
	}
	end = func() error {
		if err := p.Close(ctx); err != nil {
			return err
		}
		// What Flush saw acked is settled by now, so the durable counter says it, too.
		if s := p.Status(); s.Acked != uint64(j.records) {
			return fmt.Errorf("spoold: %d of %d records acked", s.Acked, j.records)
		}
		return nil
	}
	return send, end, nil
}
