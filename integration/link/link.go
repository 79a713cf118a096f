package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"
)

// Link is one proxy. Its methods are safe for concurrent use.
type Link struct {
	addr string

	mu       sync.Mutex
	target   string
	state    state
	flow     chan struct{} // closed while bytes may pass
	listener net.Listener  // nil while refusing
	conns    map[*pair]struct{}
	closed   bool
}

type state uint8

const (
	up state = iota
	refusing
	hanging
)

// pair is one client's connection and the one to the target that it feeds.
type pair struct {
	client, server net.Conn
	cut            chan struct{} // closed when the pair is to go, whatever the link does
	once           sync.Once
}

// reset closes both sides at once; the peers see a reset, not an orderly end.
func (p *pair) reset() { p.close(true) }

func (p *pair) close(reset bool) {
	p.once.Do(func() {
		close(p.cut)
		for _, c := range []net.Conn{p.client, p.server} {
			if c == nil {
				continue
			}
			if tcp, ok := c.(*net.TCPConn); ok && reset {
				_ = tcp.SetLinger(0) // best effort: a peer that is gone needs no reset
			}
			_ = c.Close()
		}
	})
}

// New opens a link to target, a host and port; "" is given later, with Target.
func New(target string) (*Link, error) {
	l := &Link{target: target, flow: make(chan struct{}), conns: make(map[*pair]struct{})}
	close(l.flow)
	listener, err := Listen()
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	l.addr = listener.Addr().String()
	l.listener = listener
	go l.accept(listener)
	return l, nil
}

// Listen listens on a free port of loopback that the kernel does not hand out to
// outgoing connections, so that the port can be given back and taken again.
func Listen() (net.Listener, error) {
	var lc net.ListenConfig
	var last error
	for range 200 {
		addr := fmt.Sprintf("127.0.0.1:%d", 11000+rand.IntN(20000))
		listener, err := lc.Listen(context.Background(), "tcp", addr)
		if err == nil {
			return listener, nil
		}
		last = err
	}
	return nil, fmt.Errorf("no free port on loopback after 200 tries: %w", last)
}

// Addr is where clients connect to.
func (l *Link) Addr() string { return l.addr }

// Target changes where new connections lead.
func (l *Link) Target(addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.target = addr
}

// Refuse resets what is open and refuses what is new, until Heal.
func (l *Link) Refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(refusing)
	if l.listener != nil {
		_ = l.listener.Close() // its only failure is that it is closed already
		l.listener = nil
	}
	l.cutLocked()
}

// Hang stops every byte in both directions, until Heal. New connections are
// taken and hang as well.
func (l *Link) Hang() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(hanging)
}

// Cut resets what is open. The link itself stays as it is.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cutLocked()
}

// Heal lets bytes and connections pass again. What hung arrives now.
func (l *Link) Heal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener == nil && !l.closed {
		var lc net.ListenConfig
		var err error
		for deadline := time.Now().Add(5 * time.Second); ; {
			if l.listener, err = lc.Listen(context.Background(), "tcp", l.addr); err == nil {
				break
			}
			if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
				l.listener = nil
				return fmt.Errorf("link: listen again on %s: %w", l.addr, err)
			}
		}
		go l.accept(l.listener)
	}
	l.set(up)
	return nil
}

// Close ends the link and everything on it.
func (l *Link) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.listener != nil {
		_ = l.listener.Close() // its only failure is that it is closed already
		l.listener = nil
	}
	l.cutLocked()
}

// Open is how many connections pass through now.
func (l *Link) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

func (l *Link) set(s state) {
	switch {
	case s == hanging && l.state != hanging:
		l.flow = make(chan struct{})
	case s != hanging && l.state == hanging:
		close(l.flow)
	}
	l.state = s
}

func (l *Link) cutLocked() {
	for p := range l.conns {
		p.reset()
	}
}

func (l *Link) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return // closed by Refuse or Close
		}
		go l.serve(client)
	}
}

func (l *Link) serve(client net.Conn) {
	p := &pair{client: client, cut: make(chan struct{})}
	l.mu.Lock()
	if l.closed || l.state == refusing {
		l.mu.Unlock()
		p.reset()
		return
	}
	l.conns[p] = struct{}{}
	target := l.target
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.conns, p)
		l.mu.Unlock()
	}()
	if !l.flowing(p) || !l.connect(p, target) {
		p.reset() // as from a host whose service is down
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		l.pump(p, p.client, p.server)
	}()
	l.pump(p, p.server, p.client)
	<-back
	p.close(false)
}

func (l *Link) connect(p *pair, target string) bool {
	d := net.Dialer{Timeout: 5 * time.Second}
	server, err := d.DialContext(context.Background(), "tcp", target)
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-p.cut: // while we dialled
		_ = server.Close() // nothing was written to it
		return false
	default:
		p.server = server
		return true
	}
}

// pump carries bytes from src to dst until either is gone. An orderly end is
// passed on as one.
func (l *Link) pump(p *pair, dst, src net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if !l.flowing(p) {
			return
		}
		if n > 0 {
			if _, werr := dst.Write(buf[:n]); werr != nil {
				p.reset()
				return
			}
		}
		if err == nil {
			continue
		}
		if tcp, ok := dst.(*net.TCPConn); ok && errors.Is(err, io.EOF) {
			_ = tcp.CloseWrite() // a peer that is gone needs no end
			return
		}
		p.reset()
		return
	}
}

// flowing waits while the link hangs. It reports false when the pair was cut.
func (l *Link) flowing(p *pair) bool {
	for {
		l.mu.Lock()
		flow := l.flow
		l.mu.Unlock()
		select {
		case <-p.cut:
			return false
		case <-flow:
		}
		l.mu.Lock()
		same := flow == l.flow
		l.mu.Unlock()
		if same {
			return true
		}
	}
}
