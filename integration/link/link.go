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
	addr   string
	target string
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // connections and zombies
	faults *faults        // nil: bytes pass, whatever they are

	mu       sync.Mutex
	state    state
	flow     chan struct{} // closed while bytes may pass
	listener net.Listener  // nil while refusing
	conns    map[*pair]struct{}
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
	gone           chan struct{} // closed by close
	once           sync.Once
	frames         *frames // nil: bytes pass
}

// close ends both sides; with reset, the peers see a reset and not an orderly end.
func (p *pair) close(reset bool) {
	p.once.Do(func() {
		close(p.gone)
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

// New opens a link to target, a host and port.
func New(target string) (*Link, error) { return open(target, nil) }

// NewKafka opens a link to a broker that can also break single requests and answers.
func NewKafka(o Options) (*Link, error) {
	return open(o.Target, &faults{name: o.Name, seed: o.Seed, mix: o.Mix, log: o.Log, answers: make(map[string]int)})
}

func open(target string, f *faults) (*Link, error) {
	l := &Link{target: target, faults: f, flow: make(chan struct{}), conns: make(map[*pair]struct{})}
	close(l.flow)
	listener, err := Listen()
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
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

// Refuse resets what is open and refuses what is new, until Heal.
func (l *Link) Refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.set(refusing)
	l.stopListening()
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

// Heal lets bytes, requests and connections pass again, and resets black holes. What hung arrives now; zombies still come.
func (l *Link) Heal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.faults != nil {
		l.faults.mix = Mix{}
	}
	for p := range l.conns {
		if p.frames != nil && p.frames.blackhole.Load() {
			p.close(true)
		}
	}
	if l.listener == nil && l.ctx.Err() == nil {
		if err := l.listenAgain(); err != nil {
			return err
		}
	}
	l.set(up)
	return nil
}

func (l *Link) listenAgain() error {
	var lc net.ListenConfig
	for deadline := time.Now().Add(5 * time.Second); ; {
		listener, err := lc.Listen(context.Background(), "tcp", l.addr)
		if err == nil {
			l.listener = listener
			go l.accept(listener)
			return nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) || time.Now().After(deadline) {
			return fmt.Errorf("link: listen again on %s: %w", l.addr, err)
		}
	}
}

// Close ends the link and everything on it, and waits for that.
func (l *Link) Close() {
	l.cancel()
	l.mu.Lock()
	l.stopListening()
	l.cutLocked()
	l.mu.Unlock()
	l.wg.Wait()
}

func (l *Link) stopListening() {
	if l.listener != nil {
		_ = l.listener.Close() // its only failure is that it is closed already
		l.listener = nil
	}
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
		p.close(true)
	}
}

func (l *Link) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return // closed by Refuse or Close
		}
		p := &pair{client: client, gone: make(chan struct{})}
		l.mu.Lock()
		if l.ctx.Err() != nil || l.state == refusing {
			l.mu.Unlock()
			p.close(true)
			continue
		}
		l.conns[p] = struct{}{}
		if l.faults != nil {
			p.frames = l.newFrames(p)
		}
		l.wg.Go(func() { l.serve(p) })
		l.mu.Unlock()
	}
}

func (l *Link) serve(p *pair) {
	defer l.forget(p)
	if !l.flowing(p) || !l.connect(p) {
		p.close(true) // as from a host whose service is down
		return
	}
	there := func() { l.pump(p, p.server, p.client) }
	back := func() { l.pump(p, p.client, p.server) }
	if p.frames != nil {
		there, back = p.frames.carryRequests, p.frames.carryAnswers
	}
	var answers sync.WaitGroup
	answers.Go(back)
	there()
	answers.Wait()
	p.close(false)
}

func (l *Link) forget(p *pair) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, p)
	if p.frames != nil {
		l.bury(p.frames)
	}
}

func (l *Link) connect(p *pair) bool {
	d := net.Dialer{Timeout: 5 * time.Second}
	server, err := d.DialContext(l.ctx, "tcp", l.target)
	if err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-p.gone: // while we dialled
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
				p.close(true)
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
		p.close(true)
		return
	}
}

// flowing waits while the link hangs. It reports false when the connection was closed.
func (l *Link) flowing(p *pair) bool {
	for {
		l.mu.Lock()
		flow := l.flow
		l.mu.Unlock()
		select {
		case <-p.gone:
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
