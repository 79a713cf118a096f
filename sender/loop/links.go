package loop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/conn"
	"github.com/spoold/spoold/sender"
)

// wire is what the loop needs of a connection (protocol/conn).
type wire interface {
	Version(key, most int16) (int16, bool)
	Do(req kmsg.Request, timeout time.Duration, done conn.Done)
	Produce(p *conn.ProduceRequest, timeout time.Duration, done conn.Done)
	Close(err error)
	Done() <-chan struct{}
	Err() error
}

// seedLink is the number of the link to a bootstrap server, whose own number is not known.
const seedLink int32 = -2

// link is one connection, open or on its way. The loop owns it.
type link struct {
	broker      int32
	conn        wire     // nil while it is dialled
	connecting  []uint64 // requests that asked for it
	outstanding int      // requests given to conn and not answered to the core
	producing   int      // Produce requests among them
	heard       int64    // Age of the last answer, or when it opened
	answered    bool     // at least once
	gone        error    // it has ended: nothing more is given to it
	late        []uint64 // requests made between its end and Disconnected
}

func (k *link) open() bool { return k.conn != nil && k.gone == nil }

// pace is how soon a broker is dialled again, and how long that may take.
type pace struct {
	next     backoff.BackOff
	notUntil int64 // Age
	failures int
	refused  int    // failures in a row that last until somebody changes something (conn.Lasting)
	stamp    uint64 // of what connections were protected with at the last of them
}

// A broker that refuses this client, or is refused by it, is asked again after firstRefused, and ever more seldom, down to once
// in mostRefused; but at once when credentials or certificates have changed, which is looked for every stampEvery.
const (
	firstRefused = 2 * time.Second
	mostRefused  = 30 * time.Second
	stampEvery   = 500 * time.Millisecond
)

// links is the loop's connections and what it knows of where brokers are.
type links struct {
	open    map[int32]*link
	paces   map[int32]*pace
	book    map[int32]string // from Metadata
	seed    int              // bootstrap server to begin with next
	waiting []sender.Request // AnyBroker, until some connection is open
}

// connect carries out KindConnect.
func (l *Loop) connect(r *sender.Request) {
	k := l.links.open[r.Broker]
	switch {
	case k != nil && k.open():
		l.reply(sender.Response{ID: r.ID, Conn: connInfo(k)})
	case k != nil && k.gone == nil:
		k.connecting = append(k.connecting, r.ID)
	case k != nil:
		l.reply(sender.Response{ID: r.ID, Err: fmt.Errorf("broker %d: %w", r.Broker, k.gone)})
	case l.links.book[r.Broker] == "":
		l.reply(sender.Response{ID: r.ID, Err: fmt.Errorf("broker %d has no known address", r.Broker)})
	default:
		k = &link{broker: r.Broker, connecting: []uint64{r.ID}}
		l.links.open[r.Broker] = k
		l.dial(k, []string{l.links.book[r.Broker]})
	}
}

// dial opens a connection on a goroutine of its own: the first of addrs that takes it.
func (l *Loop) dial(k *link, addrs []string) {
	p := l.pace(k.broker)
	wait := max(0, p.notUntil-l.now.Age)
	timeout := l.connectTimeout(p.failures)
	refused, stamp := p.refused > 0, p.stamp
	l.ended.Go(func() {
		var c wire
		var err error
		if refused {
			err = l.sleepUntilChange(wait, stamp)
		} else {
			err = sleep(l.ctx, wait)
		}
		var faults dialFaults
		for i := 0; err == nil && c == nil && i < len(addrs); i++ {
			var fault error
			if c, fault = l.opt.dial(l.ctx, addrs[i], timeout); fault != nil {
				c = nil
				if faults = append(faults, fault); i == len(addrs)-1 || l.ctx.Err() != nil {
					err = faults.all()
				}
			}
		}
		if c == nil {
			l.inbox.post(func() { l.connected(k, nil, err) })
			return
		}
		// From here on the dialer watches over the connection.
		stop := context.AfterFunc(l.ctx, func() { c.Close(ErrOver) })
		l.inbox.post(func() { l.connected(k, c, nil) })
		<-c.Done()
		stop()
		l.inbox.post(func() { l.lost(k) })
	})
}

// dialFaults are why addresses that were tried one after the other could not be connected to.
type dialFaults []error

func (f dialFaults) Error() string {
	texts := make([]string, len(f))
	for i, err := range f {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (f dialFaults) Unwrap() []error { return f }

// all is the one fault, or all of them in one line.
func (f dialFaults) all() error {
	if len(f) == 1 {
		return f[0]
	}
	return f
}

// connected takes the result of dial.
func (l *Loop) connected(k *link, c wire, err error) {
	if err != nil {
		l.failed(k.broker, err)
		delete(l.links.open, k.broker)
		for _, id := range k.connecting {
			l.handle(sender.Response{ID: id, Err: err})
		}
		if k.broker == seedLink {
			l.refuseWaiting(err)
		}
		return
	}
	k.conn, k.heard = c, l.now.Age
	l.pace(k.broker).refused = 0
	for _, r := range l.links.waiting {
		l.control(k, &r)
	}
	l.links.waiting = nil
	for _, id := range k.connecting {
		l.handle(sender.Response{ID: id, Conn: connInfo(k)})
	}
	k.connecting = nil
}

func connInfo(k *link) sender.Conn {
	produce, _ := k.conn.Version(protocol.ProduceKey, -1)
	return sender.Conn{Broker: k.broker, ProduceMax: produce}
}

// lost is told when a connection has ended and has called back for every request.
func (l *Loop) lost(k *link) {
	k.gone = k.conn.Err()
	if k.gone == nil {
		k.gone = conn.ErrClosed
	}
	// One that answered begins at the shortest pause. One that did not counts as one more
	// failure: else a broker that takes connections only to close them would be dialled
	// without end.
	if k.answered {
		delete(l.links.paces, k.broker)
	}
	l.failed(k.broker, k.gone)
	l.buried(k)
}

// buried forgets a link that has ended once its last answer was handed to the
// core, and tells the core that it is gone. Requests that the core made of it meanwhile are
// answered only after that: until then it would make them again at once, and again,
// and the answer that is waited for would never be looked at.
func (l *Loop) buried(k *link) {
	if k.gone == nil || k.outstanding > 0 || l.links.open[k.broker] != k {
		return
	}
	delete(l.links.open, k.broker)
	if k.broker == seedLink {
		return
	}
	l.carry(l.core.Disconnected(l.now, k.broker, k.gone))
	for _, id := range k.late {
		l.reply(sender.Response{ID: id, Err: fmt.Errorf("broker %d: %w", k.broker, k.gone)})
	}
}

// anyLink is the open link that is most likely to answer soon, or nil.
func (l *Loop) anyLink() *link {
	var best *link
	for _, k := range l.links.open {
		if !k.open() {
			continue
		}
		if best == nil || k.outstanding < best.outstanding ||
			k.outstanding == best.outstanding && (k.heard > best.heard || k.heard == best.heard && k.broker > best.broker) {
			best = k
		}
	}
	return best
}

// any carries out a request to AnyBroker.
func (l *Loop) any(r *sender.Request) {
	if k := l.anyLink(); k != nil {
		l.control(k, r)
		return
	}
	l.links.waiting = append(l.links.waiting, *r)
	if l.links.open[seedLink] != nil {
		return
	}
	servers := l.opt.Servers
	order := make([]string, 0, len(servers))
	for i := range servers {
		order = append(order, servers[(l.links.seed+i)%len(servers)])
	}
	l.links.seed = (l.links.seed + 1) % len(servers)
	k := &link{broker: seedLink}
	l.links.open[seedLink] = k
	l.dial(k, order)
}

func (l *Loop) refuseWaiting(err error) {
	waiting := l.links.waiting
	l.links.waiting = nil
	for i := range waiting {
		l.handle(sender.Response{ID: waiting[i].ID, Err: l.noServer(err)})
	}
}

func (l *Loop) noServer(err error) error {
	var refusal *conn.SecurityError
	var foreign *sender.ForeignClusterError
	if errors.As(err, &refusal) || errors.As(err, &foreign) {
		return fmt.Errorf("none of %d bootstrap servers can be used: %w", len(l.opt.Servers), err)
	}
	return fmt.Errorf("none of %d bootstrap servers answers: %w", len(l.opt.Servers), err)
}

// learn keeps the addresses of a Metadata answer.
func (l *Loop) learn(resp kmsg.Response) {
	meta, ok := resp.(*kmsg.MetadataResponse)
	if !ok || len(meta.Brokers) == 0 {
		return
	}
	l.metadata = l.now.Age
	clear(l.links.book)
	for i := range meta.Brokers {
		b := &meta.Brokers[i]
		l.links.book[b.NodeID] = net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
}

// closeIdle ends connections that nothing was asked of for long, and the one to
// a bootstrap server once brokers are known by number.
func (l *Loop) closeIdle() {
	numbered := 0
	for _, k := range l.links.open {
		if k.open() && k.broker != seedLink {
			numbered++
		}
	}
	idle := l.opt.MaxIdle.Milliseconds()
	for _, k := range l.links.open {
		if !k.open() || k.outstanding > 0 {
			continue
		}
		if k.broker == seedLink && numbered > 0 || idle > 0 && l.now.Age-k.heard >= idle {
			k.conn.Close(errIdle)
		}
	}
}

var errIdle = errors.New("connection was idle (connections.max.idle.ms)")

func (l *Loop) pace(broker int32) *pace {
	p := l.links.paces[broker]
	if p == nil {
		p = &pace{next: backoff.NewExponentialBackOff(
			backoff.WithInitialInterval(l.opt.ReconnectBackoff),
			backoff.WithMaxInterval(l.opt.ReconnectMax),
			backoff.WithMultiplier(2), backoff.WithRandomizationFactor(0.2), backoff.WithMaxElapsedTime(0))}
		l.links.paces[broker] = p
	}
	return p
}

func (l *Loop) failed(broker int32, err error) {
	p := l.pace(broker)
	p.failures++
	pause := p.next.NextBackOff()
	if !conn.Lasting(err) {
		p.refused = 0
	} else {
		pause = max(pause, min(firstRefused<<min(p.refused, 10), mostRefused))
		p.refused++
		p.stamp = l.stamp()
	}
	p.notUntil = l.now.Age + pause.Milliseconds()
}

func (l *Loop) stamp() uint64 {
	if l.opt.Stamp == nil {
		return 0
	}
	return l.opt.Stamp()
}

// sleepUntilChange waits so many ms, or until what connections are protected with is not what it was.
func (l *Loop) sleepUntilChange(ms int64, stamp uint64) error {
	for step := stampEvery.Milliseconds(); ms > 0 && l.stamp() == stamp; ms -= step {
		if err := sleep(l.ctx, min(ms, step)); err != nil {
			return err
		}
	}
	return l.ctx.Err()
}

func (l *Loop) connectTimeout(failures int) time.Duration {
	d := l.opt.ConnectTimeout
	for range failures {
		if d *= 2; d >= l.opt.ConnectTimeoutMax {
			return l.opt.ConnectTimeoutMax
		}
	}
	return d
}

func sleep(ctx context.Context, ms int64) error {
	if ms <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
