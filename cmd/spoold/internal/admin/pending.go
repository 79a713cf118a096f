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

	"github.com/spoold/spoold"
)

// PendingDaemon is a Daemon whose pending records can be looked at.
type PendingDaemon interface {
	Pending(topic string, yield func(*spoold.PendingRecord) bool) error
}

// errorTrailer carries what ended a stream of records early.
const errorTrailer = "Spoold-Error"

func handlePending(mux *http.ServeMux, d PendingDaemon) {
	mux.HandleFunc("GET /api/pending", func(w http.ResponseWriter, r *http.Request) {
		stream(w, r, func(yield func(*spoold.PendingRecord) bool) error {
			return d.Pending(r.URL.Query().Get("topic"), yield)
		})
	})
}

// stream answers with one JSON object a line.
func stream[T any](w http.ResponseWriter, r *http.Request, each func(yield func(*T) bool) error) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("Trailer", errorTrailer)
	out := json.NewEncoder(w)
	err := each(func(v *T) bool { return r.Context().Err() == nil && out.Encode(v) == nil })
	if err != nil {
		w.Header().Set(errorTrailer, err.Error())
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
				return errors.New(text)
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
