package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
)

// startChild runs a daemon in a process of its own, which can be killed.
func startChild(t *testing.T, spool string, args ...string) *running {
	t.Helper()
	d := &running{log: &lines{}, spool: spool, code: make(chan int, 1)}
	cmd := exec.Command("spoold", append([]string{"serve", "--spool", spool, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "-X", "spool.min.free.bytes=1MiB"}, args...)...) //nolint:gosec // ourselves
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	cmd.Stderr = d.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.process = cmd.Process
	go func() {
		_ = cmd.Wait() // the state tells
		d.code <- cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() { d.kill(t) })
	await(t, func() bool { return d.log.event("ready") != nil || len(d.code) > 0 })
	ready := d.log.event("ready")
	if ready == nil {
		t.Fatalf("the daemon ended: %s", d.log)
	}
	d.http, d.admin = "http://"+ready["http"].(string), "http://"+ready["admin"].(string)
	return d
}

// kill is kill -9. Twice is fine.
func (d *running) kill(t *testing.T) {
	t.Helper()
	if err := d.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	d.exited(t)
}

// exited waits for the end, and gives the exit code: -1 after a signal.
func (d *running) exited(t *testing.T) int {
	t.Helper()
	select {
	case code := <-d.code:
		d.code <- code
		return code
	case <-time.After(30 * time.Second):
		t.Fatalf("the daemon did not end: %s", d.log)
		return 0
	}
}

// forgetful is a broker that, on demand, drops every Produce unanswered and unread, and knows
// no producer: what was sealed then stays in doubt.
type forgetful struct {
	*kfake.Cluster
	addr string
	drop atomic.Bool
}

func startForgetful(t *testing.T) *forgetful {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	f := &forgetful{Cluster: c, addr: c.ListenAddrs()[0]}
	c.ControlKey(0, func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if f.drop.Load() {
			return nil, errors.New("dropped"), true
		}
		return nil, nil, false
	})
	return f
}

// statusOf is what status --json says of the spool, and fails if its counters do not add up.
func statusOf(t *testing.T, spool string) *spoold.Status {
	t.Helper()
	_, out, errs := run(t, "", "status", "--spool", spool, "--json")
	var s spoold.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("status --json: %v: %s%s", err, out, errs)
	}
	if s.Accepted != s.Acked+s.Pending+s.DeadLettered+s.Expired {
		t.Fatalf("accepted %d is not acked %d + pending %d + dead-lettered %d + expired %d", s.Accepted, s.Acked, s.Pending, s.DeadLettered, s.Expired)
	}
	return &s
}

// audited reports whether a segment holds the words.
func audited(t *testing.T, spool, words string) bool {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(spool, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if text, err := os.ReadFile(name); err == nil && bytes.Contains(text, []byte(words)) {
			return true
		}
	}
	return false
}

func parkedTopic(s *spoold.Status) bool {
	return len(s.Topics) == 1 && s.Topics[0].State == "parked"
}

func TestResolveDoesWhatTheOperatorSaysLiveAndAfterAKill(t *testing.T) {
	t.Parallel()
	tests := []struct {
		choice               string
		values               string // on the topic at the end
		acked, pending, dead uint64 // right after the decision, with the broker still away
	}{
		{"resend", "1 2 3 4 5", 1, 3, 0},
		{"delivered", "1 5", 4, 0, 0},
		{"dead-letter", "1 5", 1, 0, 3},
	}
	for _, tt := range tests {
		for _, live := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/live=%v", tt.choice, live), func(t *testing.T) {
				broker := startForgetful(t)
				spool := filepath.Join(t.TempDir(), "spool")
				d := startChild(t, spool, "-b", broker.addr, "-X", "spool.settle.ms=10", "-X", "retry.backoff.ms=10")
				if code, text := d.post(t, "/topics/orders?wait=acked", "", `{"records":[{"value":1}]}`); code != 200 {
					t.Fatalf("%d %s", code, text)
				}
				broker.drop.Store(true)
				if code, text := d.post(t, "/topics/orders", "", `{"records":[{"value":2},{"value":3},{"value":4}]}`); code != 200 {
					t.Fatalf("%d %s", code, text)
				}
				await(t, func() bool { return parkedTopic(statusOf(t, spool)) })
				if !live {
					d.kill(t)
					for !parkedTopic(statusOf(t, spool)) { // killed before that was on disk
						if code, _, errs := run(t, "", "resolve", "orders", "--resend", "--spool", spool); code != exitUsage || !strings.Contains(errs, "the next start does") {
							t.Errorf("resolve before the broker was asked: code %d, %s", code, errs)
						}
						d = startChild(t, spool, "-b", broker.addr, "-X", "spool.settle.ms=10", "-X", "retry.backoff.ms=10")
						await(t, func() bool { return parkedTopic(statusOf(t, spool)) })
						d.kill(t)
					}
					if s := statusOf(t, spool); s.Topics[0].Partitions[0].InDoubt != 3 {
						t.Errorf("after the kill: %+v", s.Topics)
					}
				}

				code, out, errs := run(t, "", "resolve", "orders", "--spool", spool)
				if code != exitOK || errs != "" || !strings.Contains(out, "Nothing is decided yet: spoold resolve orders with one of these does.") {
					t.Errorf("resolve without a choice: code %d, %s", code, errs)
				}
				for _, want := range []string{"orders:0 is parked since", "state-forgotten", "in doubt: 3 records in 1 batch;", "from offset 1 on",
					"--resend", "twice", "--delivered", "lost", "--dead-letter"} {
					if !strings.Contains(out, want) {
						t.Errorf("resolve without a choice does not say %q:\n%s", want, out)
					}
				}
				var shown doubt
				code, out, _ = run(t, "", "resolve", "orders", "--spool", spool, "--json")
				if err := json.Unmarshal([]byte(out), &shown); err != nil || code != exitOK || len(shown.Parked) != 1 || shown.Parked[0].InDoubt != 3 || len(shown.Choices) != 3 {
					t.Errorf("resolve --json without a choice: code %d, %v: %s", code, err, out)
				}
				code, out, errs = run(t, "", "resolve", "orders:0", "--"+tt.choice, "--spool", spool, "--json")
				want := fmt.Sprintf(`{"topic":"orders","partitions":[0],"choice":"%s","records":3}`, tt.choice)
				if code != 0 || strings.TrimSpace(out) != want {
					t.Fatalf("resolve --%s: code %d, %s%s, want %s", tt.choice, code, out, errs, want)
				}
				if !audited(t, spool, "resolve orders-0 --"+tt.choice+": 3 records in doubt") {
					t.Error("the decision is not in the spool's audit")
				}
				if s := statusOf(t, spool); !live && (s.Acked != tt.acked || s.Pending != tt.pending || s.DeadLettered != tt.dead) {
					t.Errorf("after the decision: acked %d, pending %d, dead-lettered %d", s.Acked, s.Pending, s.DeadLettered)
				}
				if code, out, errs := run(t, "", "resolve", "orders:0", "--spool", spool); !live && (code != exitOK || !strings.HasPrefix(out, "orders:0 is not parked: ")) {
					t.Errorf("resolve without a choice, nothing parked: code %d, %s%s", code, out, errs)
				}
				if code, out, _ := run(t, "", "resolve", "orders:0", "--spool", spool, "--json"); !live && (code != exitOK || !strings.Contains(out, `"parked":[]`) || !strings.Contains(out, `"nothing":"orders:0 is not parked`) || !strings.Contains(out, `"choices":[]`)) {
					t.Errorf("resolve --json, nothing parked: code %d, %s", code, out)
				}
				if code, _, errs := run(t, "", "resolve", "orders:0", "--"+tt.choice, "--spool", spool); !live && (code != exitUsage || !strings.Contains(errs, "not parked")) {
					t.Errorf("resolve once more: code %d, %s", code, errs)
				}

				broker.drop.Store(false)
				if !live {
					d = startChild(t, spool, "-b", broker.addr, "-X", "spool.settle.ms=10")
				}
				if code, text := d.post(t, "/topics/orders?wait=acked", "", `{"records":[{"value":5}]}`); code != 200 || strings.Contains(text, `"error":"`) {
					t.Fatalf("the record behind: %d %s", code, text)
				}
				if got := strings.Join(values(t, broker.addr, "orders", len(strings.Fields(tt.values))), " "); got != tt.values {
					t.Errorf("the topic holds %s, want %s", got, tt.values)
				}
				await(t, func() bool { return statusOf(t, spool).Pending == 0 })
				if s := statusOf(t, spool); s.Accepted != 5 || s.DeadLettered != tt.dead || s.Acked != 5-tt.dead {
					t.Errorf("at the end: accepted %d, acked %d, dead-lettered %d", s.Accepted, s.Acked, s.DeadLettered)
				}
			})
		}
	}
}

// Offsets of a topic that was created anew, or whose log is shorter than it was, do not go on where the last ack was.
func TestTheQuestionSaysWhereToLook(t *testing.T) {
	for _, tt := range []struct {
		reason string
		last   int64
		want   string
	}{
		{"outside-margin", 7, "last acked offset 7, so look at the topic from offset 8 on\n"},
		{"outside-margin", -1, "last acked offset none, so look at the topic from offset 0 on\n"},
		{"topic-recreated", 0, "last acked offset 0, of the topic that was there before; the new one has offsets of its own, so look at it from offset 0 on\n"},
		{"log-went-back", 9, "last acked offset 9, but the log has ended before that since, so look at all that is at its end\n"},
	} {
		var out strings.Builder
		showDoubt(&world{stdout: &out}, &spoold.TopicStatus{Topic: "t"}, []spoold.PartitionStatus{{ParkReason: tt.reason, LastOffset: tt.last}})
		if !strings.Contains(out.String(), tt.want) {
			t.Errorf("%s: it does not say %q:\n%s", tt.reason, tt.want, out.String())
		}
	}
}
