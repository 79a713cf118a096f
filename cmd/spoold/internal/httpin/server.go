package httpin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Timeouts of a connection. A client that is slower than this is told 408, or
// just closed while it still sends its header.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 60 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 16 << 10
)

// Server serves a Handler on one listener.
type Server struct {
	handler *Handler
	http    http.Server
	ln      net.Listener
}

// On takes a listener that is open already. Nothing is served before Serve.
func On(ln net.Listener, handler *Handler, log *slog.Logger) *Server {
	s := &Server{handler: handler, ln: ln}
	s.http = http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return s
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Serve accepts connections until Shutdown, and then returns nil.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("http: %w", err)
	}
	return nil
}

// Shutdown stops accepting and waits for requests under way. When ctx ends
// before they are answered, their connections are closed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.handler.Close()
	err := s.http.Shutdown(ctx)
	if err != nil {
		_ = s.http.Close() // the first error says it all
	}
	return err
}

// limitListener answers 503 to connections above its limit, instead of leaving them in
// the kernel's queue where they look like a hang.
type limitListener struct {
	net.Listener
	open    chan struct{} // one token per open connection
	refused chan struct{} // one token per connection that is being refused
}

// Limit is ln with at most so many connections at a time: further ones are answered 503 and closed.
func Limit(ln net.Listener, limit int) net.Listener {
	return &limitListener{Listener: ln, open: make(chan struct{}, limit), refused: make(chan struct{}, 64)}
}

func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.open <- struct{}{}:
			return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.open })}, nil
		default:
		}
		select {
		case l.refused <- struct{}{}:
			go func() {
				refuse(c, cap(l.open))
				<-l.refused
			}()
		default:
			_ = c.Close()
		}
	}
}

// refuse answers before anything was asked, and reads what comes until the client
// has gone: closing at once would reset the connection under the answer.
func refuse(c net.Conn, limit int) {
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	body := faultf(503, 50304, "Too many connections: http.max.connections is %d, try again later", limit).body()
	_, err := fmt.Fprintf(c, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: %s\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s",
		contentType[0], len(body), body)
	if err != nil {
		return
	}
	if half, ok := c.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(c, 1<<20))
	}
}

// limitedConn gives its token back once.
type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
