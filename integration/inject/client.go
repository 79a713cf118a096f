package inject

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/spoold/spoold/integration/crash"
)

// Topic is where all records go.
const Topic = "t"

// Client sends requests one after the other, and never forgets one. Each is a client of the ledger.
type Client struct {
	Ledger   *crash.Ledger
	Repeated int // requests that were sent again
	load     *crash.Load
	requests []*request
}

type request struct {
	records, size int
	answered      bool
}

// maxRequests is more than a round has.
const maxRequests = 4000

// NewClient is a client that has sent nothing.
func NewClient(seed uint64) *Client {
	c := &Client{Ledger: crash.NewLedger(seed, maxRequests, 0)}
	c.Ledger.Size = func(client int, _ *rand.Rand) int { return c.requests[client].size }
	c.load = &crash.Load{Ledger: c.Ledger, Seed: seed, Patience: 20 * time.Second}
	return c
}

// Next sends a new request. It reports whether the answer was 2xx; what else came is not an error, but said.
func (c *Client) Next(ctx context.Context, d *Daemon, records, size int) (bool, string) {
	c.requests = append(c.requests, &request{records: records, size: size + 1})
	return c.send(ctx, d, len(c.requests)-1, false)
}

// Again repeats requests with their keys: all that were not answered, and some of the others.
func (c *Client) Again(ctx context.Context, d *Daemon) error {
	for i, r := range c.requests {
		if r.answered && i%7 != 0 {
			continue
		}
		c.Repeated++
		before := r.answered
		if ok, said := c.send(ctx, d, i, true); !ok {
			return fmt.Errorf("inject: request %d again, answered before: %v: %s", i, before, said)
		}
	}
	return nil
}

func (c *Client) send(ctx context.Context, d *Daemon, i int, again bool) (bool, string) {
	c.load.URL = "http://" + d.Addr() + "/topics/" + Topic
	r := c.requests[i]
	a := c.load.Once(ctx, i, 0, r.records, again)
	r.answered = r.answered || a.OK()
	return a.OK(), fmt.Sprintf("%d %s", a.Status, a.Text)
}
