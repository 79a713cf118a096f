package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// trouble waits until the topic has trouble that says so, and gives the exit code of status then.
func trouble(t *testing.T, spool, topic, says string) int {
	t.Helper()
	await(t, func() bool {
		for _, s := range statusOf(t, spool).Topics {
			if s.Topic == topic && strings.Contains(s.Trouble, says) {
				return true
			}
		}
		return false
	})
	code, _, _ := run(t, "", "status", "--spool", spool)
	return code
}

func resolveOK(t *testing.T, want string, args ...string) {
	t.Helper()
	code, out, errs := run(t, "", append([]string{"resolve"}, args...)...)
	if code != 0 || !strings.Contains(out, want) {
		t.Fatalf("resolve %v: code %d, %s%s, want %s", args, code, out, errs, want)
	}
}

// Records for a partition that the topic does not have wait, are shown as trouble, and can be put aside without
// touching the others.
func TestRecordsForAMissingPartitionAreShownAndPutAside(t *testing.T) {
	t.Parallel()
	broker := startBroker(t)
	spool := filepath.Join(t.TempDir(), "spool")
	d := startDaemon(t, spool, "-b", broker, "-X", "spool.settle.ms=10")
	// Nothing is known of the topic yet: the daemon takes them.
	if code, text := d.post(t, "/topics/orders", "", `{"records":[{"value":1,"partition":99},{"value":2,"partition":0},{"value":3,"partition":99},{"value":4,"partition":98}]}`); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	if code := trouble(t, spool, "orders", "records wait for partition 98, the topic has"); code != statusDegraded {
		t.Errorf("status: code %d", code)
	}
	if code, _, errs := run(t, "", "resolve", "orders:99", "--resend", "--spool", spool); code != exitUsage || !strings.Contains(errs, "Use --dead-letter") {
		t.Errorf("--resend: code %d, %s", code, errs)
	}
	resolveOK(t, "orders:99: 2 records put to the dead letters", "orders:99", "--dead-letter", "--spool", spool)
	await(t, func() bool { s := statusOf(t, spool); return s.Pending == 1 && s.DeadLettered == 2 })
	if code := trouble(t, spool, "orders", "records wait for partition 98"); code != statusDegraded {
		t.Errorf("status: code %d", code)
	}
	resolveOK(t, "1 record put to the dead letters", "orders", "--dead-letter", "--spool", spool)
	if s := statusOf(t, spool); s.Pending != 0 || s.DeadLettered != 3 || s.Acked != 1 || s.Topics[0].Trouble != "" {
		t.Errorf("%+v", s)
	}
	if got := values(t, broker, "orders", 1); got[0] != "2" {
		t.Errorf("the topic holds %v", got)
	}
}

func TestATopicGivenUpIsPutAsideLiveAndStopped(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{true, false} {
		t.Run(fmt.Sprintf("live=%v", live), func(t *testing.T) {
			broker := startBroker(t)
			spool := filepath.Join(t.TempDir(), "spool")
			d := startDaemon(t, spool, "-b", broker, "-X", "topics.create=false", "-X", "spool.settle.ms=10", "-X", "spool.segment.bytes=1MiB")
			const n = 3000
			records := strings.TrimSuffix(strings.Repeat(`{"value":"`+strings.Repeat("x", 300)+`"},`, n), ",")
			if code, text := d.post(t, "/topics/gone", "", `{"records":[`+records+`]}`); code != 200 {
				t.Fatalf("%d %s", code, text)
			}
			if code := trouble(t, spool, "gone", "UNKNOWN_TOPIC_OR_PARTITION: the topic does not exist"); code != statusDegraded {
				t.Errorf("status: code %d", code)
			}
			args := []string{"gone", "--dead-letter", "--spool", spool}
			if !live {
				d.stop(t)
				args = append(args, "--waiting") // what a stopped daemon knew of the cluster is not known any more
			}
			resolveOK(t, "3,000 records put to the dead letters", args...)
			if s := statusOf(t, spool); s.Pending != 0 || s.DeadLettered != n {
				t.Errorf("pending %d, dead-lettered %d", s.Pending, s.DeadLettered)
			}
			if code, _, errs := run(t, "", append([]string{"resolve"}, args...)...); code != exitUsage || !strings.Contains(errs, "nothing to decide") {
				t.Errorf("once more: code %d, %s", code, errs)
			}
		})
	}
}
