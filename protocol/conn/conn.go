package conn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// Options say where to connect and how. Only Addr is needed.
type Options struct {
	Addr     string // host:port
	ClientID string // sent with every request; a broker's quotas and logs go by it
	// Software is what the broker's metrics call us, besides our name (KIP-511). "" is "unknown".
	SoftwareVersion string
	// Dial opens the connection; nil is the net package's. It must heed the context.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// RequestTimeout is how long connecting and negotiating may take together, and
	// what a request without a timeout of its own gets; 0 is 30 s.
	RequestTimeout time.Duration
	// MaxResponseBytes is the longest answer that is read; 0 is 100 MiB.
	MaxResponseBytes int
	// Security is asked for each connection, and again when its SASL session is about to end, so that
	// certificates and credentials may change meanwhile. nil: the listener is plain text and asks for no credentials.
	Security func(context.Context) (Security, error)
}

// maxQueue bounds what waits to be written. The sender has a handful of requests per broker under
// way; more than this is a caller that does not look at answers.
const maxQueue = 4096

// ErrClosed says that the connection was closed on this side.
var ErrClosed = errors.New("closed")

// ErrQueueFull says that the request was not taken: too many wait already.
var ErrQueueFull = fmt.Errorf("%d requests wait to be written", maxQueue)

// Done receives how a request ended: the response, or why there is none. written
// with an error: a byte of the request may have left this host. It is called on
// a goroutine of the connection and must not block for long, nor wait for
// another request of this connection.
type Done func(resp kmsg.Response, written bool, err error)

// ProduceRequest is a Produce request whose batches are asked for when it is written.
type ProduceRequest struct {
	Version       int16 // as Conn.Version(0, …) said
	TimeoutMillis int32 // how long the broker may wait for its replicas
	// TransactionalID of the transaction that the batches belong to; "": none.
	TransactionalID string
	// Encode appends the batches to dst. The writer goroutine calls it once, right before
	// writing, so it may wait until they are compressed (not for ever: Close waits too). The bytes must not
	// change until done is called. An error fails this request alone.
	Encode func(dst []protocol.ProducePartition) ([]protocol.ProducePartition, error)
}

// Conn is a connection that is open and whose versions are known. Its methods may be called from any
// goroutine.
type Conn struct {
	addr     string
	nc       net.Conn // what is written and read
	raw      net.Conn // below TLS; nc, if there is none
	versions versions
	security func(context.Context) (Security, error)
	// encrypted and identified: TLS, SASL. They say what a listener may want when it closes the connection.
	encrypted, identified bool
	renewAt               time.Time       // when to authenticate anew; zero: never. The writer's, once it runs
	ctx                   context.Context // ends with the connection
	cancel                context.CancelFunc
	maxBytes              int
	timeout               time.Duration // of requests that bring none

	wake       chan struct{} // signals the writer that queue is not empty
	closing    chan struct{} // closed by the first shut
	writerDone chan struct{}
	done       chan struct{} // closed when both goroutines are through and every done was called

	mu     sync.Mutex
	wrote  sync.Cond // a call's writing is over
	queue  []*call   // not begun, oldest first
	flight []*call   // being written, or written and not answered; oldest first
	err    error     // why it ended
	served bool      // the broker has answered a request since Dial
}

// call is a request on its way.
type call struct {
	req     kmsg.Request    // this,
	produce *ProduceRequest // or this
	timeout time.Duration
	done    Done

	correlation int32
	begun       bool      // a byte may have left
	writing     bool      // the writer reads the request's bytes
	deadline    time.Time // when it must be answered
}

// Dial connects to a broker and negotiates versions. It returns when requests can
// be sent, or with an error that says what to check.
func Dial(ctx context.Context, o Options) (*Conn, error) {
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = 30 * time.Second
	}
	if o.MaxResponseBytes <= 0 {
		o.MaxResponseBytes = 100 << 20
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	ctx, cancel := context.WithTimeout(ctx, o.RequestTimeout)
	defer cancel()
	nc, err := o.Dial(ctx, "tcp", o.Addr)
	if err != nil {
		return nil, &DialError{Addr: o.Addr, Err: err}
	}
	c := &Conn{
		addr:       o.Addr,
		nc:         nc,
		raw:        nc,
		security:   o.Security,
		maxBytes:   o.MaxResponseBytes,
		timeout:    o.RequestTimeout,
		wake:       make(chan struct{}, 1),
		closing:    make(chan struct{}),
		writerDone: make(chan struct{}),
		done:       make(chan struct{}),
	}
	c.wrote.L = &c.mu
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if err := c.begin(ctx, o); err != nil {
		c.cancel()
		nc.Close()
		return nil, err
	}
	go c.write(o.ClientID)
	go c.read()
	return c, nil
}

// Addr is the host and port that were dialled.
func (c *Conn) Addr() string { return c.addr }

// Version is the highest version of a request that the broker, kmsg and the
// caller (most; negative: no cap) all have; false if there is none.
func (c *Conn) Version(key, most int16) (int16, bool) { return c.versions.best(key, most) }

// Do queues a request, whose version must be set, and returns at once. timeout
// counts from when it is written.
func (c *Conn) Do(req kmsg.Request, timeout time.Duration, done Done) {
	if v, ok := c.versions.best(req.Key(), req.GetVersion()); !ok || v != req.GetVersion() {
		err := fmt.Errorf("broker %s does not support version %d of %s", c.addr, req.GetVersion(), kmsg.NameForKey(req.Key()))
		go done(nil, false, err)
		return
	}
	c.enqueue(&call{req: req, timeout: timeout, done: done})
}

// Produce queues a Produce request and returns at once.
func (c *Conn) Produce(p *ProduceRequest, timeout time.Duration, done Done) {
	c.enqueue(&call{produce: p, timeout: timeout, done: done})
}

func (c *Conn) enqueue(q *call) {
	if q.timeout <= 0 {
		q.timeout = c.timeout
	}
	c.mu.Lock()
	err := c.err
	if err == nil && len(c.queue) >= maxQueue {
		err = ErrQueueFull
	}
	if err == nil {
		c.queue = append(c.queue, q)
	}
	c.mu.Unlock()
	if err != nil {
		// On a goroutine of its own: the caller may be the one who is to take the answer.
		go q.done(nil, false, err)
		return
	}
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Close ends the connection; requests that are not answered fail with err (nil:
// ErrClosed). It does not wait: the channel of Done is closed when every done was called.
func (c *Conn) Close(err error) {
	if err == nil {
		err = ErrClosed
	}
	c.shut(err)
}

// Done is closed when the connection has ended and every request was answered.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is why the connection ended; nil while it has not.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// shut ends the connection; the first reason counts. But a broker that refuses credentials closes the connection, too, and
// the reader may be the first to say so.
func (c *Conn) shut(err error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		close(c.closing)
	}
	var refusal *SecurityError
	if first || errors.As(err, &refusal) {
		c.err = err
	}
	c.mu.Unlock()
	if first {
		c.cancel()
		c.raw.Close() // not TLS's Close, which may wait for the other side
	}
}
