package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// ledger is what was sent, as the clients counted it. Each client sends one record
// after another, under a key of its own: so its records are in one partition, in the order of their numbers.
type ledger struct {
	topic   string
	seed    uint64
	clients []*client
	pairs   bool // a request is a transaction: of two records, under two keys
	http    http.Client
}

// client is one sender. Its fields are its goroutine's while send runs.
type client struct {
	id   int
	next int  // number of the next new record: all below were begun
	wait bool // record next-1 was sent and not answered
}

func newLedger(topic string, n int, seed uint64) *ledger {
	l := &ledger{topic: topic, seed: seed}
	l.http.Transport = &http.Transport{MaxIdleConns: n, MaxIdleConnsPerHost: n}
	l.http.Timeout = 30 * time.Second
	for id := range n {
		l.clients = append(l.clients, &client{id: id})
	}
	return l
}

func (l *ledger) close() { l.http.CloseIdleConnections() }

// begun is how many records were sent at least once.
func (l *ledger) begun() (n int) {
	for _, c := range l.clients {
		n += c.next
	}
	return n * l.perRequest()
}

// perRequest is how many records one request has.
func (l *ledger) perRequest() int {
	if l.pairs {
		return 2
	}
	return 1
}

// open is how many of them were not answered.
func (l *ledger) open() (n int) {
	for _, c := range l.clients {
		if c.wait {
			n++
		}
	}
	return n * l.perRequest()
}

// key and value of a record follow from who sent it: the ledger needs no copy of them.
func (l *ledger) key(client int) string { return fmt.Sprintf("c%03d", client) }

func (l *ledger) value(client, number int) string {
	return fmt.Sprintf(`{"run":%d,"client":%d,"number":%d}`, l.seed, client, number)
}

// errKilled ends a client whose daemon was killed on purpose.
var errKilled = errors.New("killed")

// send sends what is open, then n new records, all clients at once. With kill, it is
// called when killAt of them were answered, and the others stay open.
func (l *ledger) send(ctx context.Context, url string, n, killAt int, kill func()) error {
	var (
		wg             sync.WaitGroup
		left, answered atomic.Int64
		killed         atomic.Bool
		mu             sync.Mutex
		errs           []error
	)
	left.Store(int64(n))
	for _, c := range l.clients {
		wg.Go(func() {
			for c.wait || (!killed.Load() && left.Add(-1) >= 0) {
				if !c.wait {
					c.next++
					c.wait = true
				}
				err := l.post(ctx, url, c, killed.Load)
				if err == nil {
					c.wait = false
					if kill != nil && answered.Add(1) == int64(killAt) {
						killed.Store(true)
						kill()
					}
					continue
				}
				if !errors.Is(err, errKilled) {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
				return
			}
		})
	}
	wg.Wait()
	return errors.Join(errs[:min(len(errs), 1)]...)
}

// post sends a client's open record until it is answered 2xx. The idempotency key makes
// every further send the same request.
func (l *ledger) post(ctx context.Context, url string, c *client, killed func() bool) error {
	number := c.next - 1
	body := fmt.Appendf(nil, `{"records":[{"key":%q,"value":%s}`, l.key(c.id), l.value(c.id, number))
	if l.pairs {
		body = fmt.Appendf(body, `,{"key":%q,"value":%s}`, l.key(c.id)+second, l.value(c.id, number))
	}
	body = append(body, "]}"...)
	// A key is a JSON value here too: its bytes in Kafka are "c001" with the quotes.
	for attempt := 0; ; attempt++ {
		status, answer, err := l.try(ctx, url, fmt.Sprintf("%d-%d", c.id, number), body)
		switch {
		case err == nil && status == http.StatusOK:
			return nil
		case killed():
			return errKilled
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable:
			return fmt.Errorf("demo: the daemon answered %d: %s", status, answer)
		case attempt == 20:
			return fmt.Errorf("demo: no answer after %d tries: %w", attempt+1, errors.Join(err, fmt.Errorf("status %d", status)))
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *ledger) try(ctx context.Context, url, key string, body []byte) (status int, answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+l.topic, bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/vnd.kafka.json.v2+json")
	req.Header.Set("Idempotency-Key", key)
	req.GetBody = nil // no silent retry by the transport: the demo counts them
	res, err := l.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err != nil {
		return 0, "", err
	}
	return res.StatusCode, string(text), nil
}

// sent is who sent a record, and as which.
type sent struct {
	Run    uint64 `json:"run"`
	Client int    `json:"client"`
	Number int    `json:"number"`
	Second bool   `json:"-"` // of the two records of a transaction
}

// second is what the key of a transaction's second record ends in.
const second = "b"

// identify says which record of the ledger this is, byte for byte.
func (l *ledger) identify(key, value []byte) (sent, bool) {
	var s sent
	if json.Unmarshal(value, &s) != nil || s.Run != l.seed || s.Client < 0 || s.Client >= len(l.clients) ||
		s.Number < 0 || s.Number >= l.clients[s.Client].next {
		return s, false
	}
	name := l.key(s.Client)
	if s.Second = l.pairs && string(key) == `"`+name+second+`"`; s.Second {
		name += second
	}
	return s, string(value) == l.value(s.Client, s.Number) && string(key) == `"`+name+`"`
}
