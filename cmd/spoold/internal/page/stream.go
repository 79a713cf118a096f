package page

import (
	"fmt"
	"net/http"
	"time"
)

const (
	writeTimeout = 10 * time.Second // one event to one client
	retryAfter   = 2 * time.Second  // when the page connects again
)

// events is the stream of server-sent events: `status`, `topics` and `warning`.
// It lasts until the client or the daemon goes.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	c, start := p.hub.join()
	if c == nil {
		http.Error(w, fmt.Sprintf("too many event streams: at most %d at a time", maxClients), http.StatusServiceUnavailable)
		return
	}
	defer p.hub.leave(c)
	secure(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	rc := http.NewResponseController(w)
	for _, warning := range p.o.Warnings.Recent() {
		start = append(start, encode("warning", warning))
	}
	if _, err := fmt.Fprintf(w, "retry: %d\n\n", retryAfter.Milliseconds()); err != nil {
		return
	}
	for _, e := range start {
		if !write(w, rc, e) {
			return
		}
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case e, ok := <-c.events:
			if !ok || !write(w, rc, e) {
				return
			}
		}
	}
}

func write(w http.ResponseWriter, rc *http.ResponseController, e event) bool {
	// An error here only means that the writer has no deadlines, as in tests.
	_ = rc.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", e.name, e.data); err != nil {
		return false
	}
	return rc.Flush() == nil
}

// Warn sends a warning to everybody who looks at the page.
func (p *Page) Warn(w Warning) { p.hub.broadcast(encode("warning", w)) }
