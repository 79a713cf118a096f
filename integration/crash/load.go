package crash

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Load is clients that send to the daemon over HTTP. Each waits for an answer before its
// next record, and asks again, with the same Idempotency-Key, as long as it has none.
type Load struct {
	Ledger   *Ledger
	URL      string // of the topic
	Seed     uint64
	Think    time.Duration // longest pause of a client between two requests
	Records  int           // most records in one request
	Patience time.Duration // longest wait for an answer; 0: 10 s
	Keyless  bool          // no Idempotency-Key: for what is never killed
	Pace     *Pace         // how fast all go now, if not nil
	// Manner is what Think and Records are for each client, if they are not the same for all.
	Manner func(client int) (think time.Duration, records int)
	// Answered is told of every answer; nil: nobody is.
	Answered func(Answer)

	stop     chan struct{}
	wg       sync.WaitGroup
	client   http.Client
	failed   atomic.Pointer[error]
	requests atomic.Int64 // answered with 200
	retries  atomic.Int64
	refused  atomic.Int64 // answered with 429; they are retries, too
	bytes    atomic.Int64 // of bodies that were answered with 200
}

// Answer is what a client was told.
type Answer struct {
	Sent   time.Time // when the request was
	Again  bool      // it was sent before
	Status int       // 0: there was no answer, or it was cut off
	Text   string    // of an answer, or why there was none
}

// OK reports whether the records are spooled.
func (a *Answer) OK() bool { return a.Status == http.StatusOK }

// Run starts the clients.
func (l *Load) Run(ctx context.Context) {
	l.stop = make(chan struct{})
	l.client.Transport = &http.Transport{MaxIdleConnsPerHost: l.Ledger.Clients(), DisableCompression: true}
	for i := range l.Ledger.Clients() {
		l.wg.Go(func() {
			if err := l.send(ctx, i); err != nil {
				l.failed.CompareAndSwap(nil, &err)
			}
		})
	}
}

// Stop lets every client get its last answer. The daemon must be up.
func (l *Load) Stop() error {
	close(l.stop)
	l.wg.Wait()
	l.client.CloseIdleConnections()
	return l.Err()
}

// Err is the first answer that no client should get.
func (l *Load) Err() error {
	if err := l.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Requests is how many were answered, and how many had to be asked again.
func (l *Load) Requests() (answered, again int64) { return l.requests.Load(), l.retries.Load() }

// Refused is how often the daemon answered that it takes nothing now (429).
func (l *Load) Refused() int64 { return l.refused.Load() }

// Bytes is how long all bodies were that were answered: in base64, a third more than the values.
func (l *Load) Bytes() int64 { return l.bytes.Load() }

// send is one client.
func (l *Load) send(ctx context.Context, client int) error {
	r := rand.New(rand.NewPCG(l.Seed, uint64(client)))
	think, records := l.Think, l.Records
	if l.Manner != nil {
		think, records = l.Manner(client)
	}
	for {
		if think > 0 {
			pause(ctx, l.stop, l.Pace.of(time.Duration(r.Int64N(int64(think)))))
		}
		if !l.Pace.enter(ctx, l.stop) {
			return context.Cause(ctx) // nil: stopped
		}
		err := l.request(ctx, r, client, 1+r.IntN(max(records, 1)))
		l.Pace.leave()
		if err != nil {
			return err
		}
	}
}

// request sends a client's next records until it has an answer.
func (l *Load) request(ctx context.Context, r *rand.Rand, client, count int) error {
	first := l.Ledger.Next(client)
	for again := false; ; again = true {
		a := l.Once(ctx, client, first, count, again)
		switch {
		case a.OK():
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case a.Status == http.StatusTooManyRequests:
			l.refused.Add(1)
		case a.Status != 0 && a.Status < 500: // it says that the records never will be spooled
			return fmt.Errorf("crash: client %d, records %d to %d: answer %d: %s", client, first, first+count-1, a.Status, a.Text)
		}
		l.retries.Add(1)
		pause(ctx, nil, time.Millisecond+time.Duration(r.Int64N(int64(50*time.Millisecond))))
	}
}

// Once sends a request with a client's records from first on, once.
func (l *Load) Once(ctx context.Context, client, first, count int, again bool) Answer {
	body := l.body(client, first, count)
	a := l.ask(ctx, body, fmt.Sprintf("%d-%d-%d", l.Seed, client, first))
	a.Again = again
	if l.Answered != nil && a.Status != 0 {
		l.Answered(a)
	}
	if a.OK() {
		l.Ledger.Answered(client, first+count)
		l.requests.Add(1)
		l.bytes.Add(int64(len(body)))
	}
	return a
}

// pause waits, unless stop or ctx ends it.
func pause(ctx context.Context, stop <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-stop:
	case <-ctx.Done():
	}
}

// body is a request in Confluent v2's binary form: bytes go in as they are.
func (l *Load) body(client, first, count int) []byte {
	b := []byte(`{"records":[`)
	key := base64.StdEncoding.EncodeToString([]byte(Key(client)))
	for n := first; n < first+count; n++ {
		if n > first {
			b = append(b, ',')
		}
		b = append(b, `{"key":"`+key+`","value":"`...)
		b = base64.StdEncoding.AppendEncode(b, l.Ledger.Value(client, n))
		b = append(b, `"}`...)
	}
	return append(b, `]}`...)
}

func (l *Load) ask(ctx context.Context, body []byte, key string) (a Answer) {
	ctx, cancel := context.WithTimeout(ctx, l.patience())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.URL, bytes.NewReader(body))
	if err != nil {
		return Answer{Text: err.Error()}
	}
	req.Header.Set("Content-Type", "application/vnd.kafka.binary.v2+json")
	if !l.Keyless {
		// Set in the map: net/http would send an unanswered request with this header once more by itself.
		req.Header["Idempotency-Key"] = []string{key}
		req.GetBody = nil
	}
	a.Sent = time.Now()
	resp, err := l.client.Do(req)
	if err != nil {
		a.Text = err.Error()
		return a
	}
	defer func() { _ = resp.Body.Close() }() // what matters of it was read
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	a.Status, a.Text = resp.StatusCode, string(text)
	if err != nil {
		a.Status, a.Text = 0, err.Error()
	}
	return a
}

// patience is how long a client waits for an answer.
func (l *Load) patience() time.Duration {
	if l.Patience > 0 {
		return l.Patience
	}
	return 10 * time.Second
}
