package link

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// zombiePatience is how long a zombie waits for a broker that is down, and for an answer.
const zombiePatience = 15 * time.Second

// walk sends a captured request again, as a network does that had kept it back.
func (l *Link) walk(z captured, after time.Duration) {
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.ctx.Done():
		return
	}
	for deadline := time.Now().Add(zombiePatience); ; {
		answer, sent := l.raise(l.ctx, z)
		if sent {
			l.buriedAgain(z, answer, after)
			return
		}
		if time.Now().After(deadline) {
			return // nobody is there to take it
		}
		timer.Reset(200 * time.Millisecond)
		select {
		case <-timer.C:
		case <-l.ctx.Done():
			return
		}
	}
}

func (l *Link) buriedAgain(z captured, answer string, after time.Duration) {
	l.mu.Lock()
	l.faults.counts[Zombie]++
	l.faults.answers[answer]++
	l.mu.Unlock()
	l.tell(Decision{Conn: z.conn, Frame: z.frame, APIKey: z.f.apiKey(), Version: z.f.version(), Correlation: z.f.correlation(),
		Size: len(z.f), Fault: Zombie, Detail: fmt.Sprintf("%v after its connection: %s", after.Round(time.Millisecond), answer)})
}

// raise sends a captured request on a connection of its own. It reports whether it was written.
func (l *Link) raise(ctx context.Context, z captured) (answer string, sent bool) {
	ctx, cancel := context.WithTimeout(ctx, zombiePatience)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", l.target)
	if err != nil {
		return "", false
	}
	defer func() { _ = conn.Close() }()                         // all that matters was read
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // its only failure is that it is closed already
	defer stop()
	if _, err := conn.Write(z.f); err != nil {
		return "", false
	}
	f, err := readFrame(conn, 8)
	if err != nil {
		return "no answer", true
	}
	return codes(z.f, f), true
}

// codes names the error codes of an answer.
func codes(request, f frame) string {
	resp := kmsg.ResponseForKey(request.apiKey())
	if resp == nil {
		return "unreadable answer"
	}
	resp.SetVersion(request.version())
	body := f[8:]
	if resp.IsFlexible() && len(body) > 0 {
		body = body[1:] // no tags are in the header
	}
	if err := resp.ReadFrom(body); err != nil {
		return "unreadable answer"
	}
	out := ""
	add := func(code int16) {
		if text := protocol.ErrorCode(code).String(); out == "" {
			out = text
		} else if text != out {
			out = "mixed"
		}
	}
	switch r := resp.(type) {
	case *kmsg.ProduceResponse:
		for _, t := range r.Topics {
			for _, q := range t.Partitions {
				add(q.ErrorCode)
			}
		}
	case *kmsg.TxnOffsetCommitResponse:
		for _, t := range r.Topics {
			for _, q := range t.Partitions {
				add(q.ErrorCode)
			}
		}
	case *kmsg.EndTxnResponse:
		add(r.ErrorCode)
	}
	return out
}

// AwaitZombies waits until no zombie is on its way.
func (l *Link) AwaitZombies(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		l.mu.Lock()
		n := l.faults.waiting
		l.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("link: %d zombies are on their way: %w", n, context.Cause(ctx))
		}
	}
}

// ReplayAll sends every Produce request that is kept of former connections once more: the
// harshest of late arrivals, after everything else. It returns how many were answered what.
func (l *Link) ReplayAll(ctx context.Context) (map[string]int, error) {
	l.mu.Lock()
	list := l.faults.ended
	l.mu.Unlock()
	answers := make(map[string]int)
	for _, z := range list {
		// A broker that was killed may still be starting: raise has a time limit of its own.
		answer, sent := l.raise(ctx, z)
		for !sent && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
			answer, sent = l.raise(ctx, z)
		}
		if !sent {
			return answers, fmt.Errorf("link: replay to %s: the broker takes nothing: %w", l.target, context.Cause(ctx))
		}
		answers[answer]++
	}
	return answers, nil
}
