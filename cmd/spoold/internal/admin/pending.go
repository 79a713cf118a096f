package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spoold/spoold"
)

// PendingDaemon is a Daemon whose pending records can be looked at.
type PendingDaemon interface {
	Pending(topic string, yield func(*spoold.PendingRecord) bool) error
}

// These trailers carry what ended a stream of records early, and the exit code that it means.
const (
	errorTrailer = "Spoold-Error"
	exitTrailer  = "Spoold-Exit"
)

func handlePending(mux *http.ServeMux, d PendingDaemon) {
	mux.HandleFunc("GET /api/pending", func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, func(yield func(*spoold.PendingRecord) bool) error {
			return d.Pending(r.URL.Query().Get("topic"), yield)
		})
	})
}

// stream answers with one JSON object a line. It may take hours: a spool holds gigabytes, and a reader may be a pager.
func stream[T any](w http.ResponseWriter, r *http.Request, each func(yield func(*T) bool) error) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Trailer", errorTrailer+", "+exitTrailer)
	rc := http.NewResponseController(w)
	_ = rc.SetWriteDeadline(time.Time{}) // an error means that there is none, as in tests
	_ = rc.Flush()                       // the first record may take longer than a client waits for an answer to begin
	out := json.NewEncoder(w)
	err := each(func(v *T) bool { return r.Context().Err() == nil && out.Encode(v) == nil })
	if err != nil {
		w.Header().Set(errorTrailer, err.Error())
		w.Header().Set(exitTrailer, strconv.Itoa(spoold.ExitCode(err)))
	}
}

// Pending calls yield with the daemon's pending records until it returns false. ErrNoDaemon: nobody listens.
func Pending(ctx context.Context, dir, topic string, yield func(*spoold.PendingRecord) bool) error {
	return streamed(ctx, dir, http.MethodGet, "/api/pending?topic="+url.QueryEscape(topic), nil, yield)
}

// streamed calls yield with what the daemon streams as an answer until it returns false.
func streamed[T any](ctx context.Context, dir, method, path string, body []byte, yield func(*T) bool) error {
	client := http.Client{Transport: &http.Transport{ // no time limit: there may be many
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return DialUnix(ctx, dir) },
	}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, method, "http://spoold"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	res, err := send(req, &client)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return failure(res)
	}
	in := json.NewDecoder(res.Body)
	for {
		var v T
		err := in.Decode(&v)
		if errors.Is(err, io.EOF) {
			if text := res.Trailer.Get(errorTrailer); text != "" {
				exit, err := strconv.Atoi(res.Trailer.Get(exitTrailer))
				if err != nil {
					exit = spoold.ExitIO // a daemon that does not say
				}
				return &Failure{text, exit}
			}
			return nil
		}
		if err != nil {
			return decoded(res, err)
		}
		if !yield(&v) {
			return nil
		}
	}
}
