package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoold/spoold"
)

// pipes is a listener whose connections are in memory.
type pipes struct {
	conns chan net.Conn
	over  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.over:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.over); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

// slow needs ten minutes for each record.
type slow struct{ end error }

func (s slow) Pending(_ string, yield func(*spoold.PendingRecord) bool) error {
	for i := range uint64(3) {
		time.Sleep(10 * time.Minute)
		if !yield(&spoold.PendingRecord{Topic: "t", Index: i}) {
			return errors.New("nobody reads on")
		}
	}
	return s.end
}

// A spool holds gigabytes, and who reads may be a pager, or a host behind a thin line.
func TestAnExportTakesAsLongAsItTakesAndEndsWithItsExitCode(t *testing.T) {
	for _, end := range []error{nil, &spoold.CorruptError{Segment: 1, What: "a checksum"}} {
		synctest.Test(t, func(t *testing.T) {
			p := &pipes{make(chan net.Conn), make(chan struct{})}
			mux := http.NewServeMux()
			handlePending(mux, slow{end})
			server := Serve(p, mux, slog.New(slog.DiscardHandler))
			client := &http.Client{Transport: &http.Transport{DialContext: p.dial}}
			n := 0
			err := Pending((&Remote{url: "http://daemon", client: client}).With(t.Context()), "", "", func(r *spoold.PendingRecord) bool {
				n++
				return r.Index == uint64(n-1)
			})
			var told *Failure
			if n != 3 || (end == nil) != (err == nil) || err != nil && (!errors.As(err, &told) || told.Exit != spoold.ExitCorrupt || told.Message != end.Error()) {
				t.Errorf("%d records, %v; want 3 and %v with its exit code", n, err, end)
			}
			client.CloseIdleConnections()
			server.Close()
			synctest.Wait()
		})
	}
}

// patient drops dead letters for ten minutes.
type patient struct{ Daemon }

func (patient) Status() *spoold.Status { return &spoold.Status{} }
func (patient) Err() error             { return nil }

func (patient) DropDeadLetters(ctx context.Context, _ spoold.DeadLetterFilter, _ spoold.DeadLetterDrop) (int, error) {
	time.Sleep(10 * time.Minute)
	return 7, ctx.Err()
}

func TestAChangeOfManyRecordsIsWaitedFor(t *testing.T) {
	for _, remote := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			p := &pipes{make(chan net.Conn), make(chan struct{})}
			server := Serve(p, Private(patient{}, http.NotFoundHandler()), slog.New(slog.DiscardHandler))
			client, ctx := NewClient(""), t.Context()
			transport := &http.Transport{DialContext: p.dial}
			client.http.Transport = transport
			if remote {
				r := NewRemote("http://daemon", "", nil)
				r.client.Transport.(*http.Transport).DialContext = p.dial
				transport, ctx = r.client.Transport.(*http.Transport), r.With(ctx)
			}
			if n, err := client.DropDeadLetters(ctx, spoold.DeadLetterFilter{}, spoold.DeadLetterDrop{}); n != 7 || err != nil {
				t.Errorf("remote %v: %d, %v; want 7", remote, n, err)
			}
			transport.CloseIdleConnections()
			server.Close()
			synctest.Wait()
		})
	}
}
