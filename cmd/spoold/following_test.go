package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spoold/spoold"
)

// A section that is added, changed or taken out of the configuration takes effect on SIGHUP, and no line comes twice for it.
func TestHangupFollowsWhatTheSectionsOfFilesSayNow(t *testing.T) {
	broker := startBroker(t)
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log")
	writeFile(t, a, "a1\n")
	writeFile(t, b, "b1\n")
	conf := filepath.Join(dir, "spoold.yaml")
	section := func(name, file, more string) string {
		return "  " + name + ": {files: [" + file + "], poll: 100ms" + more + "}\n"
	}
	writeFile(t, conf, "ship:\n"+section("one", a, ""))
	spool := filepath.Join(dir, "spool")
	d := startChild(t, spool, "-b", broker, "-c", conf)
	values(t, broker, "one", 1)
	files := func() []spoold.FollowedFiles { return statusOf(t, spool).Followed }
	hangup := func(text, says string, ok func([]spoold.FollowedFiles) bool) {
		t.Helper()
		writeFile(t, conf, text)
		if err := d.process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		await(t, func() bool { return ok(files()) })
		await(t, func() bool { return strings.Contains(d.log.String(), says) })
	}
	hangup("ship:\n"+section("one", a, "")+section("two", b, ""), `"taken":["ship.two"]`, func(f []spoold.FollowedFiles) bool {
		return len(f) == 2 && f[1].Section == "two" && f[1].Records == 1
	})
	hangup("ship:\n"+section("one", a, ", header.file: true")+section("two", b, ""), `"taken":["ship.one"]`, func(f []spoold.FollowedFiles) bool {
		return len(f) == 2 && f[0].Running
	})
	if err := os.WriteFile(a, []byte("a1\na2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := values(t, broker, "one", 2); !slices.Equal(got, []string{"a1", "a2"}) {
		t.Errorf("one has %v", got)
	}
	hangup("ship:\n"+section("two", b, ""), `the section is gone`, func(f []spoold.FollowedFiles) bool { return len(f) == 1 && f[0].Section == "two" })
}

// What a file lost before it was read is in the status and in the metrics, not only in the log.
func TestGapsOfFilesAreInStatusAndMetrics(t *testing.T) {
	broker := startBroker(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "app.log")
	writeFile(t, log, "one\n"+strings.Repeat("x", 100))
	conf := filepath.Join(dir, "spoold.yaml")
	writeFile(t, conf, "ship:\n  audit: {files: ["+log+"], poll: 100ms}\n")
	spool := filepath.Join(dir, "spool")
	d := startDaemon(t, spool, "-b", broker, "-c", conf)
	values(t, broker, "audit", 1)
	writeFile(t, log, "new\n") // cut off, with a line that was not finished
	values(t, broker, "audit", 2)
	if f := statusOf(t, spool).Followed; len(f) != 1 || f[0].Section != "audit" || f[0].Topic != "audit" || f[0].Records != 2 {
		t.Errorf("status: %+v", f)
	}
	resp, err := http.Get(d.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), `spoold_ship_records_total{section="audit"} 2`) || !strings.Contains(string(text), "spoold_ship_gaps_total") {
		t.Errorf("%v: %s", err, text)
	}
}

// A section that had stopped, or had files that it may not read, was healthy for the status' exit code, and the reason was in the log alone.
func TestStatusSaysWhyFilesAreNotFollowed(t *testing.T) {
	broker := startBroker(t)
	dir := t.TempDir()
	long, loop := filepath.Join(dir, "long.log"), filepath.Join(dir, "loop.log")
	writeFile(t, long, strings.Repeat("x", 2000)+"\n")
	if err := os.Symlink(loop, loop); err != nil { // which nobody can read, the superuser included
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "spoold.yaml")
	writeFile(t, conf, "max.request.size: 1500\nship:\n  long: {files: ["+long+"], poll: 100ms}\n  loop: {files: ['"+filepath.Join(dir, "l?op.log")+"'], poll: 100ms}\n")
	spool := filepath.Join(dir, "spool")
	d := startDaemon(t, spool, "-b", broker, "-c", conf)
	await(t, func() bool {
		f := statusOf(t, spool).Followed
		return len(f) == 2 && !f[0].Running && f[1].Unreadable == 1
	})
	code, out, _ := run(t, "", "status", "--spool", spool)
	for _, want := range []string{"files     long to long: 1 file, 0 records   STOPPED: " + long + ": the line at byte 0 is larger", "cannot be read: " + loop + ": too many levels of symbolic links"} {
		if !strings.Contains(out, want) {
			t.Errorf("status has not %q:\n%s", want, out)
		}
	}
	if code != statusDegraded {
		t.Errorf("exit code %d, want %d", code, statusDegraded)
	}
	resp, err := http.Get(d.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), `spoold_ship_unreadable{section="loop"} 1`) || !strings.Contains(string(text), `spoold_ship_running{section="long"} 0`) {
		t.Errorf("%v: %s", err, text)
	}
}
