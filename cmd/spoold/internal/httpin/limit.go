package httpin

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Limiter keeps to a number of connections. For one above it, the connection that has been idle for the longest is closed;
// if none is idle, it is answered 503, instead of being left in the kernel's queue where it looks like a hang.
type Limiter struct {
	net.Listener
	limit   int
	what    string        // what bounds the connections, for those that are refused
	refused chan struct{} // one token per connection that is being refused

	mu   sync.Mutex
	open map[*limitedConn]struct{}
}

// idleBefore is how long a connection must have been idle before it is closed for another one.
const idleBefore = 200 * time.Millisecond

// Limit is ln with at most so many connections at a time. A further one takes the place of one that has been idle for a fifth of a second or
// more, or is answered 503, with what bounds them, and closed.
func Limit(ln net.Listener, what string, limit int) *Limiter {
	return &Limiter{Listener: ln, what: what, limit: limit, refused: make(chan struct{}, 64), open: make(map[*limitedConn]struct{})}
}

// Set has another limit from now on. Connections above a lower one stay until they are closed or idle.
func (l *Limiter) Set(limit int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.limit = limit
}

func (l *Limiter) most() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit
}

// Accept gives a connection that the limit has room for.
func (l *Limiter) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if lc := l.admit(c); lc != nil {
			return lc, nil
		}
		select {
		case l.refused <- struct{}{}:
			go func() {
				refuse(c, l.what, l.most())
				<-l.refused
			}()
		default:
			_ = c.Close()
		}
	}
}

// admit counts a connection, or returns nil.
func (l *Limiter) admit(c net.Conn) *limitedConn {
	lc := &limitedConn{Conn: c, of: l}
	lc.quiet.Store(time.Now().UnixNano())
	l.mu.Lock()
	var victim *limitedConn
	if len(l.open) >= l.limit {
		if victim = l.longestIdle(); victim == nil {
			l.mu.Unlock()
			return nil
		}
		delete(l.open, victim)
	}
	l.open[lc] = struct{}{}
	l.mu.Unlock()
	if victim != nil {
		_ = victim.Close() // whoever reads from it sees the end
	}
	return lc
}

// longestIdle is the connection that has waited for a request for the longest, or nil. Under mu.
func (l *Limiter) longestIdle() *limitedConn {
	var victim *limitedConn
	since := time.Now().Add(-idleBefore).UnixNano()
	for c := range l.open {
		if q := c.quiet.Load(); q != 0 && q <= since {
			victim, since = c, q
		}
	}
	return victim
}

// refuse answers before anything was asked, and reads what comes until the client
// has gone: closing at once would reset the connection under the answer.
func refuse(c net.Conn, what string, limit int) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	body := faultf(503, 50304, "Too many connections: %s is %d, try again later", what, limit).body()
	_, err := fmt.Fprintf(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: %s\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		contentType[0], len(body), body)
	if err != nil {
		return
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(c, 1<<20))
	}
}

// limitedConn is a connection that counts until it is closed.
type limitedConn struct {
	net.Conn
	of    *Limiter
	quiet atomic.Int64 // when it was accepted or last written to, if nothing came since, ns since 1970; 0: a request is under way
}

func (c *limitedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.quiet.Store(0)
	}
	return n, err
}

func (c *limitedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.quiet.Store(time.Now().UnixNano())
	return n, err
}

func (c *limitedConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.open, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
