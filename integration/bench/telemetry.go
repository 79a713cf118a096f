package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spoold/spoold/integration/crash"
)

const telemetryClients = 64

// telemetry is the same daemon without and with everything that looks at it, in turns.
type telemetry struct {
	Off         []httpResult `json:"off_runs"`
	On          []httpResult `json:"on_runs"`
	OffRate     float64      `json:"off_accepted_per_second"`
	OnRate      float64      `json:"on_accepted_per_second"`
	OffNanos    float64      `json:"off_cpu_nanoseconds_per_record"`
	OnNanos     float64      `json:"on_cpu_nanoseconds_per_record"`
	CostPercent float64      `json:"cost_percent"`
	Exports     int64        `json:"otlp_requests"`
}

// watched is a daemon, and what it used of the processor in each run.
type watched struct {
	*crash.Daemon
	cpu []float64 // nanoseconds per record
}

// telemetry runs two daemons beside each other and loads them in turns: one that nobody looks at, and one that exports metrics and traces to a
// receiver, with a status page that follows its events, and Prometheus, which reads it every second.
func (b *bench) telemetry(ctx context.Context) (*telemetry, error) {
	bin, err := b.build(ctx, "bench-telemetry")
	if err != nil {
		return nil, err
	}
	t := new(telemetry)
	var exports atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // it is not looked at
		exports.Add(1)
	}))
	defer receiver.Close()
	off, err := b.watched(ctx, bin, nil)
	if err != nil {
		return nil, err
	}
	defer func() { _ = off.End() }() // after Stop, nothing
	on, err := b.watched(ctx, bin, map[string]string{"otel.exporter.otlp.endpoint": receiver.URL})
	if err != nil {
		return nil, err
	}
	defer func() { _ = on.End() }() // as above
	looking, stop := context.WithCancel(ctx)
	defer stop()
	go follow(looking, "http://"+on.Admin+"/events", 0)
	go follow(looking, "http://"+on.Admin+"/metrics", time.Second)
	for i := range b.o.runs + 1 {
		for _, d := range []*watched{off, on} {
			r, err := d.load(ctx, time.Duration(b.o.seconds*float64(time.Second)))
			if err != nil {
				return nil, err
			}
			say("telemetry %-5v %7.0f accepted/s  %6.0f ns CPU/record%s", d == on, r.Rate, d.cpu[len(d.cpu)-1], map[bool]string{true: "  (warm-up)"}[i == 0])
			switch {
			case i == 0:
				d.cpu = nil
			case d == on:
				t.On = append(t.On, r)
			default:
				t.Off = append(t.Off, r)
			}
		}
	}
	rate := func(r httpResult) float64 { return r.Rate }
	t.OffRate, t.OnRate = medianOf(t.Off, rate), medianOf(t.On, rate)
	same := func(v float64) float64 { return v }
	t.OffNanos, t.OnNanos = medianOf(off.cpu, same), medianOf(on.cpu, same)
	t.CostPercent, t.Exports = 100*(1-t.OnRate/t.OffRate), exports.Load()
	stop()
	if t.Exports == 0 {
		return nil, fmt.Errorf("telemetry: nothing was exported")
	}
	if err := off.Stop(); err != nil {
		return nil, err
	}
	return t, on.Stop()
}

func (b *bench) watched(ctx context.Context, bin string, keys map[string]string) (*watched, error) {
	d, err := b.daemon(ctx, bin, keys)
	return &watched{Daemon: d}, err
}

// load sends for some time, and waits until nothing is pending: what one daemon has left to do must not slow the other one down.
func (w *watched) load(ctx context.Context, length time.Duration) (httpResult, error) {
	before, err := w.Use()
	if err != nil {
		return httpResult{}, err
	}
	r, err := load(ctx, w.HTTP, "bench-telemetry", telemetryClients, length)
	if err != nil {
		return r, err
	}
	for tick := time.NewTicker(50 * time.Millisecond); ; <-tick.C {
		st, err := w.Status(ctx)
		if err != nil {
			return r, err
		}
		if st.Pending == 0 {
			tick.Stop()
			break
		}
	}
	after, err := w.Use()
	w.cpu = append(w.cpu, float64(after.CPU-before.CPU)/float64(r.Requests))
	return r, err
}

// follow reads what an address has to say, again every so often; 0: as long as it goes on.
func follow(ctx context.Context, url string, every time.Duration) {
	for ctx.Err() == nil {
		if req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil); err == nil {
			if resp, err := http.DefaultClient.Do(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body) // as a browser that shows nothing
				_ = resp.Body.Close()                 // it was read
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(max(every, 100*time.Millisecond)):
		}
	}
}

func medianOf[T any](list []T, f func(T) float64) float64 {
	var v []float64
	for _, x := range list {
		v = append(v, f(x))
	}
	slices.Sort(v)
	return v[len(v)/2]
}
