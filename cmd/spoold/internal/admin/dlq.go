package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/spoold/spoold"
)

// DeadLetterDaemon is a Daemon whose dead letters can be looked at and changed.
type DeadLetterDaemon interface {
	DeadLetters(f spoold.DeadLetterFilter, most int) []spoold.DeadLetterInfo
	DeadLetter(serial uint64) (*spoold.DeadLetterRecord, error)
	ExportDeadLetters(f spoold.DeadLetterFilter, yield func(*spoold.ExportedDeadLetter) bool) error
	DropDeadLetters(ctx context.Context, f spoold.DeadLetterFilter, how spoold.DeadLetterDrop) (int, error)
	ReplayDeadLetters(ctx context.Context, f spoold.DeadLetterFilter, how spoold.DeadLetterReplay) (spoold.DeadLettersReplayed, error)
}

// DeadLetterRequest asks for a list of dead letters, or for a change.
type DeadLetterRequest struct {
	Filter spoold.DeadLetterFilter `json:"filter"`
	Most   int                     `json:"most,omitempty"`
	Replay spoold.DeadLetterReplay `json:"replay"`
	Drop   spoold.DeadLetterDrop   `json:"drop"`
}

// DeadLettersDropped is how many dead letters were dropped.
type DeadLettersDropped struct {
	Records int `json:"records"`
}

func handleDeadLetters(mux *http.ServeMux, d DeadLetterDaemon) {
	mux.HandleFunc("POST /api/dlq/ls", func(w http.ResponseWriter, r *http.Request) {
		if req, ok := deadLetterRequest(w, r); ok {
			writeJSON(w, http.StatusOK, d.DeadLetters(req.Filter, req.Most))
		}
	})
	mux.HandleFunc("POST /api/dlq/export", func(w http.ResponseWriter, r *http.Request) {
		if req, ok := deadLetterRequest(w, r); ok {
			stream(w, r, func(yield func(*spoold.ExportedDeadLetter) bool) error { return d.ExportDeadLetters(req.Filter, yield) })
		}
	})
	mux.HandleFunc("GET /api/dlq/{serial}", func(w http.ResponseWriter, r *http.Request) {
		serial, err := strconv.ParseUint(r.PathValue("serial"), 10, 64)
		if err != nil {
			writeJSON(w, http.StatusBadRequest, Failure{"dlq: " + err.Error(), 64})
			return
		}
		record, err := d.DeadLetter(serial)
		if err != nil {
			writeJSON(w, http.StatusNotFound, Failure{err.Error(), deadLetterExit(err)})
			return
		}
		writeJSON(w, http.StatusOK, record)
	})
	change := func(do func(context.Context, *DeadLetterRequest) (any, error)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			req, ok := deadLetterRequest(w, r)
			if !ok {
				return
			}
			done, err := do(r.Context(), &req)
			if err != nil {
				writeJSON(w, http.StatusConflict, Failure{err.Error(), deadLetterExit(err)})
				return
			}
			writeJSON(w, http.StatusOK, done)
		}
	}
	mux.HandleFunc("POST /api/dlq/drop", change(func(ctx context.Context, req *DeadLetterRequest) (any, error) {
		n, err := d.DropDeadLetters(ctx, req.Filter, req.Drop)
		return DeadLettersDropped{n}, err
	}))
	mux.HandleFunc("POST /api/dlq/replay", change(func(ctx context.Context, req *DeadLetterRequest) (any, error) {
		return d.ReplayDeadLetters(ctx, req.Filter, req.Replay)
	}))
}

func deadLetterExit(err error) int {
	if errors.Is(err, spoold.ErrNoDeadLetter) {
		return 64
	}
	return spoold.ExitCode(err)
}

func deadLetterRequest(w http.ResponseWriter, r *http.Request) (req DeadLetterRequest, ok bool) {
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&req); err != nil {
		writeJSON(w, http.StatusBadRequest, Failure{"dlq: " + err.Error(), 64})
		return req, false
	}
	return req, true
}

// DeadLetters asks for a list. ErrNoDaemon: nobody listens.
func (c *Client) DeadLetters(ctx context.Context, f spoold.DeadLetterFilter, most int) (list []spoold.DeadLetterInfo, err error) {
	err = c.post(ctx, "/api/dlq/ls", DeadLetterRequest{Filter: f, Most: most}, &list)
	return list, err
}

// ExportDeadLetters calls yield with the daemon's dead letters until it returns false. ErrNoDaemon: nobody listens.
func ExportDeadLetters(ctx context.Context, dir string, f spoold.DeadLetterFilter, yield func(*spoold.ExportedDeadLetter) bool) error {
	body, err := json.Marshal(DeadLetterRequest{Filter: f})
	if err != nil {
		return err
	}
	return streamed(ctx, dir, http.MethodPost, "/api/dlq/export", body, yield)
}

// DeadLetter asks for one, with its record.
func (c *Client) DeadLetter(ctx context.Context, serial uint64) (*spoold.DeadLetterRecord, error) {
	var r spoold.DeadLetterRecord
	_, err := c.do(ctx, http.MethodGet, "/api/dlq/"+url.PathEscape(strconv.FormatUint(serial, 10)), nil, &r)
	return &r, err
}

// DropDeadLetters drops dead letters.
func (c *Client) DropDeadLetters(ctx context.Context, f spoold.DeadLetterFilter, how spoold.DeadLetterDrop) (int, error) {
	var n DeadLettersDropped
	err := c.post(ctx, "/api/dlq/drop", DeadLetterRequest{Filter: f, Drop: how}, &n)
	return n.Records, err
}

// ReplayDeadLetters replays dead letters.
func (c *Client) ReplayDeadLetters(ctx context.Context, f spoold.DeadLetterFilter, how spoold.DeadLetterReplay) (r spoold.DeadLettersReplayed, err error) {
	err = c.post(ctx, "/api/dlq/replay", DeadLetterRequest{Filter: f, Replay: how}, &r)
	return r, err
}

func (c *Client) post(ctx context.Context, path string, req, into any) error {
	body, err := json.Marshal(req)
	if err == nil {
		_, err = c.do(ctx, http.MethodPost, path, body, into)
	}
	return err
}
