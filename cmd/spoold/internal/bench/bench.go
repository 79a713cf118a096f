package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spoold/spoold"
)

// MaxBytes is what the spool of a run may take.
const MaxBytes = 1 << 30

// Options say what is measured.
type Options struct {
	Config   spoold.Config // of the cluster and the spool; spool.path and transactional.id are not used
	Dir      string        // in which the run makes its own directory, on the disk in question
	Topic    string        // "": no cluster is measured
	Size     int           // bytes of a record's value
	Duration time.Duration // of each of the phases
	Drain    time.Duration // how long the cluster may take for the rest
	Say      func(phase string)
}

// Result is what was measured. Without a cluster, all that is said of acks is zero.
type Result struct {
	Dir        string  `json:"dir"`
	Size       int     `json:"value_bytes"`
	Sync       Latency `json:"sync"`        // 4 KiB written and synced
	OneSpooled Latency `json:"one_spooled"` // one caller, one record at a time, until it is spooled
	OneAcked   Latency `json:"one_acked"`   // the same, until it is acked
	Records    int     `json:"records"`     // sent as fast as possible
	Spooled    float64 `json:"spooled_per_second"`
	Acked      float64 `json:"acked_per_second"`
	Series     Series  `json:"series"`
}

// Series is how the records went by, a value for each Every.
type Series struct {
	Every   time.Duration `json:"every_ns"`
	Spooled []float64     `json:"spooled_per_second"`
	Acked   []float64     `json:"acked_per_second"`
}

// SlowClusterError says that the cluster did not take everything in time.
type SlowClusterError struct {
	Pending uint64
	After   time.Duration
	Link    string // why, if the link is down
}

func (e *SlowClusterError) Error() string {
	text := fmt.Sprintf("%s records were not acked within %v", humanize.Comma(int64(e.Pending)), e.After)
	if e.Link != "" {
		text += ": " + e.Link
	}
	return text
}

// Run measures. An error leaves the result with what was measured until then.
func Run(ctx context.Context, o Options) (r *Result, err error) {
	r = &Result{Dir: o.Dir, Size: o.Size}
	dir, err := scratch(o.Dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o.Say("sync")
	if r.Sync, err = syncs(ctx, dir, o.Duration); err != nil {
		return r, err
	}
	cfg := o.Config
	cfg.SpoolPath, cfg.TransactionalID = filepath.Join(dir, "spool"), ""
	cfg.SpoolMaxBytes = min(cfg.SpoolMaxBytes, MaxBytes)
	cfg.SpoolSegmentBytes = min(cfg.SpoolSegmentBytes, cfg.SpoolMaxBytes/16)
	topic := o.Topic
	if topic == "" {
		cfg.BootstrapServers, topic = []string{"127.0.0.1:1"}, "bench" // where nobody answers
	}
	p, err := spoold.Open(cfg, spoold.Env{})
	if err != nil {
		return r, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, p.Close(ctx))
	}()
	b := &run{Options: o, p: p, record: spoold.Record{Topic: topic, Value: value(o.Size)}}
	return r, b.phases(ctx, r)
}

// value is a text that compresses a little, as most do.
func value(size int) []byte {
	v := make([]byte, size)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range v {
		v[i] = "0123456789abcdef"[rng.IntN(16)]
	}
	return v
}

type run struct {
	Options
	p      *spoold.Producer
	record spoold.Record
}

func (b *run) phases(ctx context.Context, r *Result) (err error) {
	if b.Topic != "" {
		b.Say("first record")
		first, cancel := context.WithTimeout(ctx, b.Drain)
		_, err = b.one(first, true)
		cancel()
		if err != nil {
			return b.slow(ctx, err)
		}
	}
	b.Say("one caller, spooled")
	if r.OneSpooled, err = b.repeat(ctx, false); err != nil {
		return err
	}
	if b.Topic != "" {
		b.Say("one caller, acked")
		if r.OneAcked, err = b.repeat(ctx, true); err != nil {
			return b.slow(ctx, err)
		}
	}
	b.Say("as fast as possible")
	return b.flood(ctx, r)
}

// slow says so, if the time was up and not that of the caller.
func (b *run) slow(ctx context.Context, err error) error {
	if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	s := b.p.Status()
	return &SlowClusterError{s.Pending, b.Drain, s.LinkError}
}

// one sends a record and waits.
func (b *run) one(ctx context.Context, acked bool) (time.Duration, error) {
	from := time.Now()
	d, err := b.p.Send(ctx, b.record)
	if err != nil {
		return 0, err
	}
	if acked {
		_, err = d.Acked(ctx)
	} else {
		err = d.Spooled(ctx)
	}
	return time.Since(from), err
}

func (b *run) repeat(ctx context.Context, acked bool) (Latency, error) {
	limit, cancel := context.WithTimeout(ctx, b.Duration+b.Drain)
	defer cancel()
	var all []time.Duration
	for begin := time.Now(); time.Since(begin) < b.Duration; {
		took, err := b.one(limit, acked)
		if err != nil {
			return latencyOf(all), err
		}
		all = append(all, took)
	}
	return latencyOf(all), nil
}

// flood sends for so long without waiting for each record, and then until all are spooled, and acked.
func (b *run) flood(ctx context.Context, r *Result) error {
	stop := b.watch(&r.Series)
	defer stop()
	begin := time.Now()
	var last spoold.Delivery
	for time.Since(begin) < b.Duration {
		for range 64 {
			d, err := b.p.Send(ctx, b.record)
			if errors.Is(err, spoold.ErrFull) && b.Topic == "" {
				return b.spooled(ctx, r, last, begin) // nothing takes records away
			}
			if err != nil {
				return err
			}
			last = d
			r.Records++
		}
	}
	if err := b.spooled(ctx, r, last, begin); err != nil || b.Topic == "" {
		return err
	}
	limit, cancel := context.WithTimeout(ctx, b.Drain)
	defer cancel()
	if err := b.p.Flush(limit); err != nil {
		r.Acked = perSecond(r.Records, b.p.Status().Pending, time.Since(begin))
		return b.slow(ctx, err)
	}
	r.Acked = perSecond(r.Records, 0, time.Since(begin))
	return nil
}

// perSecond is the rate of those that are not pending any more.
func perSecond(records int, pending uint64, took time.Duration) float64 {
	return float64(records-int(min(pending, uint64(records)))) / took.Seconds()
}

func (b *run) spooled(ctx context.Context, r *Result, last spoold.Delivery, begin time.Time) error {
	if r.Records == 0 {
		return spoold.ErrFull
	}
	if err := last.Spooled(ctx); err != nil {
		return err
	}
	r.Spooled = float64(r.Records) / time.Since(begin).Seconds()
	return nil
}

const sampleEvery = 200 * time.Millisecond

// watch samples the rates until stop.
func (b *run) watch(s *Series) (stop func()) {
	s.Every = sampleEvery
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		last, at := b.p.Status(), time.Now()
		for {
			select {
			case <-quit:
				return
			case <-tick.C:
			}
			// Not Peek: while records come as fast as possible, what was published last may be older than a sample.
			now := b.p.Status()
			took := time.Since(at)
			s.Spooled = append(s.Spooled, float64(now.Accepted-last.Accepted)/took.Seconds())
			s.Acked = append(s.Acked, float64(now.Acked-last.Acked)/took.Seconds())
			last, at = now, at.Add(took)
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}
