package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/spoold/spoold"
)

// Daemon is what is looked at.
type Daemon interface {
	Status() *spoold.Status
	Err() error // why it stopped by itself, or nil
	Resolve(ctx context.Context, topic string, partition int32, c spoold.ResolveChoice) (spoold.Resolution, error)
	DeadLetterDaemon
	PendingDaemon
	OperateTransaction(ctx context.Context, op spoold.TransactionOperation) error
}

// PIDHeader is set on every answer.
const PIDHeader = "Spoold-Pid"

// nearlyFull is how much of its limit a spool may use before an operator must look.
const nearlyFull = 0.95

// Public is the handler of admin.listen. metrics answers /metrics.
func Public(d Daemon, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, Health(d.Status(), d.Err()))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		link := r.URL.Query().Get("link")
		answer(w, Ready(d.Status(), d.Err(), link == "1" || link == "true"))
	})
	mux.HandleFunc("GET /api/status", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, d.Status())
	})
	mux.Handle("GET /metrics", metrics)
	pid := strconv.Itoa(os.Getpid())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(PIDHeader, pid)
		mux.ServeHTTP(w, r)
	})
}

// Private is the handler of the socket: the public one, and what changes things.
func Private(d Daemon, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", Public(d, metrics))
	mux.HandleFunc("POST /api/txn", func(w http.ResponseWriter, r *http.Request) { operateTransaction(d, w, r) })
	mux.HandleFunc("POST /api/resolve", func(w http.ResponseWriter, r *http.Request) { resolve(d, w, r) })
	handleDeadLetters(mux, d)
	handlePending(mux, d)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost { // a change of many records may take longer than an answer otherwise may
			_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // an error means that there is none, as in tests
		}
		mux.ServeHTTP(w, r)
	})
}

// stuckAfter is how many seconds a commit may take before the disk counts as one that hangs.
const stuckAfter = 30

// Health says why the daemon cannot commit to its disk, or nil.
func Health(s *spoold.Status, err error) error {
	switch {
	case err != nil:
		return err
	case s.State == "stopped":
		return errors.New("stopped")
	case s.CommitSeconds > stuckAfter:
		return fmt.Errorf("a commit to the disk has not returned for %.0f s: the disk hangs", s.CommitSeconds)
	}
	return nil
}

// LinkReason is why the link is down, of a status that says that it is.
func LinkReason(s *spoold.Status) string {
	if s.LinkError == "" {
		return "no broker has answered yet"
	}
	return s.LinkError
}

// Ready says why the daemon takes no records, or nil. The cluster's absence is no
// reason: that is when the spool is needed. With link it is one, and so is another producer that has taken the transactional id.
func Ready(s *spoold.Status, err error, link bool) error {
	if err := Health(s, err); err != nil {
		return err
	}
	switch {
	case s.State != "running":
		return errors.New(s.State)
	case s.SpoolFull != "":
		return errors.New(s.SpoolFull)
	case link && s.Link != "up":
		return fmt.Errorf("the link is down: %s", LinkReason(s))
	case link && s.Transaction != nil && s.Transaction.Fenced != "":
		return fmt.Errorf("nothing is delivered under transactional.id %s: %s", s.Transaction.ID, s.Transaction.Fenced)
	}
	return nil
}

// Full reports whether the spool takes nothing, or soon will not.
func Full(s *spoold.Status) bool {
	return s.SpoolFull != "" || s.SpoolLimitBytes > 0 && float64(s.SpoolBytes) >= nearlyFull*float64(s.SpoolLimitBytes)
}

func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	fmt.Fprintln(w, "ok")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // nobody reads it if the client is gone
}

// ResolveRequest is an operator's decision.
type ResolveRequest struct {
	Topic     string               `json:"topic"`
	Partition int32                `json:"partition"` // -1: all parked ones of the topic
	Choice    spoold.ResolveChoice `json:"choice"`
}

// Failure is an answer that is not 2xx, with the exit code it means.
type Failure struct {
	Message string `json:"error"`
	Exit    int    `json:"exit"`
}

func (f *Failure) Error() string { return f.Message }

func resolve(d Daemon, w http.ResponseWriter, r *http.Request) {
	var req ResolveRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4096)).Decode(&req); err != nil {
		writeJSON(w, http.StatusBadRequest, Failure{"resolve: " + err.Error(), 64})
		return
	}
	res, err := d.Resolve(r.Context(), req.Topic, req.Partition, req.Choice)
	if err != nil {
		writeJSON(w, http.StatusConflict, Failure{err.Error(), spoold.ExitCode(err)})
		return
	}
	writeJSON(w, http.StatusOK, res)
}

// Server serves one of the handlers.
type Server struct {
	http http.Server
	ln   net.Listener
}

// Serve serves on ln until Close.
func Serve(ln net.Listener, h http.Handler, log *slog.Logger) *Server {
	s := &Server{ln: ln}
	s.http = http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	go func() {
		if err := s.http.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			log.Error("the admin listener failed", "event", "admin.failed", "err", err)
		}
	}()
	return s
}

// Addr is where the server listens.
func (s *Server) Addr() net.Addr { return s.ln.Addr() }

// Close ends it at once: what it serves changes nothing that matters by then.
func (s *Server) Close() { _ = s.http.Close() }
