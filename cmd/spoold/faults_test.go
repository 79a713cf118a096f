package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/spoold/spoold"
)

func TestASecondSignalEndsAtOnceAndLosesNothing(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	held, release := make(chan struct{}, 1), make(chan struct{})
	c.ControlKey(0, func(kmsg.Request) (kmsg.Response, error, bool) {
		held <- struct{}{}
		c.SleepControl(func() { <-release })
		return nil, errors.New("never read"), true
	})
	spool := filepath.Join(t.TempDir(), "spool")
	d := startChild(t, spool, "-b", c.ListenAddrs()[0])
	if code, text := d.post(t, "/topics/orders", "", `{"records":[{"value":1}]}`); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	<-held // a stop waits for the answer now, for shutdown.timeout
	if err := d.process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return d.log.event("stopping") != nil })
	if len(d.code) > 0 {
		t.Fatal("it did not wait for the answer")
	}
	await(t, func() bool { _ = d.process.Signal(syscall.SIGTERM); return len(d.code) > 0 })
	if code := d.exited(t); code != -1 || d.log.event("exit") != nil {
		t.Errorf("exit code %d, want an end by the signal: %s", code, d.log)
	}
	close(release)
	startChild(t, spool, "-b", c.ListenAddrs()[0])
	if got := values(t, c.ListenAddrs()[0], "orders", 1); got[0] != "1" {
		t.Errorf("the topic holds %v", got)
	}
}

// A file size limit makes every further write of the child fail, as a disk without room does.
func TestADaemonSaysThatItsDiskTakesNoMoreAndGoesOnLater(t *testing.T) {
	t.Parallel()
	spool := filepath.Join(t.TempDir(), "spool")
	d := startChild(t, spool, "-b", "127.0.0.1:1")
	if code, text := d.post(t, "/topics/orders", "k1", `{"records":[{"value":1}]}`); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	var before unix.Rlimit
	if err := unix.Prlimit(d.process.Pid, unix.RLIMIT_FSIZE, nil, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Prlimit(d.process.Pid, unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: before.Max}, nil); err != nil {
		t.Fatal(err)
	}
	code, text := d.post(t, "/topics/orders", "k2", `{"records":[{"value":2}]}`)
	if code != 500 || !strings.Contains(text, "not known whether the records are spooled") || !strings.Contains(text, "file too large") {
		t.Errorf("%d %s", code, text)
	}
	if err := unix.Prlimit(d.process.Pid, unix.RLIMIT_FSIZE, &before, nil); err != nil {
		t.Fatal(err)
	}
	// What was answered is there, and what was not is asked for again with its key.
	await(t, func() bool {
		code, _ := d.post(t, "/topics/orders", "k2", `{"records":[{"value":2}]}`)
		return code == 200
	})
	if code, text := d.post(t, "/topics/orders", "k1", `{"records":[{"value":1}]}`); code != 200 {
		t.Errorf("k1 again: %d %s", code, text)
	}
	if s := statusOf(t, spool); s.Accepted != 2 || s.Pending != 2 {
		t.Errorf("accepted %d, pending %d, want 2: %s", s.Accepted, s.Pending, d.log)
	}
	d.log.logged(t, "spool.reopen")
}

func TestAFailedSyncIsAnInputOutputErrorToTheCaller(t *testing.T) {
	err := fmt.Errorf("stopped: %w: fdatasync: input/output error", spoold.ErrUnknown)
	if code := codeOf(err); code != exitIO {
		t.Errorf("exit code %d, want %d", code, exitIO)
	}
	var said strings.Builder
	sayError(&said, err)
	if strings.Count(said.String(), "\n") != 1 || !strings.HasPrefix(said.String(), "spoold: stopped: ") {
		t.Errorf("said %q", said.String())
	}
}

func TestADirectoryOfSomebodyElseIsAQuestionOfPermission(t *testing.T) {
	// Somebody else must reach the program.
	dir, err := os.MkdirTemp("", "spoold")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // on purpose
		t.Fatal(err)
	}
	program := filepath.Join(dir, "spoold")
	copyFile(t, program)
	spool := filepath.Join(dir, "spool")
	if code, _, errs := run(t, "x\n", "produce", "-b", "127.0.0.1:1", "-t", "orders", "--spool", spool, "--wait", "spooled", "-X", "spool.min.free.bytes=1MiB"); code != 0 {
		t.Fatalf("code %d: %s", code, errs)
	}
	me := os.Geteuid() != 0
	for _, path := range []string{dir, spool} {
		if me { // no other user at hand: take the right from ourselves
			if err := os.Chmod(path, 0o500); err != nil { //nolint:gosec // on purpose
				t.Fatal(err)
			}
			defer func() { _ = os.Chmod(path, 0o700) }() //nolint:gosec // to remove it
		}
	}
	for _, args := range [][]string{
		{"produce", "-b", "127.0.0.1:1", "-t", "orders", "--spool", filepath.Join(dir, "new")},
		{"serve", "-b", "127.0.0.1:1", "--spool", filepath.Join(dir, "new", "deeper")},
		{"produce", "-b", "127.0.0.1:1", "-t", "orders", "--spool", filepath.Join(spool, "inside")},
		{"ls", "--spool", spool},
	} {
		if me && args[0] == "ls" {
			continue // the owner may read
		}
		cmd := exec.Command(program, args...) //nolint:gosec // ourselves
		cmd.Dir = "/"
		if !me {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != exitPermission || strings.Count(string(out), "\n") != 1 ||
			!strings.Contains(string(out), "permission denied") || !strings.Contains(string(out), dir) {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something half done is left: %v", err)
	}
}

// copyFile copies this program.
func copyFile(t *testing.T, to string) {
	t.Helper()
	from, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(from) //nolint:gosec // ourselves
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755) //nolint:gosec // to be run by others
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
}

// It may lie in several directories.
func TestWhatEndedProducesLeftIsDeliveredFirstAndOnce(t *testing.T) {
	t.Parallel()
	broker := startForgetful(t)
	broker.drop.Store(true)
	home := t.TempDir()
	env := func(name string) string { return map[string]string{"HOME": home}[name] }
	produce := func(in io.Reader, out io.Writer, log io.Writer, args ...string) int {
		args = append([]string{"spoold", "produce", "-t", "orders", "-b", broker.addr, "-X", "spool.min.free.bytes=1MiB"}, args...)
		return Main{}.Run(context.Background(), args, in, out, log, env)
	}
	// Three runs at once, so in three directories; none gets an answer.
	const runs = 3
	var feeds []*io.PipeWriter
	codes := make(chan int, runs)
	log := &lines{}
	for i := range runs {
		in, feed := io.Pipe()
		go func() { codes <- produce(in, io.Discard, log, "--wait", "spooled") }()
		fmt.Fprintf(feed, "old%d\n", i) // read: the run has its directory
		feeds = append(feeds, feed)
	}
	for _, feed := range feeds {
		_ = feed.Close()
		if code := <-codes; code != 0 {
			t.Fatalf("code %d: %s", code, log)
		}
	}
	broker.drop.Store(false)
	var out strings.Builder
	if code := produce(strings.NewReader("new\n"), &out, log, "--json"); code != 0 {
		t.Fatalf("code %d: %s", code, log)
	}
	if want := `{"accepted":1,"spooled":1,"acked":1,"pending":0,"dead_lettered":0,"recovered":3}`; strings.TrimSpace(out.String()) != want {
		t.Errorf("%s, want %s", out.String(), want)
	}
	got := values(t, broker.addr, "orders", runs+1)
	slices.Sort(got[:runs])
	if strings.Join(got, " ") != "old0 old1 old2 new" {
		t.Errorf("the topic holds %v", got)
	}
}
