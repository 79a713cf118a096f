package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestHangupReadsTheConfigurationAgain(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "spoold.yaml")
	writeFile(t, file, "bootstrap.servers: 127.0.0.1:1\n")
	d := startChild(t, filepath.Join(dir, "spool"), "-c", file)
	hangup := func(text, event string, says ...string) {
		t.Helper()
		writeFile(t, file, text)
		if err := d.process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool {
			if len(d.code) > 0 {
				t.Fatalf("it ended: %s", d.log)
			}
			said := d.log.String() // of this signal, or one before
			return d.log.event(event) != nil && !slices.ContainsFunc(says, func(want string) bool { return !strings.Contains(said, want) })
		})
	}
	hangup("bootstrap.servers: 127.0.0.1:1\nlinger.ms: x\nlog.level: debug\n", "config.fault", file+":2: config: linger.ms")
	hangup("bootstrap.servers: 127.0.0.1:1\nlinger.ms: x\nlog.level: debug\n", "config.fault")
	await(t, func() bool { return strings.Count(d.log.String(), `"event":"config.fault"`) == 2 }) // an answer to each signal
	hangup("bootstrap.servers: 127.0.0.1:1\nlinger.ms: 7\nlog.level: debug\nspool.max.bytes: 3GiB\n", "config.reload", `"taken":["spool.max.bytes","log.level"]`,
		`"needs_restart":["linger.ms"]`, `"event":"config.needs_restart","key":"linger.ms","source":"`+file+`:2"`)
	if code, text := d.post(t, "/topics/orders", "", `{"records":[{"value":1}]}`); code != 200 {
		t.Errorf("%d %s", code, text)
	}
	await(t, func() bool { return statusOf(t, d.spool).SpoolLimitBytes == 3<<30 })
	hangup("bootstrap.servers: 127.0.0.1:1\nlinger.ms: 7\nlog.level: debug\nspool.max.bytes: 3GiB\nhttp.max.body.bytes: 2KiB\nhttp.max.connections: 3\n", "config.reload",
		`"taken":["http.max.body.bytes","http.max.connections"],"needs_restart":["linger.ms"]`)
	body := `{"records":[{"value":"` + strings.Repeat("x", 4096) + `"}]}`
	if code, text := d.post(t, "/topics/orders", "", body); code != 413 || !strings.Contains(text, "http.max.body.bytes (2048)") {
		t.Errorf("a body above the new limit: %d %s", code, text)
	}
	hangup("bootstrap.servers: 127.0.0.1:1\nlinger.ms: 7\nlog.level: debug\nspool.max.bytes: 3GiB\nhttp.max.body.bytes: 20MiB\n", "config.reload",
		`"taken":["http.max.connections"],"needs_restart":["linger.ms","http.max.body.bytes"]`)
	hangup("bootstrap.servers: 127.0.0.1:1\nlinger.ms: 7\nlog.level: debug\nspool.max.bytes: 3GiB\nhttp.max.body.bytes: 20MiB\nspool.commit.max.bytes: 30MiB\nsasl.username: alice\n", "config.reload",
		`"taken":["sasl.username"],"needs_restart":["linger.ms","spool.commit.max.bytes","http.max.body.bytes"]`, "sasl.username: without effect, since security.protocol is PLAINTEXT")
	if code, text := get(t, d.admin+"/api/config"); code != 200 || !strings.Contains(text, `"3221225472"`) || strings.Contains(text, `linger.ms","value":"7"`) {
		t.Errorf("the page's settings are not those in force: %d %s", code, text)
	}
}

// A file that an editor is just writing is empty for a moment; and at the next start another spool would be taken, or none.
func TestHangupSaysWhatTheFileDoesNotSayAnyMore(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "spoold.yaml")
	text := "bootstrap.servers: 127.0.0.1:1\nspool: {path: " + filepath.Join(dir, "spool") + ", min.free.bytes: 1MiB}\nhttp.listen: \"off\"\nadmin.listen: \"off\"\nlog.file: " + filepath.Join(dir, "log") + "\n"
	writeFile(t, file, text)
	d := startConfigured(t, file, nil)
	hangup := func(text string, says ...string) {
		t.Helper()
		writeFile(t, file, text)
		if err := d.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			return !slices.ContainsFunc(says, func(want string) bool { return !strings.Contains(string(log), want) })
		})
	}
	hangup("", `"event":"config.fault","err":"config: bootstrap.servers`)
	hangup("bootstrap.servers: 127.0.0.1:1\nspool.min.free.bytes: 1MiB\nhttp.listen: \"off\"\n", `"event":"config.needs_restart","key":"spool.path","source":"default"`)
}

// Somebody removed the folder of log.file, and put something else there: the lines go on into a file that has no name.
func TestALogFileThatCannotBeOpenedAgainIsSaidOnStandardErrorToo(t *testing.T) {
	dir := t.TempDir()
	file, log := filepath.Join(dir, "spoold.yaml"), filepath.Join(dir, "log")
	writeFile(t, file, "bootstrap.servers: 127.0.0.1:1\nspool: {path: "+filepath.Join(dir, "spool")+", min.free.bytes: 1MiB}\nhttp.listen: \"off\"\nadmin.listen: \"off\"\nlog.file: "+log+"\n")
	errs := &lines{}
	d := startConfigured(t, file, errs)
	if err := os.Remove(log); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(log, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := d.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return strings.Contains(errs.String(), "log.file cannot be opened again") })
}

// startConfigured starts a daemon of a configuration file alone, and waits until it has a log, which is log.file beside that file.
func startConfigured(t *testing.T, file string, stderr io.Writer) *os.Process {
	t.Helper()
	cmd := exec.Command("spoold", "serve", "-c", file)
	cmd.Stderr = stderr
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	await(t, func() bool {
		log, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "log"))
		return strings.Contains(string(log), `"event":"ready"`)
	})
	return cmd.Process
}

func TestADaemonGoesOnWhenItsStandardErrorIsClosed(t *testing.T) {
	spool := filepath.Join(t.TempDir(), "spool")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("spoold", "serve", "--spool", spool, "-b", "127.0.0.1:1", "--http", "off", "--admin", "off", "-X", "spool.min.free.bytes=1MiB") //nolint:gosec // ourselves
	cmd.Stderr = write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	_ = write.Close()
	var text strings.Builder
	for buf := make([]byte, 1); !strings.Contains(text.String(), `"event":"ready"`); {
		if _, err := io.ReadFull(read, buf); err != nil {
			t.Fatalf("%v: %s", err, text.String())
		}
		text.Write(buf)
	}
	_ = read.Close()
	for range 3 {
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil { // each makes it write a line
			t.Fatal(err)
		}
		if s := statusOf(t, spool); s.State != "running" {
			t.Fatalf("it is %s", s.State)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("its end: %v", err)
	}
}
