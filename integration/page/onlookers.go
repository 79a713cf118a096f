package page

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// Receiver counts what an OTLP receiver is sent.
type Receiver struct{ Metrics, Traces atomic.Int64 }

func (c *Receiver) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // an export that breaks off counts, too
	switch r.URL.Path {
	case "/v1/metrics":
		c.Metrics.Add(1)
	case "/v1/traces":
		c.Traces.Add(1)
	}
}

// Goroutines scrapes a daemon at its admin address, as Prometheus does, and says how many goroutines it has.
func Goroutines(ctx context.Context, admin string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return 0, fmt.Errorf("page: scrape: %w", err)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("page: scrape: %w", err)
	}
	defer func() { _ = r.Body.Close() }() // it was read to its end
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, fmt.Errorf("page: scrape: %w", err)
	}
	_, rest, _ := bytes.Cut(text, []byte("\ngo_goroutines "))
	line, _, _ := strings.Cut(string(rest), "\n")
	n, err := strconv.Atoi(line)
	if err != nil {
		return 0, fmt.Errorf("page: scrape: %s, go_goroutines: %w", r.Status, err)
	}
	return n, nil
}
