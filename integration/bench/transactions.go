package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold"
)

const (
	txnCallers = 16
	txnUnit    = 10     // records of a small transaction
	txnBig     = 10_000 // records of a large one
	txnSize    = 100    // bytes of a value
)

// txnRow compares transactions of one size, in transactions a second. Every contender's last transaction is
// committed on the cluster within the time.
type txnRow struct {
	Records int     `json:"records_per_transaction"`
	Callers int     `json:"callers"`
	Spoold  float64 `json:"spoold_transactions_per_second"`
	// OneKgo: the callers take turns with one client, which has one transactional.id, as spoold has.
	OneKgo float64 `json:"kgo_transactions_per_second"`
	// ManyKgo: each caller has a client and an id of its own. 0: not run.
	ManyKgo float64 `json:"kgo_client_per_caller_transactions_per_second,omitempty"`
}

// transactions lets the contenders run in turns, after one run each that warms the broker.
func (b *bench) transactions(ctx context.Context) ([]txnRow, error) {
	if err := b.cluster.CreateTopic(ctx, "bench-txn", topicPartitions, nil); err != nil {
		return nil, err
	}
	var rows []txnRow
	for _, kind := range []struct {
		unit    int
		callers int
		who     []string
		seconds map[string]float64 // transactions to run for each second of a run, about
	}{
		{txnUnit, txnCallers, []string{"txn-kgo", "txn-kgos", "txn-spoold"}, map[string]float64{"txn-kgo": 200, "txn-kgos": 600, "txn-spoold": 6000}},
		{txnBig, 1, []string{"txn-kgo", "txn-spoold"}, map[string]float64{"txn-kgo": 80, "txn-spoold": 80}},
	} {
		runs := make(map[string][]sample)
		for i := range b.o.runs + 1 {
			for _, who := range kind.who {
				n := max(int(b.o.seconds*kind.seconds[who])/kind.callers, 1) * kind.callers
				s, err := b.child(ctx, fmt.Sprintf("%s/%d/%d", who, kind.unit, kind.callers), false, "bench-txn", txnSize, n*kind.unit)
				if err != nil {
					return nil, err
				}
				say("%-10s %5d records  %9.0f transactions/s  %4.0f ns CPU/record%s", who, kind.unit, s.rate()/float64(kind.unit), s.cpuPerRecord(), map[bool]string{true: "  (warm-up)"}[i == 0])
				if i > 0 {
					runs[who] = append(runs[who], s)
				}
			}
		}
		rate := func(who string) float64 {
			if len(runs[who]) == 0 {
				return 0
			}
			return medianOf(runs[who], sample.rate) / float64(kind.unit)
		}
		rows = append(rows, txnRow{Records: kind.unit, Callers: kind.callers, Spoold: rate("txn-spoold"), OneKgo: rate("txn-kgo"), ManyKgo: rate("txn-kgos")})
	}
	return rows, nil
}

// callers has j.callers goroutines run a transaction each, one after another, until j.records were sent.
func (j *job) callersDo(f func(caller int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, j.callers)
	for c := range j.callers {
		wg.Go(func() {
			for errs[c] == nil && next.Add(int64(j.unit)) <= int64(j.records) {
				errs[c] = f(c)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// withKgoTransactions has the callers take turns with the clients there are.
func withKgoTransactions(clients int) func(*job) (send, end func() error, err error) {
	return func(j *job) (send, end func() error, err error) {
		ctx := context.Background()
		n := clients
		if n == 0 {
			n = j.callers
		}
		all, locks := make([]*kgo.Client, n), make([]sync.Mutex, n)
		for i := range all {
			opts, err := j.kgoOptions()
			if err != nil {
				return nil, nil, err
			}
			opts = append(opts, kgo.TransactionalID(fmt.Sprintf("bench-%d-%d", time.Now().UnixNano(), i)))
			if all[i], err = kgo.NewClient(opts...); err != nil {
				return nil, nil, err
			}
			if err := all[i].Ping(ctx); err != nil {
				return nil, nil, err
			}
		}
		transaction := func(caller int) error {
			c := all[caller%n]
			locks[caller%n].Lock()
			defer locks[caller%n].Unlock()
			if err := c.BeginTransaction(); err != nil {
				return err
			}
			var failed atomic.Pointer[error]
			for i := range j.unit {
				c.Produce(ctx, &kgo.Record{Value: j.values[i%len(j.values)]}, func(_ *kgo.Record, err error) {
					if err != nil {
						failed.Store(&err)
					}
				})
			}
			if err := c.Flush(ctx); err != nil {
				return err
			}
			if err := failed.Load(); err != nil {
				return *err
			}
			return c.EndTransaction(ctx, kgo.TryCommit)
		}
		// The first transaction looks up the coordinator and takes the identity.
		for i := range all {
			if err := transaction(i); err != nil {
				return nil, nil, err
			}
		}
		end = func() error {
			for _, c := range all {
				c.Close()
			}
			return nil
		}
		return func() error { return j.callersDo(transaction) }, end, nil
	}
}

// withSpooldTransactions commits each transaction to the disk, synced, before its caller goes on. In the end all are committed on the cluster.
func withSpooldTransactions(j *job) (send, end func() error, err error) {
	j.set = map[string]string{"transactional.id": "bench-" + strconv.FormatInt(time.Now().UnixNano(), 10)}
	p, err := j.open()
	if err != nil {
		return nil, nil, err
	}
	ctx := context.Background()
	transaction := func(int) error {
		t, err := p.Begin(ctx)
		if err != nil {
			return err
		}
		for i := range j.unit {
			if err := t.Send(ctx, spoold.Record{Topic: j.topic, Value: j.values[i%len(j.values)]}); err != nil {
				return err
			}
		}
		_, err = t.Commit(ctx)
		return err
	}
	if err := errors.Join(transaction(0), p.Flush(ctx)); err != nil { // as kgo's first
		return nil, nil, err
	}
	send = func() error {
		if err := j.callersDo(transaction); err != nil {
			return err
		}
		return p.Flush(ctx)
	}
	return send, func() error { return p.Close(ctx) }, nil
}
