package httpin

import (
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
)

// maxRequestID is the longest X-Request-Id that is taken over.
const maxRequestID = 128

// Identifiers that are made: the process's own beginning, and a number.
var (
	idPrefix = func() string {
		b := make([]byte, 6)
		_, _ = rand.Read(b) // it never fails
		return hex.EncodeToString(b) + "-"
	}()
	idCount atomic.Uint64
)

// requestID is the client's X-Request-Id, or else a new one, as a header's values.
func requestID(r *http.Request) []string {
	if own := r.Header["X-Request-Id"]; len(own) == 1 && plain(own[0]) {
		return own
	}
	var buf [40]byte
	return []string{string(strconv.AppendUint(append(buf[:0], idPrefix...), idCount.Add(1), 10))}
}

// plain reports whether a text is short and has nothing that a log line or a header should not have.
func plain(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}

// log writes a line about a request. It holds no header but the request's id, no query and no record.
func (h *Handler) log(r *http.Request, p *parse, f *fault, id string) {
	fault := f != nil && f.status >= http.StatusInternalServerError && f.code != 50301
	if !fault && !h.cfg.Log.Enabled(r.Context(), slog.LevelDebug) {
		return
	}
	log := h.cfg.Log
	if p.who != nil {
		log = log.With("user", p.who.Name())
	}
	if fault {
		log.Warn("a request could not be answered as asked", "event", "http.fault",
			"request_id", id, "method", r.Method, "path", clip(r.URL.Path), "address", r.RemoteAddr, "records", len(p.records),
			"status", f.status, "code", f.code, "err", f.message)
		return
	}
	if f != nil {
		log = log.With("status", f.status, "code", f.code, "err", f.message)
	}
	log.Debug("a request was answered", "event", "http.request",
		"request_id", id, "method", r.Method, "path", clip(r.URL.Path), "address", r.RemoteAddr, "records", len(p.records))
}
