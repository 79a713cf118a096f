package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
	"github.com/spoold/spoold/cmd/spoold/internal/devbroker"
	"github.com/spoold/spoold/integration/poll"
)

// lines is a daemon's log: it is written by the daemon and read by the test.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// event finds the line of that event.
func (l *lines) event(name string) map[string]any {
	for line := range strings.Lines(l.String()) {
		var m map[string]any
		if json.Unmarshal([]byte(line), &m) == nil && m["event"] == name {
			return m
		}
	}
	return nil
}

// logged is the line of an event, when it has come: a status may show what has happened before the log does.
func (l *lines) logged(t *testing.T, event string) (line map[string]any) {
	t.Helper()
	await(t, func() bool {
		line = l.event(event)
		return line != nil
	})
	return line
}

// running is a daemon inside the test.
type running struct {
	log         *lines
	http, admin string
	spool       string
	cancel      context.CancelFunc
	process     *os.Process // of its own, or nil
	code        chan int
}

func startDaemon(t *testing.T, spool string, args ...string) *running {
	t.Helper()
	return startDaemonEnv(t, func(string) string { return "" }, spool, args...)
}

func startDaemonEnv(t *testing.T, env func(string) string, spool string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d := &running{log: &lines{}, spool: spool, cancel: cancel, code: make(chan int, 1)}
	args = append([]string{"spoold", "serve", "--spool", spool, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "-X", "spool.min.free.bytes=1MiB"}, args...)
	go func() {
		d.code <- Main{}.Run(ctx, args, strings.NewReader(""), io.Discard, d.log, env)
	}()
	t.Cleanup(func() { d.stop(t) })
	await(t, func() bool { return d.log.event("ready") != nil || len(d.code) > 0 })
	ready := d.log.event("ready")
	if ready == nil {
		t.Fatalf("the daemon ended: %s", d.log)
	}
	d.http, d.admin = "http://"+ready["http"].(string), "http://"+ready["admin"].(string)
	return d
}

// stop ends the daemon as a signal does, and gives its exit code. Twice is fine.
func (d *running) stop(t *testing.T) int {
	t.Helper()
	d.cancel()
	select {
	case code := <-d.code:
		d.code <- code
		return code
	case <-time.After(30 * time.Second):
		t.Fatalf("the daemon did not stop: %s", d.log)
		return 0
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	if !poll.Until(ok) {
		t.Fatalf("it did not come true in %v", poll.Patience)
	}
}

func (d *running) post(t *testing.T, path, key, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.http+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/vnd.kafka.json.v2+json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	return answer(t, req)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return answer(t, req)
}

func answer(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func startBroker(t *testing.T) string {
	t.Helper()
	b, err := devbroker.Start(devbroker.Options{Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b.Addr()
}

// values reads n records of a topic, and fails if there is one more.
func values(t *testing.T, broker, topic string, n int) []string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var got []string
	for len(got) < n && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { got = append(got, string(r.Value)) })
	}
	if len(got) != n {
		t.Fatalf("%d records, want %d: %v", len(got), n, got)
	}
	return got
}

// Each of them is delivered once.
func TestDaemonTakesRecordsWithoutAClusterAndDeliversThemLater(t *testing.T) {
	spool := filepath.Join(t.TempDir(), "spool")
	away := startDaemon(t, spool, "-b", "127.0.0.1:1")
	if code, text := away.post(t, "/topics/orders", "k1", `{"records":[{"value":1},{"value":2}]}`); code != 200 || !strings.Contains(text, `"offset":-1`) {
		t.Fatalf("%d %s", code, text)
	}
	if code, text := get(t, away.admin+"/readyz"); code != 200 {
		t.Errorf("/readyz while the cluster is away: %d %s", code, text)
	}
	await(t, func() bool { code, _ := get(t, away.admin+"/readyz?link=1"); return code == 503 })
	if code, text := get(t, away.admin+"/healthz"); code != 200 {
		t.Errorf("/healthz: %d %s", code, text)
	}
	if code := away.stop(t); code != 0 {
		t.Fatalf("exit code %d: %s", code, away.log)
	}
	exit := away.log.event("exit")
	if exit == nil || exit["spooled"] != 2.0 || exit["pending"] != 2.0 || exit["code"] != 0.0 {
		t.Errorf("the last line does not sum up: %v", exit)
	}

	broker := startBroker(t)
	d := startDaemon(t, spool, "-b", broker)
	if code, text := d.post(t, "/topics/orders", "k1", `{"records":[{"value":1},{"value":2}]}`); code != 200 {
		t.Fatalf("the same key after a restart: %d %s", code, text)
	}
	if code, text := d.post(t, "/topics/orders", "k1", `{"records":[{"value":1},{"value":3}]}`); code != 422 {
		t.Errorf("the same key with other records: %d %s", code, text)
	}
	if code, text := d.post(t, "/topics/orders?wait=acked", "", `{"records":[{"value":3}]}`); code != 200 || !strings.Contains(text, `{"partition":0,"offset":2,`) {
		t.Errorf("wait=acked: %d %s", code, text)
	}
	if got := strings.Join(values(t, broker, "orders", 3), " "); got != "1 2 3" {
		t.Errorf("the topic holds %s, want 1 2 3", got)
	}
	if code := d.stop(t); code != 0 {
		t.Errorf("exit code %d: %s", code, d.log)
	}
}

func TestStatusListAndMetricsOfARunningDaemonAgree(t *testing.T) {
	t.Parallel()
	// The path is longer than a socket's address holds.
	spool := filepath.Join(t.TempDir(), strings.Repeat("long", 20), strings.Repeat("path", 10), "spool")
	broker := startBroker(t)
	d := startDaemon(t, spool, "-b", broker, "-X", "spool.max.bytes=64MiB")
	for i := range 5 {
		if code, text := d.post(t, "/topics/audit?wait=acked", "", fmt.Sprintf(`{"records":[{"value":%d}]}`, i)); code != 200 {
			t.Fatalf("%d %s", code, text)
		}
	}
	// Acks are on disk after settle.ms.
	await(t, func() bool { _, text := get(t, d.admin+"/api/status"); return strings.Contains(text, `"acked":5`) })
	code, out, errs := run(t, "", "status", "--spool", spool)
	if code != statusHealthy || !strings.Contains(out, "accepted 5   acked 5   pending 0") || errs != "" {
		t.Errorf("status: code %d, %q\n%s", code, errs, out)
	}
	code, out, _ = run(t, "", "status", "--spool", spool, "--json")
	var s map[string]any
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != statusHealthy {
		t.Fatalf("status --json: code %d, %v: %s", code, err, out)
	}
	for _, name := range []string{"accepted", "acked", "committed", "pending", "dead_lettered", "expired", "spool_bytes", "spool_limit_bytes",
		"oldest_age_seconds", "link", "cluster_id", "producer", "topics"} {
		if _, ok := s[name]; !ok {
			t.Errorf("status --json lacks %q", name)
		}
	}
	if code, out, errs := run(t, "", "ls", "--spool", spool); code != 0 || !strings.Contains(out, "\n0 records pending on 1 topic; the spool needs ") {
		t.Errorf("ls: code %d, %q\n%s", code, errs, out)
	}
	var topics []spoold.TopicStatus
	if _, out, _ := run(t, "", "ls", "--spool", spool, "--json"); json.Unmarshal([]byte(out), &topics) != nil || len(topics) != 1 ||
		topics[0].Accepted != 5 || topics[0].Acked != 5 || topics[0].Pending != 0 || len(topics[0].Partitions) != 1 {
		t.Errorf("ls --json: %s", out)
	}
	if code, _, errs := run(t, "", "resolve", "audit:0", "--resend", "--spool", spool); code != 64 || !strings.Contains(errs, "audit:0 is not parked") {
		t.Errorf("resolve of a healthy partition: code %d, %q", code, errs)
	}
	if code, _, errs := run(t, "x\n", "produce", "-b", broker, "-t", "audit", "--spool", spool); code != 75 || !strings.Contains(errs, "in use by process") {
		t.Errorf("produce on a locked spool: code %d, %q", code, errs)
	}
	_, metrics := get(t, d.admin+"/metrics")
	for _, line := range []string{`spoold_spool_appended_records_total{ingress="http",topic="audit"} 5`, `spoold_acked_records_total{topic="audit"} 5`,
		`spoold_accepted_records_total{topic="audit"} 5`, "spoold_link_up 1", "spoold_memory_anonymous_bytes ", "spoold_memory_mapped_bytes ", "spoold_spool_limit_bytes 6.7108864e+07",
		"spoold_spool_commit_duration_seconds_count ", "spoold_disk_free_bytes ", "spoold_build_info{", `spoold_spool_records{topic="audit"} 0`,
		"spoold_spool_oldest_record_age_seconds 0"} {
		if !strings.Contains(metrics, "\n"+line) {
			t.Errorf("/metrics lacks %s", line)
		}
	}
	if code, _ := get(t, d.admin+"/api/resolve"); code != 404 {
		t.Errorf("/api/resolve on the address: %d, want 404", code)
	}
	if code := d.stop(t); code != 0 {
		t.Fatalf("exit code %d: %s", code, d.log)
	}
	if _, err := admin.DialUnix(t.Context(), spool); err == nil {
		t.Error("the socket is still there")
	}
	code, out, _ = run(t, "", "status", "--spool", spool)
	if code != statusNotRunning || !strings.Contains(out, "accepted 5   acked 5   pending 0") {
		t.Errorf("status afterwards: code %d\n%s", code, out)
	}
}

func TestTwoProducesAtOnceTakeTwoDirectoriesAndLeftoversGoFirst(t *testing.T) {
	home := t.TempDir()
	env := func(name string) string {
		if name == "HOME" {
			return home
		}
		return ""
	}
	broker := startBroker(t)
	produce := func(ctx context.Context, in io.Reader, log io.Writer, args ...string) int {
		args = append([]string{"spoold", "produce", "-t", "orders", "-X", "spool.min.free.bytes=1MiB"}, args...)
		return Main{}.Run(ctx, args, in, io.Discard, log, env)
	}
	// The first one waits for its input; the second one works meanwhile.
	in, feed := io.Pipe()
	log := &lines{}
	first := make(chan int, 1)
	go func() { first <- produce(t.Context(), in, log, "-b", broker) }()
	if _, err := feed.Write([]byte("one\n")); err != nil {
		t.Fatal(err)
	}
	if code := produce(t.Context(), strings.NewReader("two\n"), log, "-b", broker); code != 0 {
		t.Fatalf("the second: code %d: %s", code, log)
	}
	_ = feed.Close()
	if code := <-first; code != 0 {
		t.Fatalf("the first: code %d: %s", code, log)
	}
	got := values(t, broker, "orders", 2)
	if !(got[0] == "one" && got[1] == "two" || got[0] == "two" && got[1] == "one") {
		t.Errorf("the topic holds %v", got)
	}
	dirs, err := filepath.Glob(filepath.Join(home, ".local/state/spoold/produce/*"))
	if err != nil || len(dirs) != 2 || dirs[1] != dirs[0]+"-2" {
		t.Errorf("directories %v, %v", dirs, err)
	}
}

func TestAnInterruptedProduceSaysWhatIsSpooledAndWhere(t *testing.T) {
	t.Parallel()
	spool := filepath.Join(t.TempDir(), "spool")
	in, feed := io.Pipe()
	defer feed.Close()
	log := &lines{}
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	go func() {
		code <- Main{}.Run(ctx, []string{"spoold", "produce", "-b", "127.0.0.1:1", "-t", "orders", "--spool", spool, "-X", "spool.min.free.bytes=1MiB"},
			in, io.Discard, log, func(string) string { return "" })
	}()
	if _, err := feed.Write([]byte("a\nb\nhalf a rec")); err != nil {
		t.Fatal(err)
	}
	if _, err := feed.Write([]byte("ord")); err != nil { // taken: so what came before was sent
		t.Fatal(err)
	}
	cancel()
	if got := <-code; got != exitUnavailable {
		t.Errorf("exit code %d, want 69: %s", got, log)
	}
	if !strings.Contains(log.String(), "stays spooled in "+spool) || !strings.Contains(log.String(), "2 records spooled, 0 acked, 2 pending") {
		t.Errorf("stderr: %s", log)
	}
}
