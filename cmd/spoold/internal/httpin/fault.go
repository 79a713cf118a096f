package httpin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// fault is an answer that is not 2xx.
type fault struct {
	status    int
	code      int      // Confluent's error_code
	message   string   // one line: what was wrong, where, what to do
	retry     int      // seconds, for Retry-After; 0: no such header
	close     bool     // the connection cannot go on: its body was not read
	allow     string   // methods, for Allow
	challenge []string // for WWW-Authenticate
	more      string   // further members of the body, each after a comma
	alone     *fault   // what is wrong with one record, where the others could be taken without it
	at        int      // its index, with alone
}

func (f *fault) Error() string { return f.message }

func faultf(status, code int, format string, args ...any) *fault {
	return &fault{status: status, code: code, message: fmt.Sprintf(format, args...)}
}

func (f *fault) retryAfter(seconds int) *fault { f.retry = seconds; return f }

// partly is the fault where some of the request is spooled already: instead says what is not.
func (f *fault) partly(instead string) *fault {
	g := *f
	g.message = strings.NewReplacer("nothing was spooled", instead, "Nothing was spooled", strings.ToUpper(instead[:1])+instead[1:]).Replace(f.message)
	return &g
}

func (f *fault) closing() *fault { f.close = true; return f }

// contentType of every answer, ready for the header map.
var contentType = []string{"application/vnd.kafka.v2+json"}

func (f *fault) write(w http.ResponseWriter) {
	h := w.Header()
	h["Content-Type"] = contentType
	if f.retry > 0 {
		h.Set("Retry-After", strconv.Itoa(f.retry))
	}
	if f.close {
		h.Set("Connection", "close")
	}
	if f.allow != "" {
		h.Set("Allow", f.allow)
	}
	if len(f.challenge) > 0 {
		h["Www-Authenticate"] = f.challenge
	}
	if f.code == codeEncoding {
		h.Set("Accept-Encoding", encodings)
	}
	w.WriteHeader(f.status)
	_, _ = w.Write(f.body()) // nobody reads it if the client is gone
}

// text is the message as a JSON string.
func (f *fault) text() []byte {
	message, err := json.Marshal(f.message)
	if err != nil { // a string always marshals; an answer without text is still an answer
		message = []byte(`""`)
	}
	return message
}

// body is {"error_code":…,"message":…}.
func (f *fault) body() []byte {
	out := append([]byte(`{"error_code":`), strconv.Itoa(f.code)...)
	out = append(out, `,"message":`...)
	out = append(append(out, f.text()...), f.more...)
	return append(out, "}\n"...)
}
