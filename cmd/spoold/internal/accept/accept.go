package accept

import (
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/spoold/spoold/internal/shortage"
)

const (
	least = 5 * time.Millisecond // between two tries
	most  = time.Second
)

// listener is Accept's alone, but for Close.
type listener struct {
	net.Listener
	name   string
	log    *slog.Logger
	closed chan struct{}
	once   sync.Once
}

// Through is ln, whose Accept blocks through shortages. name says in the log which listener it is. Accept is for one
// goroutine at a time.
func Through(ln net.Listener, name string, log *slog.Logger) net.Listener {
	return &listener{Listener: ln, name: name, log: log, closed: make(chan struct{})}
}

func (l *listener) Accept() (net.Conn, error) {
	for wait := time.Duration(0); ; {
		c, err := l.Listener.Accept()
		if !shortage.Is(err) {
			if wait > 0 && err == nil {
				l.log.Info("connections are taken again", "event", "accept.resumed", "listener", l.name)
			}
			return c, err
		}
		if wait == 0 {
			l.log.Warn("no connection can be taken: the process may not open more files (ulimit -n, LimitNOFILE= in the unit), or the system has no memory for one",
				"event", "accept.short", "listener", l.name, "err", err)
		}
		wait = min(max(2*wait, least), most)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-l.closed:
			t.Stop()
			return nil, net.ErrClosed
		}
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}
