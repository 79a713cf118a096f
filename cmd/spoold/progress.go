package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
)

// lag is why records do not leave now. The zero value: nothing is known that keeps them.
type lag struct {
	state string // in short
	why   string // the cause
	link  bool   // the cluster is not reached
}

// lagTold is how long a lag lasts before it is told, and lagAgain how soon another cause of it is.
const (
	lagTold  = 3 * time.Second
	lagAgain = 30 * time.Second
)

// lag is why nothing is delivered of the spools that are delivered now: those of earlier runs go first.
func (d *produceDirs) lag() lag {
	s := d.own.Status()
	for _, o := range d.others {
		if now := o.p.Status(); now.Pending > 0 {
			s = now
			break
		}
	}
	return lagOf(s)
}

func lagOf(s *spoold.Status) lag {
	if s.Link != "up" {
		if s.LinkSinceSeconds < lagTold.Seconds() {
			return lag{}
		}
		return lag{"link down " + age(s.LinkSinceSeconds), admin.LinkReason(s), true}
	}
	if x := s.Transaction; x != nil && standing(x) != "" {
		return lag{state: "transaction " + x.State, why: standing(x)}
	}
	for i := range s.Topics {
		t := &s.Topics[i]
		if t.Trouble != "" {
			return lag{state: "topic " + t.Topic + " " + t.State, why: fmt.Sprintf("topic %s: %s", t.Topic, t.Trouble)}
		}
		for _, p := range t.Partitions {
			if p.ParkReason != "" {
				at := fmt.Sprintf("%s:%d", t.Topic, p.Partition)
				return lag{state: at + " parked", why: fmt.Sprintf("%s is parked (%s): see spoold resolve %s --spool %s", at, p.ParkReason, at, shellWord(s.SpoolPath))}
			}
		}
	}
	return lag{}
}

// lagNotes decides when a lag is worth a line of its own.
type lagNotes struct {
	where string
	since time.Time // when it began; zero: there is none
	told  time.Time // when it was told last; zero: it was not
	last  lag       // that was told
}

// look returns what is to be said now, or "".
func (n *lagNotes) look(now time.Time, l lag) string {
	switch {
	case l == lag{} && n.told.IsZero():
		n.since = time.Time{}
		return ""
	case l == lag{}:
		text := "what is spooled is delivered again"
		if n.last.link {
			text = "the cluster is reached"
		}
		*n = lagNotes{where: n.where}
		return text
	case n.since.IsZero():
		n.since = now
	}
	if !l.link && now.Sub(n.since) < lagTold { // the link's own age was looked at
		return ""
	}
	if !n.told.IsZero() && (n.last.why == l.why || now.Sub(n.told) < lagAgain) {
		return ""
	}
	n.told, n.last = now, l
	text := l.why
	if l.link {
		text = "the cluster is not reached: " + l.why
	}
	return fmt.Sprintf("%s. What is spooled is kept in %s and is delivered when this is over", text, n.where)
}

// progress is shown on stderr while a command runs.
type progress struct {
	out   io.Writer
	bar   bool // out is a terminal's, and nobody else's
	notes lagNotes
	line  func() string // how far it is
	lag   func() lag
}

// show draws a bar, or prints a line every ten seconds. Either way it says when nothing can be delivered, and why.
// The func it returns ends that.
func (p *progress) show() (stop func()) {
	every, lines := time.Second, 10
	var bar *progressbar.ProgressBar
	if p.bar {
		every = 200 * time.Millisecond
		bar = newBar(p.out)
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-done:
				if bar != nil {
					_ = bar.Finish()
				}
				return
			case <-tick.C:
			}
			l := p.lag()
			if note := p.notes.look(time.Now(), l); note != "" {
				if bar != nil {
					_ = bar.Clear()
				}
				fmt.Fprintf(p.out, "spoold: %s\n", note)
			}
			if bar != nil {
				bar.Describe(barText(l, p.line(), columns(p.out)))
				_ = bar.Add(1)
			} else if n%lines == 0 {
				fmt.Fprintf(p.out, "spoold: %s\n", lineText(l, p.line()))
			}
		}
	}()
	return func() { close(done); <-gone }
}

func lineText(l lag, line string) string {
	if l.state == "" {
		return line
	}
	return fmt.Sprintf("%s; %s: %s", line, l.state, l.why)
}

// barText is what stands behind the bar: one that goes over the end of the line could not be drawn anew.
func barText(l lag, line string, columns int) string {
	if l.state != "" {
		line = l.state + "; " + line
	}
	const around = len("- ") + len("  [12h34m56s] ")
	if room := max(columns-around, 20); len(line) > room {
		line = line[:room-3] + "..."
	}
	return line
}

// columns is how wide a terminal is.
func columns(out io.Writer) int {
	if f, ok := out.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// newBar shows that something goes on: how much there is to be done is not known.
func newBar(to io.Writer) *progressbar.ProgressBar {
	return progressbar.NewOptions64(-1, progressbar.OptionSetWriter(to), progressbar.OptionClearOnFinish(), progressbar.OptionSetElapsedTime(true))
}

// showProgress says how far the run is until the func it returns is called.
func (r *produceRun) showProgress() (stop func()) {
	p := &progress{out: r.w.stderr, bar: isTerminal(r.w.stderr), notes: lagNotes{where: r.dirs.where()}, lag: r.dirs.lag, line: func() string {
		sent := r.sent.Load()
		if f := r.progress.Load(); f != nil {
			sent = uint64(f.Stats().Records)
		}
		s := r.dirs.sum(sent)
		return s.soFar(time.Since(r.begin))
	}}
	return p.show()
}

// soFar is how far a run is after this long.
func (p *produced) soFar(after time.Duration) string {
	rate := float64(p.Spooled) / after.Seconds()
	text := fmt.Sprintf("%s spooled, %s acked, %s/s", comma(p.Spooled), comma(p.Acked), plural(uint64(rate), "record"))
	if p.recoveredAcked < p.Recovered {
		text += fmt.Sprintf("; of an earlier run %s of %s acked", comma(p.recoveredAcked), plural(p.Recovered, "record"))
	}
	return text
}
