package main

import (
	"bufio"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
)

func TestProgressShowsWhatAnEarlierRunLeft(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		p    produced
		want string
	}{
		{produced{Spooled: 75_220}, "75,220 spooled, 0 acked, 37,610 records/s"},
		{produced{Spooled: 2, Acked: 1}, "2 spooled, 1 acked, 1 record/s"},
		{produced{Recovered: 2_000, recoveredAcked: 15}, "0 spooled, 0 acked, 0 records/s; of an earlier run 15 of 2,000 records acked"},
		{produced{Spooled: 4, Recovered: 1}, "4 spooled, 0 acked, 2 records/s; of an earlier run 0 of 1 record acked"},
		{produced{Spooled: 4, Acked: 2, Recovered: 20, recoveredAcked: 20}, "4 spooled, 2 acked, 2 records/s"},
	} {
		if got := tt.p.soFar(2 * time.Second); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.p, got, tt.want)
		}
	}
}

func TestProgressLineSaysWhatKeepsTheRecords(t *testing.T) {
	t.Parallel()
	down := lag{state: "link down 12s", why: "nobody listens", link: true}
	if got := lineText(down, "2 spooled"); got != "2 spooled; link down 12s: nobody listens" {
		t.Errorf("%q", got)
	}
	if got := lineText(lag{}, "2 spooled"); got != "2 spooled" {
		t.Errorf("%q", got)
	}
	if got := barText(down, "2 spooled", 80); got != "link down 12s; 2 spooled" {
		t.Errorf("%q", got)
	}
	if got := barText(down, strings.Repeat("x", 100), 80); len(got) > 64 || !strings.HasPrefix(got, "link down 12s; xxx") {
		t.Errorf("%d columns of 80 are not for the bar: %q", len(got), got)
	}
}

func TestWhatKeepsRecordsIsTheLinkFirst(t *testing.T) {
	t.Parallel()
	waits := []spoold.TopicStatus{{Topic: "orders", State: "waiting", Trouble: "it does not exist"}}
	parked := []spoold.TopicStatus{{Topic: "orders", Partitions: []spoold.PartitionStatus{{Partition: 3, ParkReason: "hole"}}}}
	for name, tt := range map[string]struct {
		s    spoold.Status
		want lag
	}{
		"just started": {spoold.Status{Link: "down", LinkSinceSeconds: 2, Topics: waits}, lag{}},
		"down":         {spoold.Status{Link: "down", LinkSinceSeconds: 4, LinkError: "refused", Topics: waits}, lag{"link down 4s", "refused", true}},
		"silent":       {spoold.Status{Link: "down", LinkSinceSeconds: 4}, lag{"link down 4s", "no broker has answered yet", true}},
		"topic":        {spoold.Status{Link: "up", Topics: waits}, lag{state: "topic orders waiting", why: "topic orders: it does not exist"}},
		"parked": {spoold.Status{Link: "up", SpoolPath: "/s", Topics: parked},
			lag{state: "orders:3 parked", why: "orders:3 is parked (hole): see spoold resolve orders:3 --spool /s"}},
		"fine": {spoold.Status{Link: "up"}, lag{}},
	} {
		if got := lagOf(&tt.s); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// Nobody listens: it is said long before the wait for acks is over.
func TestProduceSaysThatTheClusterIsNotReachedWhileItWaits(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("spoold", "produce", "-b", "127.0.0.1:1", "-t", "orders", "--spool", filepath.Join(t.TempDir(), "spool"), "--timeout", "1m", "-X", "spool.min.free.bytes=1MiB")
	cmd.Stdin = strings.NewReader("one\n")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.Contains(lines.Text(), "the cluster is not reached") {
	}
	if text := lines.Text(); !strings.Contains(text, "connect to 127.0.0.1:1") || !strings.Contains(text, "is kept in") {
		t.Errorf("it says %q", text)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = cmd.Wait() // it was killed
}

// Bootstrap servers are tried in another order each time: the reason changes often, and is no news each time.
func TestALagIsToldOnceAndItsEndToo(t *testing.T) {
	t.Parallel()
	n := lagNotes{where: "/spool"}
	link := func(why string) lag { return lag{"link down 4s", why, true} }
	topic := lag{state: "topic t waiting", why: "topic t: it does not exist"}
	for i, step := range []struct {
		at   int // seconds
		l    lag
		want string
	}{
		{0, lag{}, ""},
		{3, link("refused"), "the cluster is not reached: refused. What is spooled is kept in /spool and is delivered when this is over"},
		{4, link("refused"), ""},
		{9, link("no such host"), ""},
		{40, link("refused"), ""},
		{41, link("no such host"), "the cluster is not reached: no such host. What is spooled is kept in /spool and is delivered when this is over"},
		{50, lag{}, "the cluster is reached"},
		{51, lag{}, ""},
		{60, topic, ""},
		{61, lag{}, ""},
		{62, topic, ""},
		{64, topic, ""},
		{65, topic, "topic t: it does not exist. What is spooled is kept in /spool and is delivered when this is over"},
		{70, lag{}, "what is spooled is delivered again"},
	} {
		if got := n.look(time.Unix(int64(step.at), 0), step.l); got != step.want {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}
