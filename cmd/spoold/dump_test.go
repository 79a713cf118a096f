package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestEqualStacksAreOneGroupWithoutArguments(t *testing.T) {
	text := `goroutine 1 [running]:
main.main()
	/src/main.go:12 +0x1b

goroutine 7 [chan receive, 3 minutes]:
example.com/x.(*T).wait(0xc000123400, {0xc000056000, 0x5, 0x5})
	/src/x.go:5 +0x2f
created by example.com/x.New in goroutine 1
	/src/x.go:9 +0x77

goroutine 19 gp=0xc000102 [chan receive, 11 minutes, locked to thread]:
example.com/x.(*T).wait(0xc000999999, {0xc000056abc, 0x6, 0x6})
	/src/x.go:5 +0x2f
created by example.com/x.New in goroutine 5
	/src/x.go:9 +0x77

goroutine 20 [sel`
	got := groupStacks(text)
	if len(got) != 2 {
		t.Fatalf("%d groups: %+v", len(got), got)
	}
	want := stackGroup{2, "chan receive", 11, "example.com/x.(*T).wait\n/src/x.go:5\ncreated by example.com/x.New\n/src/x.go:9"}
	if got[0] != want {
		t.Errorf("got %+v, want %+v", got[0], want)
	}
	if got[1].count != 1 || got[1].stack != "main.main\n/src/main.go:12" {
		t.Errorf("the other one is %+v", got[1])
	}
}

// The state and every goroutine are in the log, whatever its level, but no secret and nothing of a record.
func TestUserSignalWritesStateAndGoroutines(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "spoold.yaml")
	writeFile(t, file, "bootstrap.servers: 127.0.0.1:1\nlog.level: info\nsecurity.protocol: SASL_PLAINTEXT\nsasl.mechanism: PLAIN\n"+
		"sasl.jaas.config: org.apache.kafka.common.security.plain.PlainLoginModule required username=\"anna\" password=\"planted-secret\";\n")
	d := startChild(t, filepath.Join(dir, "spool"), "-c", file)
	if code, text := d.post(t, "/topics/orders", "planted-idempotency", `{"records":[{"key":"planted-key","value":"planted-value"}]}`); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	if err := d.process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return d.log.event("dump.end") != nil })
	text := d.log.String()
	for _, want := range []string{`"event":"dump.process"`, `"event":"dump.state","status":{"version"`, `"event":"dump.goroutines"`, "sender/loop.(*Loop)"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log has no %s", want)
		}
	}
	if strings.Contains(text, "planted") {
		t.Errorf("a secret or a record is in the log: %s", text)
	}
}

// The log follows its name after SIGHUP, so that another program may rotate it.
func TestLogFileIsOpenedAgainOnHangup(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "logs", "spoold.log")
	file := filepath.Join(dir, "spoold.yaml")
	writeFile(t, file, "bootstrap.servers: 127.0.0.1:1\nlog.file: "+log+"\nhttp.listen: 'off'\nadmin.listen: 'off'\nspool.min.free.bytes: 1MiB\n")
	cmd := startQuiet(t, "serve", "-c", file, "--spool", filepath.Join(dir, "spool"))
	has := func(path, want string) func() bool {
		return func() bool {
			text, err := os.ReadFile(path)
			return err == nil && strings.Contains(string(text), want)
		}
	}
	await(t, has(log, `"event":"ready"`))
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, has(log, `"event":"config.reload"`))
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if !has(log, `"event":"exit"`)() || has(log+".1", `"event":"exit"`)() {
		t.Error("the last line is not in the file that has the name")
	}
}

func TestLogFileIsRotatedBySize(t *testing.T) {
	dir := t.TempDir()
	c := defaultDaemonConfig()
	c.LogFile, c.LogFileMaxBytes, c.LogFileBackups = filepath.Join(dir, "a.log"), 1<<20, 2
	var spare strings.Builder
	f, err := openLogFile(&c, &spare)
	if err != nil {
		t.Fatal(err)
	}
	line := []byte(strings.Repeat("x", 99<<10) + "\n")
	for range 55 {
		if _, err := f.Write(line); err != nil {
			t.Fatal(err)
		}
		for now := time.Now().UnixMilli(); time.Now().UnixMilli() == now; { // rotated files are told apart by it
			runtime.Gosched()
		}
	}
	f.close() // waits until what is too much has been removed
	if files, _ := filepath.Glob(filepath.Join(dir, "a*.log")); len(files) != 3 {
		t.Errorf("%d files of 5.4 MiB in files of 1 MiB, 2 backups: %v", len(files), files)
	}
	if spare.Len() > 0 {
		t.Errorf("standard error: %s", spare.String())
	}
}

// A log that cannot be written goes to standard error, whole.
func TestLogThatCannotBeWrittenGoesToStandardError(t *testing.T) {
	c := defaultDaemonConfig()
	c.LogFile = filepath.Join(t.TempDir(), "a.log")
	var spare strings.Builder
	f, err := openLogFile(&c, &spare)
	if err != nil {
		t.Fatal(err)
	}
	f.close()
	if err := os.Remove(c.LogFile); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(c.LogFile, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := f.Write([]byte("a line\n")); err != nil {
			t.Fatal(err)
		}
	}
	if text := spare.String(); strings.Count(text, "a line\n") != 2 || strings.Count(text, "cannot be written") != 1 {
		t.Errorf("standard error: %s", text)
	}
	if _, err := openLogFile(&c, &spare); err == nil || !strings.Contains(err.Error(), c.LogFile) {
		t.Errorf("a directory as log.file: %v", err)
	}
}

// startQuiet runs the program, whose log goes nowhere that the test looks at.
func startQuiet(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("spoold", args...) //nolint:gosec // ourselves
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

// A stop waits for a request that is under way; a second interrupt does not, and what was answered is kept.
func TestSecondInterruptEndsTheDaemonAtOnce(t *testing.T) {
	d := startChild(t, filepath.Join(t.TempDir(), "spool"), "-b", "127.0.0.1:1")
	if code, text := d.post(t, "/topics/orders", "", `{"records":[{"value":1}]}`); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	c, err := net.Dial("tcp", strings.TrimPrefix(d.http, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	head := "POST /topics/orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/vnd.kafka.json.v2+json\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n"
	if _, err := c.Write([]byte(head)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 100)); err != nil { // 100 Continue: the body is being read
		t.Fatal(err)
	}
	for _, awaited := range []string{"stopping", ""} {
		if err := d.process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool { return len(d.code) > 0 || awaited != "" && d.log.event(awaited) != nil })
		if awaited != "" && len(d.code) > 0 {
			t.Fatalf("the first interrupt did not wait: %s", d.log)
		}
	}
	if d.log.event("exit") != nil {
		t.Errorf("it was not the second interrupt that ended it: %s", d.log)
	}
	if s := statusOf(t, d.spool); s.Pending != 1 {
		t.Errorf("%d records are pending afterwards, want 1", s.Pending)
	}
}
