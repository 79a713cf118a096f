package page

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spoold/spoold"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func status(at int64, accepted uint64, topics ...spoold.TopicStatus) *spoold.Status {
	return &spoold.Status{Time: time.UnixMilli(at), Accepted: accepted, Acked: accepted, Topics: topics}
}

func newPage(t *testing.T, peek func() *spoold.Status) (*Page, *httptest.Server) {
	t.Helper()
	h, err := OpenHistory("")
	if err != nil {
		t.Fatal(err)
	}
	p := New(Options{Peek: peek, History: h, Warnings: new(Warnings), Next: http.NotFoundHandler(),
		Settings: func() []Setting { return []Setting{{"linger.ms", "5", "spoold.yaml:3"}} }})
	s := httptest.NewServer(p)
	t.Cleanup(func() { p.Close(); s.Close(); http.DefaultClient.CloseIdleConnections() })
	return p, s
}

// stream reads events from /events: "name data".
func stream(t *testing.T, s *httptest.Server) (next func() string, closed func() error) {
	t.Helper()
	r, err := http.Get(s.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Body.Close() })
	if r.StatusCode != http.StatusOK {
		t.Fatalf("GET /events: %s", r.Status)
	}
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 1<<22)
	return func() string {
		name := ""
		for lines.Scan() {
			if n, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
				name = n
			}
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return name + " " + data
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return ""
	}, func() error { _, err := io.Copy(io.Discard, r.Body); return err }
}

func TestStreamBeginsWithEverythingAndThenSendsChanges(t *testing.T) {
	var n atomic.Uint64
	peek := func() *spoold.Status {
		return status(1000, 3, spoold.TopicStatus{Topic: "a", Accepted: n.Load()}, spoold.TopicStatus{Topic: "b"})
	}
	p, s := newPage(t, peek)
	next, _ := stream(t, s)
	if got := next(); !strings.HasPrefix(got, `status {`) || !strings.Contains(got, `"topics":2`) {
		t.Errorf("the first event is %q, want the status with a count of topics", got)
	}
	if got := next(); !strings.Contains(got, `"full":true`) || !strings.Contains(got, `"topic":"a"`) || !strings.Contains(got, `"topic":"b"`) {
		t.Errorf("the second event is %q, want all topics", got)
	}
	n.Store(7)
	p.hub.mu.Lock()
	stop := p.hub.stop
	p.hub.mu.Unlock()
	p.hub.sample(peek(), stop)
	for got := next(); ; got = next() {
		if strings.HasPrefix(got, "topics") {
			if !strings.Contains(got, `"full":false`) || !strings.Contains(got, `"accepted":7`) || strings.Contains(got, `"topic":"b"`) {
				t.Errorf("a change is sent as %q, want topic a alone", got)
			}
			break
		}
	}
}

func TestAClientThatDoesNotReadIsDisconnected(t *testing.T) {
	h := newHub(func() *spoold.Status { return status(1, 1) })
	defer h.close()
	c, _ := h.join()
	for range queueLength + 1 {
		h.broadcast(event{"status", nil})
	}
	for range queueLength {
		<-c.events
	}
	if _, open := <-c.events; open {
		t.Error("a client with a full queue still gets events")
	}
	if h.stop != nil {
		t.Error("the sampler runs although nobody looks")
	}
}

func TestStreamsAreBounded(t *testing.T) {
	p, s := newPage(t, func() *spoold.Status { return status(1, 1) })
	for range maxClients {
		if c, _ := p.hub.join(); c == nil {
			t.Fatal("a client within the limit was refused")
		}
	}
	r, err := http.Get(s.URL + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("one stream too many is answered %s, want 503", r.Status)
	}
}

func TestCloseEndsEveryStream(t *testing.T) {
	p, s := newPage(t, func() *spoold.Status { return status(1, 1) })
	next, closed := stream(t, s)
	next()
	p.Close()
	if err := closed(); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestFilesAreServedUnderAStrictPolicy(t *testing.T) {
	_, s := newPage(t, func() *spoold.Status { return status(1, 1) })
	for path, want := range map[string]int{"/": 200, "/assets/page.js": 200, "/assets/../page.go": 404, "/assets/none": 404, "/api/config": 200, "/other": 404} {
		r, err := http.Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		if r.StatusCode != want {
			t.Errorf("GET %s: %s, want %d", path, r.Status, want)
		}
		if csp := r.Header.Get("Content-Security-Policy"); want == 200 && !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("GET %s: policy %q", path, csp)
		}
	}
}

func TestHistorySurvivesARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.json")
	h, err := OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 400 { // more than an hour
		h.add(status(int64(i)*10_000, uint64(i)*50))
	}
	if err := h.save(true); err != nil {
		t.Fatal(err)
	}
	again, err := OpenHistory(path)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := json.Marshal(h.Series())
	if got, _ := json.Marshal(again.Series()); string(got) != string(want) {
		t.Errorf("read back %.200s, want %.200s", got, want)
	}
	s := again.Series()
	if n := len(s.Hour.Points); n != 360 {
		t.Errorf("the hour has %d points, want 360", n)
	}
	if p := s.Hour.Points[359]; p.Accepted != 5 {
		t.Errorf("50 records in 10 s are %v a second, want 5", p.Accepted)
	}
	if n := len(s.Day.Points); n != 14 { // 0, 5, … 65 minutes
		t.Errorf("the day has %d points, want 14", n)
	}
}

func TestIdleHistoryWritesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.json")
	h, _ := OpenHistory(path)
	for i := range 100 {
		h.add(status(int64(i)*10_000, 5))
		if err := h.save(true); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an idle daemon wrote its history: %v", err)
	}
}

func TestAClockThatGoesBackBeginsTheHistoryAnew(t *testing.T) {
	h, _ := OpenHistory("")
	for _, at := range []int64{100_000, 110_000, 120_000, 50_000, 60_000} {
		h.add(status(at, 1))
	}
	last := int64(0)
	for _, p := range h.Series().Hour.Points {
		if p.At <= last {
			t.Fatalf("points are out of order: %+v", h.Series().Hour.Points)
		}
		last = p.At
	}
	if last != 60_000 {
		t.Errorf("the last point is at %d, want 60000", last)
	}
}

func TestADamagedHistoryIsSaidAndBegunAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "history.json")
	if err := os.WriteFile(path, []byte(`{"hour":`), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := OpenHistory(path)
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged file is answered with %v, want an error that names it", err)
	}
	h.add(status(1, 1))
	if n := len(h.Series().Hour.Points); n != 1 {
		t.Errorf("%d points, want 1", n)
	}
}

func TestLastWarningsAreKept(t *testing.T) {
	var w Warnings
	var also []string
	w.Also(func(line Warning) { also = append(also, line.Message) })
	log := slog.New(w.Handler(slog.NewTextHandler(io.Discard, nil))).With("topic", "orders")
	log.Info("not kept")
	for i := range keepWarnings + 5 {
		log.WarnContext(context.Background(), fmt.Sprint("warning ", i), "err", errors.New("no"))
	}
	lines := w.Recent()
	if len(lines) != keepWarnings || lines[0].Message != "warning 5" || len(also) != keepWarnings+5 {
		t.Fatalf("%d lines from %q, %d passed on", len(lines), lines[0].Message, len(also))
	}
	if f := lines[0].Fields; f["topic"] != "orders" || f["err"] != "no" {
		t.Errorf("fields %v", f)
	}
}

// Whoever may write into the spool's directory must not have the daemon write over other files.
func TestTheHistoryFollowsNoSymbolicLink(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "h.json"), filepath.Join(dir, "other")
	if err := os.WriteFile(other, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + ".new"} {
		if err := os.Symlink(other, name); err != nil {
			t.Fatal(err)
		}
		_, err := OpenHistory(path)
		if (err != nil) != (name == path) {
			t.Errorf("OpenHistory with a link at %s: %v", filepath.Base(name), err)
		}
		if err := replace(path, []byte("{}")); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(other); err != nil || string(text) != "precious" {
			t.Errorf("with a link at %s the other file has %q, %v", filepath.Base(name), text, err)
		}
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
			t.Errorf("the history is %v, %v", info, err)
		}
	}
}
