package main

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
	"github.com/spoold/spoold/cmd/spoold/internal/page"
	"github.com/spoold/spoold/cmd/spoold/internal/service"
)

// historyFile is beside the segments. Removing it costs the plots, nothing else.
const historyFile = "status-history.json"

// newPage is the status page in front of the other admin calls.
func (d *daemon) newPage(next http.Handler) *page.Page {
	history, err := page.OpenHistory(filepath.Join(d.s.cfg.SpoolPath, historyFile))
	if err != nil {
		d.log.Warn(err.Error(), "event", "page.history")
	}
	d.history = history
	d.showSettings()
	o := page.Options{
		Peek: d.producer.Peek, History: history, Warnings: d.warnings, Settings: func() []page.Setting { return *d.shown.Load() }, Next: next,
	}
	for _, ch := range choices {
		o.Choices = append(o.Choices, page.Choice{Choice: ch.flag, Does: ch.does, Risk: ch.risks})
	}
	p := page.New(o)
	d.warnings.Also(p.Warn)
	return p
}

// showSettings has the page show the settings that are in force now.
func (d *daemon) showSettings() {
	rows := d.s.rows(false)
	d.shown.Store(&rows)
}

// keepHistory samples the state for the status page until the function that it returns is
// called, which waits for the last save.
func (d *daemon) keepHistory(ctx context.Context) (stop func()) {
	if d.history == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.history.Run(ctx, d.producer.Peek, func(err error) { d.log.Warn(err.Error(), "event", "page.history") })
	}()
	return func() {
		cancel()
		<-done
	}
}

// probe is one look at the daemon for the watchdog.
func (d *daemon) probe() service.Probe {
	s := d.producer.Status()
	return service.Probe{At: s.Time, Status: statusLine(s), Err: admin.Health(s, d.producer.Err())}
}

// statusLine is what systemctl status shows.
func statusLine(s *spoold.Status) string {
	line := fmt.Sprintf("link %s, %d records pending", s.Link, s.Pending)
	if s.SpoolFull != "" {
		line += ", full: " + s.SpoolFull
	}
	return line
}
