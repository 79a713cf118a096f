package httpin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Timeouts of a connection. A client that is slower than this is answered 408, or
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

// SetMaxBodyBytes is the handler's.
func (s *Server) SetMaxBodyBytes(n int64) { s.handler.SetMaxBodyBytes(n) }

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
