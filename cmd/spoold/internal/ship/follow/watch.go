package follow

import (
	"context"
	"slices"
	"time"

	"github.com/fsnotify/fsnotify"
)

// watcher receives changes in directories, as a hint: files are looked at from time to time anyway, for not every file
// system notifies, and a queue may overflow.
type watcher struct {
	notify *fsnotify.Watcher // nil: only polling
	in     []string
	scan   bool // a scan is due
	seen   time.Time
	links  bool // some changes are not notified
}

// slowPoll is how many times longer files are left alone where all changes are notified.
const slowPoll = 5

func newWatcher() *watcher {
	w := &watcher{scan: true}
	if n, err := fsnotify.NewBufferedWatcher(1024); err == nil {
		w.notify = n
	}
	return w
}

func (w *watcher) close() {
	if w.notify != nil {
		_ = w.notify.Close()
	}
}

// dirs are the directories to watch from now on. One that cannot be watched is polled.
func (w *watcher) dirs(dirs []string) {
	w.seen = time.Now()
	if w.notify == nil {
		return
	}
	dirs = slices.Compact(slices.Sorted(slices.Values(dirs)))
	for _, dir := range w.in {
		if !slices.Contains(dirs, dir) {
			_ = w.notify.Remove(dir)
		}
	}
	var in []string
	for _, dir := range dirs {
		if w.notify.Add(dir) == nil { // again is no error
			in = append(in, dir)
		}
	}
	if len(in) < len(dirs) { // out of watches: poll
		_ = w.notify.Close()
		w.notify, in = nil, nil
	}
	w.in = in
}

// gather is how long notifications are collected before files are read: a busy writer makes thousands.
const gather = 10 * time.Millisecond

// wait returns the paths that changed, or all: it is time to look at everything.
func (w *watcher) wait(ctx context.Context, poll time.Duration) (changed []string, all bool) {
	if w.notify == nil {
		sleep(ctx, poll, nil)
		return nil, true
	}
	every := poll * slowPoll
	if w.links {
		every = poll
	}
	t := time.NewTimer(max(0, every-time.Since(w.seen)))
	defer t.Stop()
	soon := time.NewTimer(poll) // unfinished lines
	defer soon.Stop()
	select {
	case <-ctx.Done():
		return nil, false
	case <-t.C:
		return nil, true
	case <-soon.C:
		return nil, false
	case <-w.notify.Errors:
		return nil, true
	case e := <-w.notify.Events:
		changed = w.add(changed, e)
	}
	sleep(ctx, gather, func() bool { return w.drain(&changed) })
	return changed, false
}

// drain takes what is there.
func (w *watcher) drain(changed *[]string) bool {
	for {
		select {
		case e, ok := <-w.notify.Events:
			if !ok {
				return false
			}
			*changed = w.add(*changed, e)
		default:
			return true
		}
	}
}

func (w *watcher) add(changed []string, e fsnotify.Event) []string {
	if e.Op&^(fsnotify.Write|fsnotify.Chmod) != 0 {
		w.scan = true
	}
	if len(changed) > 0 && changed[len(changed)-1] == e.Name {
		return changed
	}
	return append(changed, e.Name)
}

// sleep waits, and then does a last thing.
func sleep(ctx context.Context, d time.Duration, then func() bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
	if then != nil {
		then()
	}
}
