//go:build browser || crash

package page

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Tab is a page in a headless Chromium of its own, with what its console said. Safe for concurrent use.
type Tab struct {
	ctx   context.Context
	close func()

	mu     sync.Mutex
	errors []string
}

// Open prepares a tab, which lasts until ctx ends or Close is called. Chromium starts with the first Do.
func Open(ctx context.Context, width, height int) *Tab {
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.WindowSize(width, height))
	alloc, closeBrowser := chromedp.NewExecAllocator(ctx, opts...)
	tab, closeTab := chromedp.NewContext(alloc)
	t := &Tab{ctx: tab, close: func() { closeTab(); closeBrowser() }}
	chromedp.ListenTarget(tab, t.listen)
	return t
}

// Close ends Chromium.
func (t *Tab) Close() { t.close() }

func (t *Tab) listen(ev any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		t.errors = append(t.errors, ev.ExceptionDetails.Error())
	case *runtime.EventConsoleAPICalled:
		t.errors = append(t.errors, fmt.Sprintf("console.%s", ev.Type))
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.LevelError {
			t.errors = append(t.errors, ev.Entry.Text+" "+ev.Entry.URL)
		}
	}
}

// Console is every error that the page's console got so far.
func (t *Tab) Console() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string{}, t.errors...)
}

// Do carries out actions.
func (t *Tab) Do(actions ...chromedp.Action) error {
	if err := chromedp.Run(t.ctx, actions...); err != nil {
		return fmt.Errorf("page: %w; console: %v", err, t.Console())
	}
	return nil
}

// Until waits 20 s for a condition in the page, and says what the page shows if it does not come.
func (t *Tab) Until(what, condition string) error {
	ctx, cancel := context.WithTimeout(t.ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.Poll(condition, nil, chromedp.WithPollingInterval(50*time.Millisecond))); err != nil {
		var body string
		_ = chromedp.Run(t.ctx, chromedp.Text("body", &body)) // only for the message
		return fmt.Errorf("page: it does not show %s: %w\n%s\nconsole: %v", what, err, body, t.Console())
	}
	return nil
}
