package httpin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spoold/spoold"
)

// Sink takes a request's records: all of them in one spool commit, or none. It
// copies them before it returns. An error says that none was taken, unless it is
// spoold.ErrUnknown.
type Sink interface {
	SendBatch(context.Context, spoold.Batch) (Deliveries, error)
	// Partitions is how many partitions the topic has, as far as that is known now; 0: it is not.
	Partitions(topic string) int32
	// RetryAfter is how many seconds a client should wait when the spool is full.
	RetryAfter() int
}

// Deliveries is what becomes of the records of one SendBatch.
type Deliveries interface {
	// Spooled waits until they are on disk.
	Spooled(context.Context) error
	// Acked waits until record i is on the cluster.
	Acked(ctx context.Context, i int) (spoold.Ack, error)
	// Duplicate reports whether the key was seen before: nothing new was spooled.
	Duplicate() bool
}

// Config bounds a Handler. All fields must be set.
type Config struct {
	MaxBodyBytes int64
	AckTimeout   time.Duration // the longest ?wait=acked
	AdmitTimeout time.Duration // how long a request waits for room in the spool: then 429
	MaxWaiters   int           // requests that wait for acks at a time
	BodyBudget   int64         // bytes that all bodies above 16 KiB share
	Units        bool          // records are delivered in Kafka transactions
	// Context is what a request's records are sent under: the request's own, with a trace. nil: the request's own.
	Context func(*http.Request) context.Context
}

// DefaultConfig is what c and the listener's own keys say, with bounds of our own for the rest.
func DefaultConfig(c *spoold.Config, maxBodyBytes, maxConnections int64) Config {
	return Config{
		MaxBodyBytes: maxBodyBytes,
		AckTimeout:   c.RequestTimeout,
		AdmitTimeout: min(c.MaxBlock, time.Second),
		MaxWaiters:   int(max(maxConnections/2, 1)),
		BodyBudget:   max(48<<20, 4*maxBodyBytes+1<<20),
		Units:        c.TransactionalID != "",
	}
}

// Hooks report. They must not block.
type Hooks interface {
	Spooled(topic string, records int) // they are on disk
	Duplicate()                        // a request came again, with its key
	// Rejected: full, too_large, bad_format, unauthorized, overloaded, closing or unknown. A request
	// that cannot be read counts as one record.
	Rejected(reason string, records int)
}

// Handler answers POST /topics/{topic} and /topics/{topic}/partitions/{partition}. Safe for
// concurrent use.
type Handler struct {
	cfg   Config
	sink  Sink
	hooks Hooks
	cross *http.CrossOriginProtection

	base    context.Context // ends when Close is called: waits for acks end with it
	end     context.CancelFunc
	closed  atomic.Bool
	waiters atomic.Int64
	budget  atomic.Int64 // bytes in use of cfg.BodyBudget
}

// New is a handler that is ready to serve.
func New(cfg Config, sink Sink, hooks Hooks) *Handler {
	base, end := context.WithCancel(context.Background())
	return &Handler{cfg: cfg, sink: sink, hooks: hooks, cross: http.NewCrossOriginProtection(), base: base, end: end}
}

// Close refuses new requests with 503 and ends waits for acks. Requests that wait
// for the spool go on to their answer.
func (h *Handler) Close() {
	h.closed.Store(true)
	h.end()
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := parses.Get().(*parse)
	if f := h.serve(p, w, r); f != nil {
		h.rejected(f, max(len(p.records), 1))
		f.write(w)
	}
	p.free()
}

// serve answers 2xx itself and returns anything else as a fault.
func (h *Handler) serve(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	t, how, f := h.ask(r)
	if f != nil {
		return f
	}
	if t.unit && !h.cfg.Units {
		return faultf(409, 40901, "Units need Kafka transactions: set transactional.id")
	}
	format, f := t.formatOf(r.Header.Get("Content-Type"))
	if f != nil {
		return f
	}
	if f := h.read(p, w, r); f != nil {
		return f
	}
	defer h.unread(p)
	if f := p.runFor(t, format); f != nil {
		return f
	}
	if f := h.missing(p.records); f != nil {
		return f
	}
	if how.acked {
		if h.waiters.Add(1) > int64(h.cfg.MaxWaiters) {
			h.waiters.Add(-1)
			return faultf(429, 42902, "%d requests wait for acks already: nothing was spooled, ask again later or without wait=acked", h.cfg.MaxWaiters).retryAfter(1)
		}
		defer h.waiters.Add(-1)
	}
	batch := spoold.Batch{Records: p.records}
	if how.key != "" {
		batch.Key = t.path + "\n" + how.key
	}
	ctx := r.Context()
	if h.cfg.Context != nil {
		ctx = h.cfg.Context(r)
	}
	d, f := h.send(ctx, batch)
	if f != nil {
		return f
	}
	if err := d.Spooled(r.Context()); err != nil {
		return sendFault(err)
	}
	if d.Duplicate() {
		h.hooks.Duplicate()
	} else {
		h.spooled(t, p.records)
	}
	if how.acked {
		return h.answerAcked(p, w, r, d)
	}
	if how.async {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	p.answer = answerSpooled(p.answer[:0], p.records)
	reply(w, p.answer)
	return nil
}

// manner is how the client wants its answer.
type manner struct {
	key   string // Idempotency-Key, or ""
	acked bool   // ?wait=acked
	async bool   // ?async=true: 204, as Strimzi's bridge
}

// ask reads what is asked, without the body.
func (h *Handler) ask(r *http.Request) (target, manner, *fault) {
	var how manner
	t, f := targetOf(r.URL.Path)
	if f != nil {
		return t, how, f
	}
	if r.Method != http.MethodPost {
		return t, how, faultf(405, 405, "HTTP 405 Method Not Allowed: records come with POST")
	}
	if h.closed.Load() {
		return t, how, closingFault()
	}
	if err := h.cross.Check(r); err != nil {
		return t, how, faultf(403, 40301, "Posts from web pages of another origin are refused (Origin %q)", clip(r.Header.Get("Origin")))
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return t, how, faultf(415, 415, "Content-Encoding %q is not supported: send the body as it is", clip(e))
	}
	if r.URL.RawQuery != "" {
		q := r.URL.Query()
		switch wait := q.Get("wait"); wait {
		case "", "spooled":
		case "acked":
			how.acked = true
		case "committed":
			if !h.cfg.Units {
				return t, how, faultf(400, 40002, "Bad Request: wait=committed needs Kafka transactions: set transactional.id, or wait=acked")
			}
			how.acked = true
		default:
			return t, how, faultf(400, 40002, "Bad Request: wait=%s: it must be spooled or acked", clip(wait))
		}
		how.async = q.Get("async") == "true" && !how.acked
	}
	if values := r.Header["Idempotency-Key"]; len(values) > 0 {
		how.key = values[0]
		if len(values) > 1 || how.key == "" || len(how.key) > maxKey {
			return t, how, faultf(400, 40002, "Bad Request: Idempotency-Key must be given once, with 1 to %d bytes", maxKey)
		}
	}
	return t, how, nil
}

// maxKey is the longest Idempotency-Key. Keys are kept for a day, by the hundred thousand.
const maxKey = 255

// send hands the batch on, and waits for room in the spool no longer than AdmitTimeout.
func (h *Handler) send(ctx context.Context, batch spoold.Batch) (Deliveries, *fault) {
	admit, cancel := context.WithTimeoutCause(ctx, h.cfg.AdmitTimeout, errNoRoom)
	defer cancel()
	d, err := h.sink.SendBatch(admit, batch)
	switch {
	case err == nil:
		return d, nil
	case admit.Err() != nil && ctx.Err() == nil && errors.Is(err, admit.Err()):
		err = spoold.ErrFull
	}
	f := sendFault(err)
	if f.code == 42901 {
		f.retryAfter(h.sink.RetryAfter())
	}
	return nil, f
}

var errNoRoom = errors.New("nothing left the spool meanwhile")

// fullFault says why the spool is full, as the spool says it.
func fullFault(err error) *fault {
	why := strings.TrimSuffix(strings.TrimPrefix(err.Error(), spoold.ErrFull.Error()), ": "+errNoRoom.Error())
	if why = strings.TrimPrefix(why, ": "); why != "" {
		why = ": " + why
	}
	return faultf(429, 42901, "The spool is full: nothing was spooled, send again later%s", why)
}

func closingFault() *fault {
	return faultf(503, 50301, "spoold is stopping: nothing was spooled, send again when it is back").retryAfter(5).closing()
}

// sendFault says what a Sink's error means to the client.
func sendFault(err error) *fault {
	switch {
	case errors.Is(err, spoold.ErrUnknown):
		return faultf(500, 50002, "It is not known whether the records are spooled: send them again with the same Idempotency-Key (%v)", err)
	case errors.Is(err, spoold.ErrFull):
		return fullFault(err)
	case errors.Is(err, spoold.ErrKeyReused):
		return faultf(422, 42209, "This Idempotency-Key came with other records before: use a new key for a new request")
	case errors.Is(err, spoold.ErrKeyWindow):
		return faultf(429, 42903, "Too many idempotency keys are remembered: nothing was spooled, send again later or without a key").retryAfter(60)
	case errors.Is(err, spoold.ErrTooManyTopics):
		return faultf(429, 42905, "Nothing was spooled: %v", err).retryAfter(60)
	case errors.Is(err, spoold.ErrTooLarge):
		return faultf(413, 413, "Nothing was spooled: %v", err)
	case errors.Is(err, spoold.ErrInvalidRecord):
		return faultf(400, 40002, "Bad Request: nothing was spooled: %v", err)
	case errors.Is(err, spoold.ErrClosed):
		return closingFault()
	case errors.Is(err, context.Canceled):
		// The client is gone; whoever reads this is a proxy's log.
		return faultf(499, 499, "The client closed the connection before the answer")
	}
	return faultf(500, 50002, "The records were not taken: %v", err)
}

// answerAcked waits for the cluster and answers with offsets.
func (h *Handler) answerAcked(p *parse, w http.ResponseWriter, r *http.Request, d Deliveries) *fault {
	ctx, cancel := context.WithTimeout(h.base, h.cfg.AckTimeout)
	defer cancel()
	defer context.AfterFunc(r.Context(), cancel)()
	out := append(p.answer[:0], `{"offsets":[`...)
	status := http.StatusOK
	for i := range p.records {
		if i > 0 {
			out = append(out, ',')
		}
		ack, err := d.Acked(ctx, i)
		switch {
		case err == nil:
			out = appendOffset(out, ack.Partition, ack.Offset)
		case ctx.Err() != nil:
			return notAcked(h.cfg.AckTimeout, h.closed.Load())
		default:
			code := refusal(err)
			if code == 40301 || code == 40101 {
				status = code / 100
			}
			out = appendError(out, code, err)
		}
	}
	p.answer = append(out, answerEnd...)
	if status != http.StatusOK {
		w.Header()["Content-Type"] = contentType
		w.WriteHeader(status)
	}
	reply(w, p.answer)
	return nil
}

// notAcked is 504, or 503 while stopping: either way the records are spooled.
func notAcked(after time.Duration, closing bool) *fault {
	const do = "the records are spooled and will be delivered: do not send them again, except with the same Idempotency-Key"
	if closing {
		return faultf(503, 50003, "spoold is stopping before the cluster answered; %s", do)
	}
	return faultf(504, 50003, "The cluster did not answer within %v; %s", after, do)
}

// refusal is Confluent's code of a record that the cluster refused for good.
func refusal(err error) int {
	text := err.Error()
	switch {
	case strings.Contains(text, "TOPIC_AUTHORIZATION_FAILED"), strings.Contains(text, "CLUSTER_AUTHORIZATION_FAILED"):
		return 40301
	case strings.Contains(text, "SASL_AUTHENTICATION_FAILED"):
		return 40101
	}
	return 50002
}

func (h *Handler) rejected(f *fault, records int) {
	reason := "bad_format"
	switch f.code {
	case 42901, 42905:
		reason = "full"
	case 42902, 42903, 42904:
		reason = "overloaded"
	case 413:
		reason = "too_large"
	case 50301:
		reason = "closing"
	case 50002:
		reason = "unknown"
	case 50003, 499:
		return // spooled all the same, or nobody asks any more
	case 40301:
		reason = "unauthorized"
	}
	h.hooks.Rejected(reason, records)
}

const answerEnd = `],"key_schema_id":null,"value_schema_id":null}` + "\n"

// answerSpooled is v2's answer while no offset is known.
func answerSpooled(out []byte, records []spoold.Record) []byte {
	out = append(out, `{"offsets":[`...)
	for i := range records {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendOffset(out, records[i].Partition.Number(), -1)
	}
	return append(out, answerEnd...)
}

func appendOffset(out []byte, partition int32, offset int64) []byte {
	out = append(out, `{"partition":`...)
	out = strconv.AppendInt(out, int64(partition), 10)
	out = append(out, `,"offset":`...)
	out = strconv.AppendInt(out, offset, 10)
	return append(out, `,"error_code":null,"error":null}`...)
}

func appendError(out []byte, code int, err error) []byte {
	text := faultf(0, 0, "%v", err).body() // {"error_code":0,"message":"…"}\n
	message := text[len(`{"error_code":0,"message":`) : len(text)-2]
	out = fmt.Appendf(out, `{"partition":null,"offset":null,"error_code":%d,"error":`, code)
	out = append(out, message...)
	return append(out, '}')
}

func reply(w http.ResponseWriter, body []byte) {
	w.Header()["Content-Type"] = contentType
	_, _ = w.Write(body) // nobody is left to tell if the client is gone
}
