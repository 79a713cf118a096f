//go:build crash

package soak

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/chromedp/chromedp"

	"github.com/spoold/spoold/integration/page"
)

// onlookers are who looks at the daemon during the run: the status page in Chromium, an OTLP receiver, and a scraper, which is the watch.
type onlookers struct {
	receiver page.Receiver
	url      string
	tab      *page.Tab
	opened   bool // the page was loaded; the goroutine that has the daemon sets it
}

func look(r *rig) *onlookers {
	o := &onlookers{}
	server := httptest.NewServer(&o.receiver)
	r.t.Cleanup(server.Close)
	o.url = server.URL
	r.daemon.Env = append(r.daemon.Env, "OTEL_METRIC_EXPORT_INTERVAL=5000")
	r.watch.Scrape = func(ctx context.Context) (int, error) { return page.Goroutines(ctx, r.daemon.Admin) }
	o.tab = page.Open(r.ctx, 1280, 900)
	r.t.Cleanup(o.tab.Close)
	return o
}

// descriptors is how many connections they may have: six of a browser, one each of the scraper and two exporters, and as many that end.
func (o *onlookers) descriptors() int {
	if o == nil {
		return 0
	}
	return 2 * (6 + 1 + 2)
}

// configure has the daemon export everything.
func (o *onlookers) configure(keys map[string]string) {
	if o == nil {
		return
	}
	keys["otel.exporter.otlp.endpoint"], keys["otel.traces.per.thousand"] = o.url, "10"
}

// open loads the page, once the daemon has answered.
func (o *onlookers) open(admin string) error {
	if o == nil || o.opened {
		return nil
	}
	o.opened = true
	return o.tab.Do(chromedp.Navigate("http://" + admin + "/"))
}

// check is for a daemon that runs and has delivered all: the page, which was loaded once, shows what it has now.
func (o *onlookers) check(acked uint64) error {
	if o == nil {
		return nil
	}
	for what, condition := range map[string]string{
		"the link":           `document.getElementById("link").textContent.startsWith("link up")`,
		"all that was acked": fmt.Sprintf(`document.getElementById("acked").textContent.replace(/\D/g, "") === "%d"`, acked),
	} {
		if err := o.tab.Until(what, condition); err != nil {
			return fmt.Errorf("soak: %w", err)
		}
	}
	for _, e := range o.tab.Console() {
		if !strings.Contains(e, "/events") && !strings.Contains(e, "/api/") { // while the daemon was away
			return fmt.Errorf("soak: the page's console: %s", e)
		}
	}
	if o.receiver.Metrics.Load() == 0 || o.receiver.Traces.Load() == 0 {
		return fmt.Errorf("soak: the receiver got %d exports of metrics and %d of traces", o.receiver.Metrics.Load(), o.receiver.Traces.Load())
	}
	return nil
}

// report says who looked.
func (o *onlookers) report(r *rig) {
	if o == nil {
		r.proof.NotCovered = append(r.proof.NotCovered, "a page, a scraper and an OTLP receiver that look on (`-watched`)")
		return
	}
	p := r.watch.Peaks()
	r.proof.Say("goroutines, peak of limit", fmt.Sprintf("%d of %d", p.Routines, p.Limits.Routines))
	r.proof.Say("exports of metrics and of traces to an OTLP receiver, with a page in Chromium and a scraper",
		fmt.Sprintf("%d and %d", o.receiver.Metrics.Load(), o.receiver.Traces.Load()))
}
