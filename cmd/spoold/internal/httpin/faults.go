package httpin

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/spoold/spoold"
)

// fullFault says why the spool is full, as the spool says it.
func fullFault(err error) *fault {
	text := strings.TrimSuffix(err.Error(), ": "+errNoRoom.Error())
	if !strings.HasPrefix(text, spoold.ErrFull.Error()) { // a topic is at its quota
		return faultf(429, 42901, "Nothing was spooled, send again later: %s", text)
	}
	why := strings.TrimPrefix(text, spoold.ErrFull.Error())
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
	f := faultOf(err)
	if of := (*spoold.RecordError)(nil); errors.As(err, &of) {
		f.alone, f.at = faultOf(of.Err), of.Index
	}
	return f
}

func faultOf(err error) *fault {
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
		return faultf(400, 40002, "Bad Request: nothing was spooled: %s", strings.Replace(err.Error(), spoold.ErrInvalidRecord.Error()+": ", "", 1))
	case errors.Is(err, spoold.ErrClosed):
		return closingFault()
	case errors.Is(err, context.Canceled):
		// The client is gone; whoever reads this is a proxy's log.
		return faultf(499, 499, "The client closed the connection before the answer")
	}
	return faultf(500, 50002, "The records were not taken: %v", err)
}

// notAcked is 504, 503 while stopping, or 499 if the client went away: in any case the records are spooled.
func (h *Handler) notAcked(r *http.Request, topic string) *fault {
	const do = "the records are spooled and will be delivered, unless they expire first (delivery.timeout.ms): do not send them again, except with the same Idempotency-Key"
	switch {
	case h.closed.Load():
		return faultf(503, 50003, "spoold is stopping before the cluster answered; %s", do)
	case r.Context().Err() != nil:
		return faultf(499, 499, "The client closed the connection before the cluster answered; %s", do)
	}
	why := " (spoold status says why)"
	if text := h.sink.Waits(topic); text != "" {
		why = ": " + text
	}
	return faultf(504, 50003, "Not all was acked within %v%s; %s", h.cfg.AckTimeout, why, do)
}

// explain says beside a fault why nothing leaves the spool, and so makes no room.
func (h *Handler) explain(f *fault, topic string) *fault {
	if text := h.sink.Waits(topic); text != "" {
		f.message += "; nothing leaves for topic " + topic + ": " + text
	}
	return f.retryAfter(h.sink.RetryAfter())
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
	case 42902, 42903, 42904, 42906, 42907:
		reason = "overloaded"
	case 413:
		reason = "too_large"
	case 50301:
		reason = "closing"
	case 50002:
		reason = "unknown"
	case 50003, 499:
		return // spooled all the same, or nobody asks any more
	case 40101, 40301:
		reason = "unauthorized"
	}
	h.hooks.Rejected(reason, records)
}
