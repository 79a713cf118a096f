//go:build browser

package page

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/spoold/spoold/integration/freeport"
	"github.com/spoold/spoold/integration/proc"
)

var shots = flag.String("shots", "", "folder for screenshots")

// daemon is `spoold serve --dev` in a process of its own.
type daemon struct {
	t                   *testing.T
	binary, dir         string
	broker, http, admin string
	cmd                 *exec.Cmd
}

// built is the daemon's binary, which is the same for all tests.
var built string

func TestMain(m *testing.M) {
	os.Exit(proc.RunWith(m, "github.com/spoold/spoold/cmd/spoold", &built))
}

func newDaemon(t *testing.T) *daemon {
	d := &daemon{t: t, dir: t.TempDir(), broker: freeport.Addr(t), http: freeport.Addr(t), admin: freeport.Addr(t)}
	d.binary = built
	d.start()
	t.Cleanup(d.stop)
	return d
}

func (d *daemon) start() {
	d.cmd = exec.Command(d.binary, "serve", "--dev", "-b", d.broker, "--spool", filepath.Join(d.dir, "spool"),
		"--http", d.http, "--admin", d.admin, "-X", "spool.min.free.bytes=0")
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.await()
}

// await waits until the daemon takes records.
func (d *daemon) await() {
	d.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		if r, err := http.Get("http://" + d.admin + "/readyz"); err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			d.t.Fatal("the daemon is not ready after 30 s")
		}
		<-time.After(20 * time.Millisecond)
	}
}

func (d *daemon) stop() {
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
}

func (d *daemon) post(topic string, n int) {
	d.t.Helper()
	body := `{"records":[` + strings.TrimSuffix(strings.Repeat(`{"value":{"n":1}},`, n), ",") + `]}`
	r, err := http.Post("http://"+d.http+"/topics/"+topic, "application/vnd.kafka.json.v2+json", strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		d.t.Fatalf("POST %s: %s", topic, r.Status)
	}
}

// browser is one tab, whose faults end the test.
type browser struct{ *Tab }

func newBrowser(t *testing.T, width, height int) browser {
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second+*watched)
	t.Cleanup(cancel)
	b := browser{Open(ctx, width, height)}
	t.Cleanup(b.Close)
	return b
}

func (b browser) do(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	if err := b.Do(actions...); err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition in the page.
func (b browser) until(t *testing.T, what, condition string) {
	t.Helper()
	if err := b.Until(what, condition); err != nil {
		t.Fatal(err)
	}
}

func (b browser) shoot(t *testing.T, name string) {
	if *shots == "" {
		return
	}
	var png []byte
	b.do(t, chromedp.FullScreenshot(&png, 100))
	if err := os.MkdirAll(*shots, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*shots, name), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

// The link is up, with connections or without: a daemon that has nothing to deliver may have none.
const linkUp = `document.getElementById("link").textContent.startsWith("link up")`

func TestPageLoadsUpdatesAndSurvivesARestart(t *testing.T) {
	d := newDaemon(t)
	d.post("orders", 3)
	b := newBrowser(t, 1280, 900)
	b.do(t, chromedp.Navigate("http://"+d.admin+"/"))
	b.until(t, "the link", linkUp)
	b.until(t, "the records", `document.getElementById("accepted").textContent === "3 records"`)
	b.until(t, "the topic", `document.getElementById("topics").textContent.includes("orders")`)

	d.post("orders", 4)
	d.post("audit", 1)
	b.until(t, "more records", `document.getElementById("accepted").textContent === "8 records"`)
	b.until(t, "the open connection", `document.getElementById("link").textContent === "link up"`)
	b.until(t, "that all was acked", `document.getElementById("acked").textContent === "8 records"`)
	b.until(t, "both topics", `document.querySelectorAll("#topics tr").length === 2`)
	b.until(t, "plots", `document.querySelectorAll("canvas").length === 3`)

	b.do(t, chromedp.SetValue("#filter", "aud"), chromedp.Evaluate(`document.getElementById("filter").oninput()`, nil))
	b.until(t, "the filtered topics", `document.querySelectorAll("#topics tr").length === 1`)
	b.do(t, chromedp.Click(`#topics button`))
	b.until(t, "a topic's partitions", `document.querySelectorAll("#topics tr.parts").length >= 1`)
	b.shoot(t, "desktop.png")
	if errs := b.Console(); len(errs) > 0 {
		t.Errorf("the console has errors: %v", errs)
	}

	d.stop()
	b.until(t, "that the daemon is away", `document.getElementById("link").textContent === "the daemon does not answer"`)
	d.start()
	b.until(t, "the restarted daemon, which needs no connection", `document.getElementById("link").textContent === "link up (idle: no connection is open)"`)
	b.until(t, "the counters of before", `document.getElementById("accepted").textContent === "8 records"`)
	var broken []string
	for _, e := range b.Console() {
		if !strings.Contains(e, "/events") && !strings.Contains(e, "/api/history") { // while nothing listened
			broken = append(broken, e)
		}
	}
	if len(broken) > 0 {
		t.Errorf("the console has errors: %v", broken)
	}
}

// On a telephone nothing is wider than the screen but tables, which scroll by themselves.
func TestPageFitsATelephone(t *testing.T) {
	d := newDaemon(t)
	for i := range 30 {
		d.post(fmt.Sprintf("a-topic-with-quite-a-long-name-%d", i), 1)
	}
	b := newBrowser(t, 390, 844)
	b.do(t, chromedp.EmulateViewport(390, 844), chromedp.Navigate("http://"+d.admin+"/"))
	b.until(t, "the topics", `document.querySelectorAll("#topics tr").length === 30`)
	b.shoot(t, "telephone.png")
	var wide bool
	b.do(t, chromedp.Evaluate(`document.documentElement.scrollWidth > 390`, &wide))
	if wide {
		t.Error("the page is wider than the screen")
	}
}

func TestTenThousandTopicsAreSortedAtOnce(t *testing.T) {
	d := newDaemon(t)
	b := newBrowser(t, 1280, 900)
	b.do(t, chromedp.Navigate("http://"+d.admin+"/"))
	b.until(t, "the link", linkUp)
	var ms float64
	b.do(t, chromedp.Evaluate(`(() => {
		const list = [];
		for (let i = 0; i < 10000; i++) list.push({topic: "t" + i, state: "idle", detail: "", pending: (i * 7919) % 10007,
			oldest_age_seconds: 1, accepted: i, acked: i, dead_lettered: 0, partitions: []});
		const from = performance.now();
		showTopics({full: true, topics: list});
		draw();
		document.querySelector('[data-sort="pending"]').click();
		return performance.now() - from;
	})()`, &ms))
	b.until(t, "the topic with most pending records first", `document.querySelector("#topics td.n").textContent === "10,006"`)
	b.until(t, "pages", `document.getElementById("pages").textContent === "page 1 of 100, 10,000 topics"`)
	t.Logf("10,000 topics received, drawn and sorted in %.0f ms", ms)
}
