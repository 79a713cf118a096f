package httpin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// patientBody is the body of a stream: a client may take its time for the whole, but not fall silent for longer than bodyTimeout.
// It ends when the handler closes.
type patientBody struct {
	h     *Handler
	body  io.Reader
	rc    *http.ResponseController
	until time.Time // the read deadline
}

var errClosing = errors.New("spoold is stopping")

// patient is the body of r. done must be called after the last read.
func (h *Handler) patient(w http.ResponseWriter, r *http.Request) (b *patientBody, done func()) {
	b = &patientBody{h: h, body: r.Body, rc: http.NewResponseController(w)}
	stop := context.AfterFunc(h.base, func() { _ = b.rc.SetReadDeadline(time.Now()) })
	return b, func() { stop() }
}

func (b *patientBody) Read(into []byte) (int, error) {
	if now := time.Now(); b.until.Sub(now) < bodyTimeout-time.Second {
		b.until = now.Add(bodyTimeout)
		_ = b.rc.SetReadDeadline(b.until) // an error means that the writer has none, as in tests
	}
	if b.h.closed.Load() { // after the deadline was set: it may have been set over that of the end
		return 0, errClosing
	}
	return b.body.Read(into)
}

// brokeOff says why a stream did not arrive whole.
func (h *Handler) brokeOff(err error, p *parse) *fault {
	if h.closed.Load() {
		return closingFault()
	}
	return bodyFault(err, p.source.encoding)
}

// enterStream takes one of the places of streams, and of requests that wait for acks. leave gives them back.
func (h *Handler) enterStream(how manner) (leave func(), f *fault) {
	waited := func() {}
	if how.acked {
		if waited, f = h.waiter(); f != nil {
			return nil, f
		}
	}
	if h.streams.Add(1) > int64(h.cfg.MaxWaiters) {
		h.streams.Add(-1)
		waited()
		return nil, faultf(429, 42902, "%d streams are open already: nothing was spooled, send again later", h.cfg.MaxWaiters).retryAfter(1)
	}
	return func() { h.streams.Add(-1); waited() }, nil
}

// pause waits until the principal may send again.
func (h *Handler) pause(p *parse, r *http.Request) *fault {
	if h.closed.Load() {
		return closingFault()
	}
	if p.who == nil {
		return nil
	}
	for wait := p.who.Wait(time.Now()); wait > 0; wait = p.who.Wait(time.Now()) {
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-h.base.Done():
			timer.Stop()
			return closingFault()
		case <-r.Context().Done():
			timer.Stop()
			return sendFault(r.Context().Err())
		}
	}
	return nil
}
