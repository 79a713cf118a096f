package httpin

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/spoold/spoold"
)

// Sink takes a request's records: all of them in one spool commit, or none. It
// copies them before it returns. An error says that none was taken, unless it is
// spoold.ErrUnknown.
type Sink interface {
	SendBatch(context.Context, spoold.Batch) (Deliveries, error)
	// Partitions is how many partitions the topic has; 0: that is not known. It may ask the cluster, but not for long, nor
	// after ctx has ended.
	Partitions(ctx context.Context, topic string) int32
	// RetryAfter is how many seconds a client should wait when the spool is full.
	RetryAfter() int
	// Waits says why records of the topic cannot leave the spool now; "": they can, as far as is known.
	Waits(topic string) string
	// Cluster is the cluster's id; "": it is not known yet.
	Cluster() string
	// Topics are the topics that are known now, by name.
	Topics() []Topic
}

// Topic is a topic that is known.
type Topic struct {
	Name       string
	Partitions int32 // 0: not known
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

// Config bounds a Handler. All fields that are not said to be optional must be set.
type Config struct {
	MaxBodyBytes  int64
	AckTimeout    time.Duration // the longest ?wait=acked
	AdmitTimeout  time.Duration // how long a request waits for room in the spool: then 429
	StreamTimeout time.Duration // how long a stream waits for room, and for its next bytes
	MaxWaiters    int           // requests that wait for acks at a time, and streams at a time
	BodyBudget    int64         // bytes that all bodies above 16 KiB share
	Units         bool          // records are delivered in Kafka transactions
	// Enter says who sends a request, or why it is refused. nil: anybody may send anything.
	Enter func(*http.Request) (Principal, *Denial)
	// Origins are the web pages of other addresses that may post, such as https://app.example.com. Optional.
	Origins []string
	// Ready says why no records are taken at present. nil: they are, until Close.
	Ready func() error
	// Log gets a line for each request at the level debug, and one for each answer from 500 on. nil: none.
	Log *slog.Logger
	// Context is what a request's records are sent under: the request's own, with a trace. nil: the request's own.
	Context func(*http.Request) context.Context
}

// DefaultConfig is what c and the listener's own keys say, with bounds of our own for the rest.
func DefaultConfig(c *spoold.Config, maxBodyBytes, maxConnections int64) Config {
	return Config{
		MaxBodyBytes:  maxBodyBytes,
		AckTimeout:    c.RequestTimeout,
		AdmitTimeout:  min(c.MaxBlock, time.Second),
		StreamTimeout: min(c.MaxBlock, time.Minute),
		MaxWaiters:    int(max(maxConnections/2, 1)),
		BodyBudget:    max(48<<20, 6*maxBodyBytes+1<<20),
		Units:         c.TransactionalID != "",
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

// Handler answers what routes lists. Safe for concurrent use.
type Handler struct {
	cfg   Config
	sink  Sink
	hooks Hooks
	cross *http.CrossOriginProtection

	base    context.Context // ends when Close is called: waits for acks end with it
	end     context.CancelFunc
	closed  atomic.Bool
	waiters atomic.Int64
	streams atomic.Int64
	maxBody atomic.Int64 // bytes; Config.MaxBodyBytes at first
	budget  atomic.Int64 // bytes in use of cfg.BodyBudget
}

// New is a handler that is ready to serve. Origins must be valid.
func New(cfg Config, sink Sink, hooks Hooks) *Handler {
	base, end := context.WithCancel(context.Background())
	h := &Handler{cfg: cfg, sink: sink, hooks: hooks, cross: http.NewCrossOriginProtection(), base: base, end: end}
	h.maxBody.Store(cfg.MaxBodyBytes)
	for _, origin := range cfg.Origins {
		if err := h.cross.AddTrustedOrigin(origin); err != nil {
			panic("httpin: " + err.Error()) // CheckOrigin said that it is one
		}
	}
	return h
}

// SetMaxBodyBytes has another limit of bodies from now on, at most Config.MaxBodyBytes: what is reserved for them stays what it was.
func (h *Handler) SetMaxBodyBytes(n int64) { h.maxBody.Store(min(n, h.cfg.MaxBodyBytes)) }

// Close refuses new requests with 503 and ends waits for acks. Requests that wait
// for the spool go on to their answer.
func (h *Handler) Close() {
	h.closed.Store(true)
	h.end()
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p := parses.Get().(*parse)
	p.h = h
	id := requestID(r)
	w.Header()["X-Request-Id"] = id
	if len(r.TransferEncoding) > 0 {
		// It may have had a Content-Length as well, which cannot be seen any more: then a proxy may see another request's
		// beginning behind it than we do.
		w.Header()["Connection"] = closing
	}
	f := h.answer(p, w, r)
	if f != nil {
		if r.Method == http.MethodPost {
			h.rejected(f, max(len(p.records), 1))
		}
		f.write(w)
	}
	if h.cfg.Log != nil {
		h.log(r, p, f, id[0])
	}
	p.free()
}

var closing = []string{"close"}

// answer answers 2xx itself and returns anything else as a fault.
func (h *Handler) answer(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	if len(h.cfg.Origins) > 0 && h.shareWithOrigin(w, r) {
		w.WriteHeader(http.StatusNoContent) // it was a question about the request to come
		return nil
	}
	rt, notFound := routeOf(r, &p.vars)
	if h.cfg.Enter != nil && (rt == nil || !rt.open) {
		who, denial := h.cfg.Enter(r)
		if denial != nil {
			return denial.fault()
		}
		p.who = who
	}
	if notFound != nil {
		return notFound
	}
	return rt.serve(h, p, w, r)
}

// records takes the records of one body.
func (h *Handler) records(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	t, how, f := h.ask(r)
	if f != nil {
		return f
	}
	if t.unit && !h.cfg.Units {
		return faultf(409, 40901, "Units need Kafka transactions: set transactional.id")
	}
	if !t.unit {
		if f := p.maySend(t.topic); f != nil {
			return f
		}
		if kind := linesOf(r.Header.Get("Content-Type")); kind != 0 {
			return h.lines(p, w, r, t, how, kind)
		}
	}
	format, f := t.formatOf(r.Header.Get("Content-Type"))
	if f != nil {
		return f
	}
	if f := p.mayEnter(); f != nil {
		return f
	}
	if f := h.read(p, w, r); f != nil {
		return f
	}
	defer h.unread(p)
	if f := p.runFor(t, format); f != nil {
		return f
	}
	if t.unit {
		for i := range p.records {
			if f := p.maySend(p.records[i].Topic); f != nil {
				return f
			}
		}
	}
	return h.take(p, w, r, t, how)
}

// take sends what was read and answers in v2's words.
func (h *Handler) take(p *parse, w http.ResponseWriter, r *http.Request, t target, how manner) *fault {
	if how.acked {
		done, f := h.waiter()
		if f != nil {
			return f
		}
		defer done()
	}
	d, f := h.spool(p, r, t, how, h.cfg.AdmitTimeout)
	if f != nil {
		return f
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

// spool sends p.records and waits until they are on disk.
func (h *Handler) spool(p *parse, r *http.Request, t target, how manner, admit time.Duration) (Deliveries, *fault) {
	d, f := h.hand(p, r, t, how.key, admit)
	if f != nil {
		return nil, f
	}
	if err := d.Spooled(r.Context()); err != nil {
		return nil, sendFault(err)
	}
	if d.Duplicate() {
		h.hooks.Duplicate()
	} else {
		h.spooled(t, p.records)
	}
	return d, nil
}

// hand sends p.records, under a key that is unique in t's scope; "": none.
func (h *Handler) hand(p *parse, r *http.Request, t target, key string, admit time.Duration) (Deliveries, *fault) {
	if f := h.missing(r.Context(), p.records); f != nil {
		return nil, f
	}
	batch := spoold.Batch{Records: p.records}
	if key != "" {
		batch.Key = t.path + "\n" + key
	}
	ctx := r.Context()
	if h.cfg.Context != nil {
		ctx = h.cfg.Context(r)
	}
	p.spend()
	return h.send(ctx, batch, admit)
}

// waiter takes one of the places of requests that wait for acks. done gives it back.
func (h *Handler) waiter() (done func(), f *fault) {
	if h.waiters.Add(1) > int64(h.cfg.MaxWaiters) {
		h.waiters.Add(-1)
		return nil, faultf(429, 42902, "%d requests wait for acks already: nothing was spooled, ask again later or without wait=acked", h.cfg.MaxWaiters).retryAfter(1)
	}
	return func() { h.waiters.Add(-1) }, nil
}
