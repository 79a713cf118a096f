package inject

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Topic is where all records go.
const Topic = "t"

// Client sends requests one after the other, and never forgets one.
type Client struct {
	Repeated int // requests that were sent again
	http     http.Client
	requests []*request
}

type request struct {
	key      string
	values   []string
	answered bool // 2xx
}

// NewClient is a client that has sent nothing.
func NewClient() *Client {
	return &Client{http: http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}}
}

// Next sends a new request. It reports whether the answer was 2xx; what else came is not an error, but said.
func (c *Client) Next(ctx context.Context, d *Daemon, records, size int) (bool, string) {
	n := len(c.requests)
	r := &request{key: fmt.Sprintf("key-%d", n)}
	for i := range records {
		r.values = append(r.values, fmt.Sprintf("%d/%d/", n, i)+strings.Repeat(string(rune('a'+n%26)), size))
	}
	c.requests = append(c.requests, r)
	return c.send(ctx, d, r)
}

// Again repeats requests with their keys: all that were not answered, and some of the others.
func (c *Client) Again(ctx context.Context, d *Daemon) error {
	for i, r := range c.requests {
		if r.answered && i%7 != 0 {
			continue
		}
		c.Repeated++
		if ok, said := c.send(ctx, d, r); !ok {
			return fmt.Errorf("inject: %s again, answered before: %v: %s", r.key, r.answered, said)
		}
	}
	return nil
}

func (c *Client) send(ctx context.Context, d *Daemon, r *request) (bool, string) {
	type record struct {
		Value string `json:"value"`
	}
	var body struct {
		Records []record `json:"records"`
	}
	for _, v := range r.values {
		body.Records = append(body.Records, record{v})
	}
	b, err := json.Marshal(body)
	if err != nil {
		return false, err.Error()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.HTTP+"/topics/"+Topic, bytes.NewReader(b))
	if err != nil {
		return false, err.Error()
	}
	req.GetBody = nil // with the key in it the transport would repeat it by itself
	req.Header.Set("Content-Type", "application/vnd.kafka.json.v2+json")
	req.Header.Set("Idempotency-Key", r.key)
	resp, err := c.http.Do(req)
	if err != nil {
		return false, err.Error()
	}
	defer func() { _ = resp.Body.Close() }() // it is read as far as it goes
	text, err := io.ReadAll(resp.Body)
	ok := err == nil && resp.StatusCode/100 == 2
	r.answered = r.answered || ok
	return ok, fmt.Sprintf("%d %s %v", resp.StatusCode, text, err)
}

// Want is how often each value must be in the spool: once, if its request was ever answered 2xx.
func (c *Client) Want() map[string]int {
	want := map[string]int{}
	for _, r := range c.requests {
		for _, v := range r.values {
			if r.answered {
				want[`"`+v+`"`]++
			}
		}
	}
	return want
}
