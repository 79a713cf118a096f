//go:build browser

package page

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/spoold/spoold/integration/venv"
)

// Everything that the page can show at a time: a parked partition, trouble, partitions, warnings, the configuration.
const everything = `(() => {
	const list = [];
	for (let i = 0; i < 30; i++) list.push({topic: "telemetry.site-" + i, state: i ? "idle" : "parked", detail: i % 9 == 3 ? "NOT_ENOUGH_REPLICAS" : "", pending: i, oldest_age_seconds: i,
		accepted: i, acked: i, dead_lettered: i % 7, partitions: [{partition: 0, state: i ? "idle" : "parked", leader: 1, in_flight: 0, in_doubt: 17, last_offset: 41,
			park_reason: i ? "" : "the log does not tell whether it was appended", parked_at: "2026-11-30T10:00:00Z", detail: "seen"}]});
	showTopics({full: true, topics: list});
	draw();
	document.querySelector("#topics button").click();
	document.querySelector("details").open = true;
	showWarning({time: "2026-11-30T10:00:00Z", level: "WARN", message: "a partition is parked", fields: {topic: "t"}});
	return document.querySelectorAll("#parked code").length;
})()`

// Keyboard and screen reader: axe finds nothing to mend, on a desk and on a telephone, by day and by night.
func TestAxeFindsNoFaultOfAccess(t *testing.T) {
	const module = "axe_playwright_python"
	rules, err := os.ReadFile(filepath.Join(venv.Folder(t, venv.With(t, "axe-playwright-python", "0.1.8", module, "--no-deps"), module), "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	d := newDaemon(t)
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			b := newBrowser(t, int(width), 900)
			b.do(t, chromedp.EmulateViewport(width, 900), emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
				chromedp.Navigate("http://"+d.admin+"/"))
			b.until(t, "the keys", `document.querySelectorAll("#config tr").length > 0`)
			var choices, passed int
			var faults []string
			b.do(t, chromedp.Evaluate(everything, &choices), chromedp.Evaluate(string(rules)+";0", nil))
			b.shoot(t, fmt.Sprintf("everything-%d-%s.png", width, scheme))
			await := func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }
			b.do(t, chromedp.Evaluate(`axe.run().then(r => (globalThis.passed = r.passes.length, r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.map(n => n.html).join(" "))))`, &faults, await),
				chromedp.Evaluate(`passed`, &passed))
			if len(faults) > 0 || choices < 2 || passed < 20 {
				t.Errorf("%d wide, %s: %d choices, %d rules passed, faults: %q", width, scheme, choices, passed, faults)
			}
			b.Close()
		}
	}
}
