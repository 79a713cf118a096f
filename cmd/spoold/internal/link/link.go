package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// Link is a CONNECT proxy on loopback that can be cut. Safe for concurrent use.
type Link struct {
	ln net.Listener
	wg sync.WaitGroup

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]struct{}
}

// Open starts a link that is up.
func Open(ctx context.Context) (*Link, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	l := &Link{ln: ln, conns: map[net.Conn]struct{}{}}
	l.wg.Go(l.accept)
	return l, nil
}

// Addr is what to give to Dial.
func (l *Link) Addr() string { return l.ln.Addr().String() }

// Cut takes the link down: every connection over it breaks.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = true
	for c := range l.conns {
		_ = c.Close()
	}
}

// Mend lets new connections through again.
func (l *Link) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

// Close ends the link and waits for its goroutines.
func (l *Link) Close() {
	_ = l.ln.Close()
	l.Cut()
	l.wg.Wait()
}

func (l *Link) accept() {
	for {
		c, err := l.ln.Accept()
		if err != nil {
			return
		}
		l.wg.Go(func() { l.carry(c) })
	}
}

// hold registers c, to be closed by Cut. It refuses while the link is down.
func (l *Link) hold(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		_ = c.Close()
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *Link) drop(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
	_ = c.Close()
}

// carry connects one client to the address that it names, and copies both ways.
func (l *Link) carry(near net.Conn) {
	if !l.hold(near) {
		return
	}
	defer l.drop(near)
	in := bufio.NewReader(near)
	_ = near.SetReadDeadline(time.Now().Add(5 * time.Second))
	line, err := in.ReadString('\n')
	if err != nil {
		return
	}
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "CONNECT ")
	if !ok {
		return
	}
	addr, _, _ = strings.Cut(addr, " ")
	if blank, err := in.ReadString('\n'); err != nil || strings.TrimSpace(blank) != "" {
		return
	}
	_ = near.SetReadDeadline(time.Time{})
	far, err := new(net.Dialer).Dial("tcp", addr)
	if err != nil || !l.hold(far) {
		_, _ = io.WriteString(near, "HTTP/1.1 502 Bad Gateway\r\n\r\n")
		return
	}
	defer l.drop(far)
	if _, err := io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(near, far)
		_ = near.Close()
	}()
	_, _ = io.Copy(far, in)
	_ = far.Close()
	<-done
}

// Dialer connects through the link at via.
func Dialer(via string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, via)
		if err != nil {
			return nil, err
		}
		if err := connect(ctx, c, addr); err != nil {
			_ = c.Close()
			return nil, err
		}
		return c, nil
	}
}

var answer = "HTTP/1.1 200 OK\r\n\r\n"

func connect(ctx context.Context, c net.Conn, addr string) error {
	if deadline, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(deadline)
	}
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	if _, err := fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\n\r\n", addr); err != nil {
		return fmt.Errorf("dial %s: %w", addr, err)
	}
	got := make([]byte, len(answer)) // exactly: what follows belongs to the broker
	if _, err := io.ReadFull(c, got); err != nil || string(got) != answer {
		return fmt.Errorf("dial %s: %w", addr, errors.Join(errRefused, err))
	}
	return c.SetDeadline(time.Time{})
}

var errRefused = errors.New("the link is down")

// Env is the environment variable that has a daemon dial its brokers through a link.
const Env = "SPOOLD_LINK"
