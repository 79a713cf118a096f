package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"

	"github.com/spoold/spoold"
)

// produceRun is one run of produce. Its fields are work's alone, but for the counter.
type produceRun struct {
	w     *world
	o     produceOpts
	dirs  *produceDirs
	last  spoold.Delivery // of the newest record: the spool keeps order, so it stands for all
	begin time.Time
	sent  atomic.Uint64
}

// interruptGrace is how long acks are waited for after SIGINT.
const interruptGrace = 2 * time.Second

// work sends all that in has, then waits for what was asked.
func (r *produceRun) work(ctx context.Context, in io.Reader) error {
	if err := r.feed(ctx, in); err != nil {
		return err
	}
	if r.sent.Load() > 0 {
		// Not under ctx: the sync is short, and its end is the answer.
		if err := r.last.Spooled(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	if !r.o.acked {
		return nil
	}
	wait, timeout := ctx, r.o.timeout
	if ctx.Err() != nil {
		wait, timeout = context.WithoutCancel(ctx), min(timeout, interruptGrace)
	}
	wait, cancel := context.WithTimeout(wait, timeout)
	defer cancel()
	err := r.dirs.flush(wait)
	if err == nil {
		return r.refused()
	}
	if wait.Err() == nil {
		return err
	}
	pending := r.dirs.pending()
	if pending == 0 {
		return r.refused()
	}
	return exitf(exitUnavailable, "the cluster did not ack %s %s: what is pending stays spooled in %s; the same command delivers it%s",
		plural(pending, "record"), waited(ctx, timeout), r.dirs.where(), r.dirs.trouble())
}

func waited(ctx context.Context, timeout time.Duration) string {
	if ctx.Err() != nil {
		return "before the interrupt"
	}
	return fmt.Sprintf("within %v", timeout)
}

// refused says so when the cluster refused records for good.
func (r *produceRun) refused() error {
	n := r.dirs.deadLettered()
	if n == 0 {
		return nil
	}
	kept := "they are kept as dead letters"
	if n == 1 {
		kept = "it is kept as a dead letter"
	}
	return exitf(exitProblem, "the cluster refused %s for good: %s in %s%s", plural(n, "record"), kept, r.dirs.where(), r.dirs.refused.text())
}

// feed reads and sends until the end of the input, or of ctx.
func (r *produceRun) feed(ctx context.Context, in io.Reader) error {
	chunks, ended := readChunks(ctx, in)
	limit := r.dirs.maxRecord()
	var held []byte // the beginning of a record whose end has not been read
	scanned := 0    // of held: no delimiter begins before this
	for {
		var chunk []byte
		var more bool
		select {
		case chunk, more = <-chunks: // what was read is sent, interrupted or not
		default:
			select {
			case chunk, more = <-chunks:
			case <-ctx.Done():
				return nil
			}
		}
		if !more {
			break
		}
		held = append(held, chunk...)
		rest := held
		for {
			at := bytes.Index(rest[scanned:], r.o.delim)
			if at < 0 {
				break
			}
			if err := r.send(ctx, rest[:scanned+at]); err != nil {
				return stopped(ctx, err)
			}
			rest, scanned = rest[scanned+at+len(r.o.delim):], 0
		}
		if len(rest) > limit {
			return exitf(exitProblem, "record %d is larger than max.request.size (%d bytes): it is not sent; what came before it is spooled in %s", r.sent.Load()+1, limit, r.dirs.where())
		}
		scanned = max(0, len(rest)-len(r.o.delim)+1)
		held = append(held[:0], rest...)
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // interrupted: what is held may be half a record, and the caller says so
	}
	if len(held) > 0 {
		if err := r.send(ctx, held); err != nil {
			return stopped(ctx, err)
		}
	}
	if err := <-ended; err != nil {
		return exitf(exitIO, "produce: reading the input after record %d: %w", r.sent.Load(), err)
	}
	return nil
}

// stopped hides an error that only says that the interrupt ended a wait.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// readChunks reads on a goroutine of its own, so that a signal need not wait for
// input. It holds at most three chunks. The goroutine may stay in a last Read when ctx ends.
func readChunks(ctx context.Context, in io.Reader) (<-chan []byte, <-chan error) {
	chunks, ended := make(chan []byte, 1), make(chan error, 1)
	go func() {
		defer close(chunks)
		defer close(ended)
		for {
			buf := make([]byte, 256<<10)
			n, err := in.Read(buf)
			if n > 0 {
				select {
				case chunks <- buf[:n]:
				case <-ctx.Done():
					return
				}
			}
			if err != nil {
				if err == io.EOF {
					err = nil
				}
				ended <- err
				return
			}
		}
	}()
	return chunks, ended
}

// send hands one record on. It waits only while the spool is full.
func (r *produceRun) send(ctx context.Context, line []byte) error {
	rec := r.o.template
	rec.Value = line
	if r.o.keyDelim != nil {
		if key, value, ok := bytes.Cut(line, r.o.keyDelim); ok {
			rec.Key, rec.Value = key, value
		}
	}
	if rec.Value == nil {
		rec.Value = []byte{}
	}
	if r.o.null && len(rec.Value) == 0 {
		rec.Value = nil
	}
	d, err := r.dirs.own.Send(ctx, rec)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		// What was read before the interrupt is sent, if there is room soon.
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), interruptGrace)
		d, err = r.dirs.own.Send(grace, rec)
		cancel()
		if errors.Is(err, spoold.ErrFull) {
			err = ctx.Err()
		}
	}
	if err != nil {
		return &exitError{codeOf(err), fmt.Errorf("record %d: %w; what came before it is spooled in %s", r.sent.Load()+1, err, r.dirs.where())}
	}
	r.last = d
	r.sent.Add(1)
	return nil
}

// sum is what this run came to. What an earlier run left is delivered first, so
// the first acks are counted as its.
func (r *produceRun) sum() produced {
	sent := r.sent.Load()
	out := produced{Accepted: sent, Spooled: sent, Pending: r.dirs.pending(), DeadLettered: r.dirs.deadLettered(), Recovered: r.dirs.recovered()}
	if acked := r.dirs.acked(); acked > out.Recovered {
		out.Acked = min(acked-out.Recovered, sent)
	}
	return out
}

func (r *produceRun) say(p produced) {
	dead := ""
	if p.DeadLettered > 0 {
		dead = fmt.Sprintf(", %d dead-lettered", p.DeadLettered)
	}
	fmt.Fprintf(r.w.stderr, "%d records spooled, %d acked, %d pending%s\n", p.Spooled, p.Acked, p.Pending, dead)
	if r.o.json {
		_ = json.NewEncoder(r.w.stdout).Encode(p)
	}
}

// showProgress draws a bar on a terminal; in a pipe it prints a line every
// ten seconds. The func it returns ends that.
func (r *produceRun) showProgress() (stop func()) {
	every := 10 * time.Second
	var bar *progressbar.ProgressBar
	if isTerminal(r.w.stderr) {
		every = 200 * time.Millisecond
		bar = progressbar.NewOptions64(-1, progressbar.OptionSetWriter(r.w.stderr), progressbar.OptionClearOnFinish(),
			progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("records"))
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				if bar != nil {
					_ = bar.Finish()
				}
				return
			case <-tick.C:
			}
			s := r.sum()
			text := fmt.Sprintf("%s spooled, %s acked", humanize.Comma(int64(s.Spooled)), humanize.Comma(int64(s.Acked)))
			if bar != nil {
				bar.Describe(text)
				_ = bar.Set64(int64(s.Spooled))
				continue
			}
			rate := float64(s.Spooled) / time.Since(r.begin).Seconds()
			fmt.Fprintf(r.w.stderr, "spoold: %s, %s records/s\n", text, humanize.Comma(int64(rate)))
		}
	}()
	return func() { close(done); <-gone }
}
