package httpin

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/spoold/spoold"
)

// manner is how the client wants its answer.
type manner struct {
	key   string // Idempotency-Key, or ""
	acked bool   // ?wait=acked
	async bool   // ?async=true: 204, as Strimzi's bridge
}

// ask reads what is asked of v2's paths, without the body.
func (h *Handler) ask(r *http.Request) (target, manner, *fault) {
	t, f := targetOf(r.URL.Path)
	if f != nil {
		return t, manner{}, f
	}
	how, f := h.mannerOf(r)
	return t, how, f
}

// mannerOf reads how records come and are answered, and refuses those that must not come now, or so.
func (h *Handler) mannerOf(r *http.Request) (how manner, f *fault) {
	if h.closed.Load() {
		return how, closingFault()
	}
	if err := h.cross.Check(r); err != nil || !h.ownOrigin(r) {
		return how, faultf(403, 40301, "Posts from web pages of another origin are refused (Origin %q): http.cors.origins lists those that may", clip(r.Header.Get("Origin")))
	}
	if r.URL.RawQuery != "" {
		q, f := queryOf(r)
		if f != nil {
			return how, f
		}
		switch wait := q.Get("wait"); wait {
		case "", "spooled":
		case "acked":
			how.acked = true
		case "committed":
			if !h.cfg.Units {
				return how, faultf(400, 40002, "Bad Request: wait=committed needs Kafka transactions: set transactional.id, or wait=acked")
			}
			how.acked = true
		default:
			return how, faultf(400, 40002, "Bad Request: wait=%s: it must be spooled, acked or committed", clip(wait))
		}
		how.async = q.Get("async") == "true" && !how.acked
	}
	if values := r.Header["Idempotency-Key"]; len(values) > 0 {
		how.key = values[0]
		if len(values) > 1 || how.key == "" || len(how.key) > maxKey {
			return how, faultf(400, 40002, "Bad Request: Idempotency-Key must be given once, with 1 to %d bytes", maxKey)
		}
	}
	return how, nil
}

// queryOf reads the query of a request that brings records. What is misspelt is refused: a client would take a "wait" that is not
// read for kept.
func queryOf(r *http.Request) (url.Values, *fault) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, faultf(400, 40002, "Bad Request: the query cannot be read: %v", err)
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		switch {
		case name != "wait" && name != "async" && name != "lines":
			return nil, faultf(400, 40002, "Bad Request: unknown query parameter %s: there are wait, async and lines", clip(name))
		case len(q[name]) > 1:
			return nil, faultf(400, 40002, "Bad Request: query parameter %s is given more than once", name)
		}
	}
	if v := q.Get("async"); v != "" && v != "true" && v != "false" {
		return nil, faultf(400, 40002, "Bad Request: async=%s: it must be true or false", clip(v))
	}
	return q, nil
}

// maxKey is the longest Idempotency-Key. Keys are kept for a day, by the hundred thousand.
const maxKey = 255

// send hands the batch on, and waits for room in the spool no longer than it may.
func (h *Handler) send(ctx context.Context, batch spoold.Batch, wait time.Duration) (Deliveries, *fault) {
	admit, cancel := context.WithTimeoutCause(ctx, wait, errNoRoom)
	defer cancel()
	d, err := h.sink.SendBatch(admit, batch)
	switch {
	case err == nil:
		return d, nil
	case errors.Is(err, spoold.ErrFull), errors.Is(err, spoold.ErrUnknown): // with their reasons
	case ctx.Err() == nil && (errors.Is(err, errNoRoom) || errors.Is(err, context.DeadlineExceeded)):
		return nil, h.explain(faultf(429, 42901, "The spool did not take the records within %v: nothing was spooled, send again later", wait), batch.Records[0].Topic)
	}
	f := sendFault(err)
	if f.code == 42901 {
		h.explain(f, batch.Records[0].Topic)
	}
	return nil, f
}

var errNoRoom = errors.New("nothing left the spool meanwhile")
