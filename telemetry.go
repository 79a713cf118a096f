package spoold

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/codec"
	"github.com/spoold/spoold/sender/loop"
)

// telemetry pushes metrics to the cluster, if it asks for them (KIP-714). One goroutine of the Producer runs it.
type telemetry struct {
	p     *Producer
	up    chan struct{} // the link is up: sent to without waiting
	ended chan struct{} // closed when nothing more is pushed
	id    [16]byte      // that the cluster gave to this client; zero: none yet
}

// subscription is what the cluster wants.
type subscription struct {
	id       int32
	prefixes []string // of metrics' names; "" is all of them
	codec    protocol.Codec
	every    time.Duration
	most     int // bytes of one push; 0: not said
}

const (
	telemetryPrefix  = "org.apache.kafka.producer."
	telemetryRetry   = 30 * time.Second // after an answer that is of no use
	telemetryLeast   = 100 * time.Millisecond
	telemetryMost    = 24 * time.Hour
	telemetryGoodbye = time.Second // that the last push may take
)

// errNoTelemetry: the cluster takes no metrics from clients.
var errNoTelemetry = errors.New("the cluster does not take clients' metrics")

func newTelemetry(p *Producer) *telemetry {
	return &telemetry{p: p, up: make(chan struct{}, 1), ended: make(chan struct{})}
}

// start begins to push, if that is configured.
func (t *telemetry) start() {
	if t.p.cfg.PushMetrics {
		go t.run()
	} else {
		close(t.ended)
	}
}

// linkUp has it begin. It does not wait.
func (t *telemetry) linkUp() {
	select {
	case t.up <- struct{}{}:
	default:
	}
}

// wait returns when the last push is over, after quit was closed.
func (t *telemetry) wait() { <-t.ended }

func (t *telemetry) run() {
	defer close(t.ended)
	select {
	case <-t.up:
	case <-t.p.life.quit:
		return
	case <-t.p.life.done:
		return
	}
	var sub *subscription
	wait := time.Duration(0)
	for t.sleep(wait) {
		ctx, cancel := context.WithTimeout(context.Background(), t.p.cfg.RequestTimeout)
		stop := t.cancelAtQuit(cancel)
		next, err := sub, error(nil)
		if sub == nil {
			if next, err = t.subscribe(ctx); err == nil {
				wait = time.Duration((0.5 + rand.Float64()) * float64(next.every)) // so that clients do not push all at once
			}
		} else if next, err = t.push(ctx, sub, false); err == nil {
			wait = sub.every
			if next == nil {
				wait = 0 // what is wanted has changed
			}
		}
		stop()
		cancel()
		if errors.Is(err, errNoTelemetry) {
			return
		}
		if err != nil {
			next, wait = sub, telemetryRetry
		}
		if sub = next; sub != nil && len(sub.prefixes) == 0 {
			wait, sub = sub.every, nil // nothing is wanted now: ask again
		}
	}
	if sub == nil || t.p.Peek().Link != "up" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), telemetryGoodbye)
	defer cancel()
	_, _ = t.push(ctx, sub, true) // nobody is left to whom the failure could be reported
}

// cancelAtQuit has cancel called when the Producer is closed, until the result is called.
func (t *telemetry) cancelAtQuit(cancel context.CancelFunc) (stop func()) {
	over := make(chan struct{})
	go func() {
		select {
		case <-t.p.life.quit:
			cancel()
		case <-over:
		}
	}()
	return func() { close(over) }
}

// sleep waits and reports whether the Producer still runs.
func (t *telemetry) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		select {
		case <-t.p.life.quit:
			return false
		default:
			return true
		}
	case <-t.p.life.quit:
	case <-t.p.life.done:
	}
	return false
}

func (t *telemetry) ask(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	resp, err := t.p.engines.now.Load().loop.Ask(ctx, req, t.p.cfg.RequestTimeout.Milliseconds())
	var unsupported *loop.UnsupportedError
	if errors.As(err, &unsupported) {
		return nil, errNoTelemetry
	}
	return resp, err
}

// subscribe asks what the cluster wants.
func (t *telemetry) subscribe(ctx context.Context) (*subscription, error) {
	req := kmsg.NewPtrGetTelemetrySubscriptionsRequest()
	req.ClientInstanceID = t.id
	answer, err := t.ask(ctx, req)
	resp, ok := answer.(*kmsg.GetTelemetrySubscriptionsResponse)
	if err != nil || !ok {
		return nil, errors.Join(err, errors.New("no subscription"))
	}
	if code := protocol.ErrorCode(resp.ErrorCode); code != protocol.None {
		return nil, telemetryError(code)
	}
	t.id = resp.ClientInstanceID
	s := &subscription{
		id: resp.SubscriptionID, prefixes: resp.RequestedMetrics, most: int(resp.TelemetryMaxBytes),
		every: min(max(time.Duration(resp.PushIntervalMillis)*time.Millisecond, telemetryLeast), telemetryMost),
	}
	for _, c := range resp.AcceptedCompressionTypes {
		if c := protocol.Codec(c); c >= protocol.CodecNone && c <= protocol.CodecZstd {
			s.codec = c // the cluster's order is its preference
			break
		}
	}
	t.p.env.Logger.Debug("the cluster wants metrics", "event", "telemetry.subscribed", "metrics", strings.Join(s.prefixes, ","), "every", s.every)
	return s, nil
}

// push sends the metrics that are wanted. It returns the subscription that holds from then on: nil if that must be asked for.
func (t *telemetry) push(ctx context.Context, s *subscription, last bool) (*subscription, error) {
	var wanted []Metric
	for _, m := range t.p.Metrics() {
		if m.Name = telemetryPrefix + strings.ReplaceAll(m.Name, "-", "."); s.wants(m.Name) {
			wanted = append(wanted, m)
		}
	}
	payload := encodeMetrics(wanted, t.p.cfg.TransactionalID, t.p.opened, time.Now())
	req := kmsg.NewPtrPushTelemetryRequest()
	req.ClientInstanceID, req.SubscriptionID, req.Terminating = t.id, s.id, last
	req.Metrics = payload
	if s.codec != protocol.CodecNone {
		if small, err := codec.Compress(nil, payload, s.codec, telemetryLevel(s.codec)); err == nil {
			req.CompressionType, req.Metrics = int8(s.codec), small
		}
	}
	if s.most > 0 && len(req.Metrics) > s.most {
		return s, telemetryError(protocol.TelemetryTooLarge)
	}
	answer, err := t.ask(ctx, req)
	resp, ok := answer.(*kmsg.PushTelemetryResponse)
	if err != nil || !ok {
		return nil, errors.Join(err, errors.New("no answer to a push"))
	}
	switch code := protocol.ErrorCode(resp.ErrorCode); code {
	case protocol.None:
		return s, nil
	case protocol.UnknownSubscriptionID:
		return nil, nil
	case protocol.UnsupportedCompressionType:
		plain := *s
		plain.codec = protocol.CodecNone
		return &plain, nil
	default:
		return s, telemetryError(code)
	}
}

// telemetryLevel is a fast level of each codec.
func telemetryLevel(c protocol.Codec) int {
	if c == protocol.CodecGzip {
		return -1
	}
	return 1
}

// telemetryError is what an answer's code means: errNoTelemetry, or try again later.
func telemetryError(code protocol.ErrorCode) error {
	if code == protocol.UnsupportedVersion || code == protocol.ClusterAuthorizationFailed || code == protocol.InvalidRequest {
		return errNoTelemetry
	}
	return errors.New(code.String())
}

func (s *subscription) wants(name string) bool {
	for _, prefix := range s.prefixes {
		if prefix == "*" || strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
