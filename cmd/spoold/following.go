package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship/follow"
)

// following are the files that the daemon follows, by section. Its goroutine starts and stops them; anybody may look.
type following struct {
	d      *daemon
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	sections map[string]*followedSection
}

// followedSection is one section of ship: and who follows its files.
type followedSection struct {
	*shipSection
	follower *follow.Follower
	cancel   context.CancelFunc
	ended    chan struct{}
	err      error // why it ended; written before ended is closed
}

// followFiles follows the files of every section until stop is called.
func (d *daemon) followFiles(ctx context.Context) error {
	w := &following{d: d, sections: make(map[string]*followedSection)}
	w.ctx, w.cancel = context.WithCancel(ctx)
	if _, err := w.change(d.s); err != nil {
		w.stop()
		return err
	}
	d.following.Store(w)
	return nil
}

// change follows what the sections of s say: those that are gone or have changed are stopped, new ones and changed ones started. A
// position is the topic's and the file's, so none begins anew. It returns the names of those that changed.
func (w *following) change(s *settings) (changed []string, err error) {
	fresh := make(map[string]*shipSection)
	for _, sec := range s.sections() {
		fresh[sec.name] = sec
	}
	for name, f := range w.list() {
		if sec := fresh[name]; sec != nil && maps.Equal(sec.said, f.said) {
			delete(fresh, name)
			continue
		}
		f.cancel()
		<-f.ended
		w.mu.Lock()
		delete(w.sections, name)
		w.mu.Unlock()
		if changed = append(changed, name); fresh[name] == nil {
			w.d.log.Info("files are not followed any more: the section is gone", "event", "ship.stopped", "section", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fresh)) {
		if err := w.start(fresh[name]); err != nil {
			return changed, err
		}
		if !slices.Contains(changed, name) {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	return changed, nil
}

// list is a copy of the sections.
func (w *following) list() map[string]*followedSection {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.sections)
}

func (w *following) start(sec *shipSection) error {
	d := w.d
	log := d.log.With("section", sec.name)
	o := sec.follow
	bindFollow(&o, d.producer, &d.s.cfg, "section "+sec.name, log)
	o.Record, o.Format.Max = sec.shape.of, sec.shape.maxLine(d.s.cfg.MaxRequestSize)
	f, err := follow.New(o, sinkOf{d.producer})
	if err != nil {
		return exitf(exitConfig, "ship.%s: %w", sec.name, err)
	}
	log.Info("following files", "event", "ship.start", "topic", sec.shape.template.Topic, "files", o.Patterns)
	ctx, cancel := context.WithCancel(w.ctx)
	followed := &followedSection{shipSection: sec, follower: f, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(followed.ended)
		err := f.Run(ctx)
		if followed.err = err; err != nil && d.producer.Err() == nil {
			log.Error(fmt.Sprintf("the files of section %s are not followed any more", sec.name), "event", "ship.stopped", "err", err)
		}
	}()
	w.mu.Lock()
	w.sections[sec.name] = followed
	w.mu.Unlock()
	return nil
}

// stop ends all of them and waits.
func (w *following) stop() {
	if w == nil {
		return
	}
	w.cancel()
	for _, f := range w.list() {
		<-f.ended
	}
}

// status is what became of the files since this start, by section.
func (w *following) status() []spoold.FollowedFiles {
	if w == nil {
		return nil
	}
	list := w.list()
	out := make([]spoold.FollowedFiles, 0, len(list))
	for _, name := range slices.Sorted(maps.Keys(list)) {
		f := list[name]
		s := f.follower.Stats()
		followed := spoold.FollowedFiles{
			Section: name, Topic: f.shape.template.Topic, Running: true,
			Files: s.Files, Records: s.Records, Bytes: s.Bytes, TooLong: s.TooLong, Gaps: s.Gaps, GapBytes: s.GapBytes,
			Unreadable: s.Unreadable, Problem: s.Problem,
		}
		select {
		case <-f.ended:
			if followed.Running = false; f.err != nil {
				followed.Error = f.err.Error()
			}
		default:
		}
		out = append(out, followed)
	}
	return out
}

// watchedProducer is the Producer as admin looks at it: with the files that the daemon follows, and its listeners' certificates.
type watchedProducer struct {
	*spoold.Producer
	d *daemon
}

func (p watchedProducer) Status() *spoold.Status {
	st := *p.Producer.Status()
	st.Followed = p.d.following.Load().status()
	return p.d.withCertificates(&st)
}

// printFollowed is a line of status for each section.
func printFollowed(b *strings.Builder, list []spoold.FollowedFiles) {
	for i := range list {
		f := &list[i]
		fmt.Fprintf(b, "files     %s to %s: %s, %s", f.Section, f.Topic, plural(uint64(f.Files), "file"), plural(uint64(f.Records), "record"))
		if f.Gaps > 0 {
			fmt.Fprintf(b, "   %s of %s or more", plural(uint64(f.Gaps), "gap"), bytesOf(f.GapBytes))
		}
		switch {
		case !f.Running:
			fmt.Fprintf(b, "   STOPPED: %s", cmp.Or(f.Error, "spoold is stopping"))
		case f.Unreadable == 1:
			fmt.Fprintf(b, "   cannot be read: %s", f.Problem)
		case f.Unreadable > 1:
			fmt.Fprintf(b, "   %s cannot be read, such as %s", plural(uint64(f.Unreadable), "path"), f.Problem)
		}
		b.WriteString("\n")
	}
}
