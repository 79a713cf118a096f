package loop

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/conn"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
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
	conn        wire             // nil while it is dialled
	connecting  []uint64         // requests that asked for it
	outstanding int              // requests given to conn and not answered to the core
	producing   int              // Produce requests among them
	answeredAt  int64            // Age of the last answer, or when it opened
	answered    bool             // at least once
	closing     error            // why it was closed here: nothing more is given to it
	gone        error            // it has ended: nothing more is given to it
	throttled   int64            // Age until which the broker wants nothing
	waiting     []sender.Request // until then
	late        []uint64         // requests made between its end and Disconnected
}

func (k *link) open() bool { return k.conn != nil && k.closing == nil && k.gone == nil }

// close ends the connection. It is over, and forgotten, when lost is called.
func (k *link) close(err error) {
	k.closing = err
	k.conn.Close(err)
}

// links is the loop's connections and the addresses of brokers. The loop owns it, but for clusterID.
type links struct {
	opt   *Options
	inbox *inbox
	now   *spool.Time // the loop's
	// What the loop does: give the core an answer at once, or after the effects at hand; ended is called
	// after the last answer of a connection that has ended.
	answer, reply func(sender.Response)
	ended         func(broker int32, err error)
	produced      func(broker int32, p *producing, resp kmsg.Response, err error)
	encoding      func(*accumulator.Batch) *encoding

	ctx     context.Context // ends with the loop: dialers and their pauses
	cancel  context.CancelFunc
	dialers sync.WaitGroup // each of which then watches over its connection

	open     map[int32]*link
	paces    map[int32]*pace
	book     map[int32]string // from Metadata
	seed     int              // bootstrap server to begin with next
	tried    error            // why those that were tried cannot be used, while the next one is dialled
	waiting  []sender.Request // AnyBroker, until some connection is open
	metadata int64            // Age of the last Metadata answer; -1: none came
	failing  int64            // Age of the first Metadata request that failed since; 0: none did

	clusterID atomic.Pointer[string] // that the spool is bound to; nil: none yet. The loop writes it, dialers read it
}

func newLinks(opt *Options, in *inbox, now *spool.Time) *links {
	ctx, cancel := context.WithCancel(context.Background())
	ls := &links{
		opt: opt, inbox: in, now: now, ctx: ctx, cancel: cancel, metadata: -1,
		open: make(map[int32]*link), paces: make(map[int32]*pace), book: make(map[int32]string),
	}
	if opt.dial == nil {
		opt.dial = ls.dialConn
	}
	return ls
}

// connect carries out KindConnect.
func (ls *links) connect(r *sender.Request) {
	k := ls.open[r.Broker]
	switch {
	case k != nil && k.open():
		ls.reply(sender.Response{ID: r.ID, Conn: connInfo(k)})
	case k != nil && k.conn == nil:
		k.connecting = append(k.connecting, r.ID)
	case k != nil:
		ls.reply(sender.Response{ID: r.ID, Err: fmt.Errorf("broker %d: %w", r.Broker, cmp.Or(k.gone, k.closing))})
	case ls.book[r.Broker] == "":
		ls.reply(sender.Response{ID: r.ID, Err: fmt.Errorf("broker %d has no known address", r.Broker)})
	default:
		k = &link{broker: r.Broker, connecting: []uint64{r.ID}}
		ls.open[r.Broker] = k
		ls.dial(k, []string{ls.book[r.Broker]})
	}
}

// connected takes the result of dial.
func (ls *links) connected(k *link, c wire, err error) {
	if k.broker == seedLink {
		ls.tried = nil
	}
	if err != nil {
		ls.failed(k.broker, err)
		delete(ls.open, k.broker)
		for _, id := range k.connecting {
			ls.answer(sender.Response{ID: id, Err: err})
		}
		if k.broker == seedLink {
			ls.refuseWaiting(err)
		}
		return
	}
	k.conn, k.answeredAt = c, ls.now.Age
	ls.pace(k.broker).refused = 0
	ls.giveWaiting(k)
	for _, id := range k.connecting {
		ls.answer(sender.Response{ID: id, Conn: connInfo(k)})
	}
	k.connecting = nil
}

// lost is called when a connection has ended and has called back for every request.
func (ls *links) lost(k *link) {
	k.gone = k.conn.Err()
	if k.gone == nil {
		k.gone = conn.ErrClosed
	}
	// One that answered begins at the shortest pause. One that did not counts as one more
	// failure: else a broker that takes connections only to close them would be dialled
	// without end.
	if k.answered {
		delete(ls.paces, k.broker)
	}
	ls.failed(k.broker, k.gone)
	ls.forget(k)
}

// forget drops a link that has ended once its last answer was given to the
// core, and reports it to the core. Requests that the core made of it meanwhile are
// answered only after that: until then it would make them again at once, and again,
// and the answer that is waited for would never be looked at.
func (ls *links) forget(k *link) {
	if k.gone == nil || k.outstanding > 0 || ls.open[k.broker] != k {
		return
	}
	delete(ls.open, k.broker)
	if k.broker == seedLink {
		for i := range k.waiting {
			ls.reply(sender.Response{ID: k.waiting[i].ID, Err: k.gone})
		}
		if len(ls.waiting) > 0 { // asked of any broker since it ended
			ls.dialSeeds()
		}
		return
	}
	ls.ended(k.broker, k.gone)
	for i := range k.waiting {
		k.late = append(k.late, k.waiting[i].ID)
	}
	for _, id := range k.late {
		ls.reply(sender.Response{ID: id, Err: fmt.Errorf("broker %d: %w", k.broker, k.gone)})
	}
}

// closeIdle ends connections that nothing was asked of for long, and the one to
// a bootstrap server once brokers are known by number.
func (ls *links) closeIdle() {
	numbered := 0
	for _, k := range ls.open {
		if k.open() && k.broker != seedLink {
			numbered++
		}
	}
	idle := ls.opt.MaxIdle.Milliseconds()
	for _, k := range ls.open {
		if !k.open() || k.outstanding > 0 || len(k.waiting) > 0 {
			continue
		}
		if k.broker == seedLink && numbered > 0 || idle > 0 && ls.now.Age-k.answeredAt >= idle {
			k.close(errIdle)
		}
	}
}

func connInfo(k *link) sender.Conn {
	produce, _ := k.conn.Version(protocol.ProduceKey, -1)
	return sender.Conn{Broker: k.broker, ProduceMax: produce}
}

var errIdle = errors.New("connection was idle (connections.max.idle.ms)")

// outstanding is how many requests no answer has come to; producing: of those, Produce requests.
func (ls *links) outstanding() (all, producing int) {
	for _, k := range ls.open {
		all += k.outstanding
		producing += k.producing
	}
	return all, producing
}

// close ends all connections and waits for the dialers.
func (ls *links) close() {
	ls.cancel()
	ls.dialers.Wait()
}
