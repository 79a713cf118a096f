package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/proof"
)

// httpResult is one number of clients, one record in each request.
type httpResult struct {
	Clients  int     `json:"clients"`
	Requests int     `json:"requests"`
	Rate     float64 `json:"accepted_per_second"` // spooled: on disk, synced
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
}

// http measures the daemon. Its clients are lean (a written-out request, an answer's
// length) because they share the machine with it.
func (b *bench) http(ctx context.Context) ([]httpResult, error) {
	bin, err := b.build(ctx, "bench-http")
	if err != nil {
		return nil, err
	}
	d, err := b.daemon(ctx, bin, nil)
	if err != nil {
		return nil, err
	}
	var all []httpResult
	for _, clients := range append([]int{64}, b.o.clients...) { // the first warms up
		r, err := load(ctx, d.HTTP, "bench-http", clients, time.Duration(b.o.seconds*float64(time.Second)))
		if err != nil {
			return nil, err
		}
		say("http   %4d clients  %7.0f accepted/s  p50 %.2f ms  p99 %.2f ms", clients, r.Rate, r.P50, r.P99)
		all = append(all, r)
	}
	return all[1:], d.Stop()
}

// build makes the daemon's program, and the topic that it is loaded with.
func (b *bench) build(ctx context.Context, topic string) (bin string, err error) {
	root, err := proof.Root()
	if err != nil {
		return "", err
	}
	if bin, err = crash.Build(ctx, root, b.dir); err != nil {
		return "", err
	}
	return bin, b.cluster.CreateTopic(ctx, topic, topicPartitions, nil)
}

// daemon starts one with a spool of its own, past the links that there may be.
func (b *bench) daemon(ctx context.Context, bin string, keys map[string]string) (*crash.Daemon, error) {
	dir, err := os.MkdirTemp(b.dir, "daemon-")
	if err != nil {
		return nil, err
	}
	d, err := crash.NewDaemon(bin, filepath.Clean(dir), b.cluster.Direct(), keys)
	if err != nil {
		return nil, err
	}
	if err := d.Start(); err != nil {
		return nil, err
	}
	_, err = d.Ready(ctx)
	return d, err
}

func load(ctx context.Context, addr, topic string, clients int, length time.Duration) (httpResult, error) {
	var mu sync.Mutex
	var times []time.Duration
	var failed error
	var wg sync.WaitGroup
	began := time.Now()
	for i := range clients {
		wg.Go(func() {
			own, err := oneClient(ctx, addr, topic, i, began.Add(length))
			mu.Lock()
			defer mu.Unlock()
			times = append(times, own...)
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	seconds := time.Since(began).Seconds()
	if failed != nil || len(times) == 0 {
		return httpResult{}, fmt.Errorf("http: %d requests, %w", len(times), failed)
	}
	slices.Sort(times)
	at := func(q float64) float64 { return times[int(q*float64(len(times)-1))].Seconds() * 1000 }
	return httpResult{Clients: clients, Requests: len(times), Rate: float64(len(times)) / seconds, P50: at(0.5), P99: at(0.99)}, nil
}

// oneClient sends one record after the other on one connection.
func oneClient(ctx context.Context, addr, topic string, i int, end time.Time) ([]time.Duration, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // the last answer was read
	body := fmt.Sprintf(`{"records":[{"key":"client-%d","value":{"event":"measured","sensor":%d,"text":"%s"}}]}`, i, i, strings.Repeat("x", 50))
	request := []byte(fmt.Sprintf("POST /topics/%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/vnd.kafka.json.v2+json\r\nContent-Length: %d\r\n\r\n%s",
		topic, addr, len(body), body))
	in := bufio.NewReader(c)
	var times []time.Duration
	for now := time.Now(); now.Before(end); {
		if _, err := c.Write(request); err != nil {
			return times, err
		}
		if err := answer(in); err != nil {
			return times, err
		}
		then := now
		now = time.Now()
		times = append(times, now.Sub(then))
	}
	return times, nil
}

// answer reads one answer, which must be 200.
func answer(in *bufio.Reader) error {
	status, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(status), "HTTP/1.1 200 ") {
		return fmt.Errorf("answer %q", status)
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, ok := strings.Cut(string(line), ":"); ok && strings.EqualFold(name, "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
	_, err = io.CopyN(io.Discard, in, int64(length))
	return err
}
