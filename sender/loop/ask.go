package loop

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/sender"
)

// askBit marks the requests of Ask: the core's are counted from 1 and never come that far.
const askBit = 1 << 63

// asked is the answer to an Ask.
type asked struct {
	resp kmsg.Response
	err  error
}

// Ask sends a request to whichever broker is connected, or to the bootstrap servers in turn,
// and returns its answer. The core does not see it. timeout, in ms, closes the connection if no answer comes.
func (l *Loop) Ask(ctx context.Context, req kmsg.Request, timeout int64) (kmsg.Response, error) {
	answer := make(chan asked, 1)
	if !l.inbox.post(func() {
		l.lastAsk++
		id := l.lastAsk | askBit
		l.asks[id] = answer
		l.links.request(&sender.Request{ID: id, Kind: sender.KindControl, Broker: sender.AnyBroker, Message: req, MaxVersion: -1, Timeout: timeout})
	}) {
		return nil, ErrOver
	}
	select {
	case a := <-answer:
		return a.resp, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-l.over:
		return nil, ErrOver
	}
}

// answerAsk passes a response on if it belongs to an Ask.
func (l *Loop) answerAsk(r *sender.Response) bool {
	if r.ID&askBit == 0 {
		return false
	}
	if answer := l.asks[r.ID]; answer != nil {
		delete(l.asks, r.ID)
		answer <- asked{r.Message, r.Err}
	}
	return true
}
