//go:build browser

package page

import (
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/spoold/spoold/integration/freeport"
	"github.com/spoold/spoold/integration/proc"
)

var watched = flag.Duration("watched", 20*time.Second, "how long a daemon is watched by everybody")

// use is what the daemon takes at one moment.
type use struct{ anonymous, descriptors, goroutines int }

func (u use) String() string {
	return fmt.Sprintf("%d KiB of memory, %d descriptors, %d goroutines", u.anonymous, u.descriptors, u.goroutines)
}

// most is the largest of each.
func most(list []use) (m use) {
	for _, u := range list {
		m.anonymous, m.descriptors, m.goroutines = max(m.anonymous, u.anonymous), max(m.descriptors, u.descriptors), max(m.goroutines, u.goroutines)
	}
	return m
}

// sample scrapes, as Prometheus does, and looks at the process.
func (d *daemon) sample() use {
	d.t.Helper()
	goroutines, err := Goroutines(d.t.Context(), d.admin)
	if err != nil {
		d.t.Fatal(err)
	}
	u, err := proc.Use(d.cmd.Process.Pid)
	if err != nil {
		d.t.Fatal(err)
	}
	return use{int(u.Anon >> 10), u.Descriptors, goroutines}
}

// A page in Chromium, a scraper and an OTLP receiver look at a daemon that takes records without a pause: what it takes
// of memory, descriptors and goroutines does not grow with time.
func TestWatchedDaemonStaysAsItIs(t *testing.T) {
	var c Receiver
	receiver := httptest.NewServer(&c)
	defer receiver.Close()
	broker := newDaemon(t)
	d := &daemon{t: t, binary: broker.binary, dir: t.TempDir(), http: freeport.Addr(t), admin: freeport.Addr(t)}
	d.cmd = exec.Command(d.binary, "serve", "-b", broker.broker, "--spool", filepath.Join(d.dir, "spool"), "--http", d.http, "--admin", d.admin,
		"-X", "spool.min.free.bytes=0", "-X", "otel.exporter.otlp.endpoint="+receiver.URL, "-X", "otel.traces.per.thousand=1000")
	d.cmd.Env = append(os.Environ(), "OTEL_METRIC_EXPORT_INTERVAL=1000", "OTEL_BSP_SCHEDULE_DELAY=1000")
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.stop)
	d.await()
	b := newBrowser(t, 1280, 900)
	b.do(t, chromedp.Navigate("http://"+d.admin+"/"))
	b.until(t, "the link", linkUp)

	var uses []use
	sent := 0
	every, pace := time.NewTicker(*watched/60), time.NewTicker(max(*watched/100_000, time.Microsecond)) // the broker keeps all in memory
	defer every.Stop()
	defer pace.Stop()
	for begin := time.Now(); time.Since(begin) < *watched; {
		select {
		case <-every.C:
			uses = append(uses, d.sample())
		case <-pace.C:
			d.post(fmt.Sprintf("topic-%d", sent%20), 50)
			sent += 50
		}
	}
	b.until(t, "the records", `Number(document.getElementById("accepted").textContent.replace(/\D/g, "")) >= `+strconv.Itoa(sent))
	third := len(uses) / 3
	middle, last := most(uses[third:2*third]), most(uses[2*third:])
	t.Logf("%d records in %v, %d exports of metrics, %d of traces; middle third: %v; last third: %v", sent, *watched, c.Metrics.Load(), c.Traces.Load(), middle, last)
	if last.anonymous > middle.anonymous*5/4+8<<10 || last.descriptors > middle.descriptors+5 || last.goroutines > middle.goroutines+10 {
		t.Errorf("it grows: %v in the middle third, %v in the last", middle, last)
	}
	if c.Metrics.Load() < 3 || c.Traces.Load() < 3 {
		t.Errorf("the receiver got %d exports of metrics and %d of traces", c.Metrics.Load(), c.Traces.Load())
	}
	if errs := b.Console(); len(errs) > 0 {
		t.Errorf("the console has errors: %v", errs)
	}
}
