package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship"
	"github.com/spoold/spoold/cmd/spoold/internal/ship/follow"
)

// produceRun is one run of produce. Its fields are work's alone, but for the counter.
type produceRun struct {
	w     *world
	o     produceOpts
	dirs  *produceDirs
	last  spoold.Delivery // of the newest record: the spool keeps order, so it stands for all
	begin time.Time
	sent  atomic.Uint64

	progress atomic.Pointer[follow.Follower] // while a file is read: it counts what was sent
	skipped  int64                           // records that were too long
	keep     *follow.Keeper                  // takes one

	units *unitSender // under a transactional id
}

// goesOn says what to do after a run on a file that did not come to its end.
const goesOn = "the same command delivers it, and goes on with the file"

// interruptGrace is how long acks are waited for after SIGINT.
const interruptGrace = 2 * time.Second

// stream sends what stdin or a pipe has, and waits for what was asked.
func (r *produceRun) stream(ctx context.Context, in io.Reader) error {
	if err := r.feed(ctx, in); err != nil {
		return r.noRoom(err)
	}
	if r.units != nil {
		if err := r.endUnits(ctx); err != nil {
			return r.noRoom(err)
		}
	} else if r.sent.Load() > 0 {
		// Not under ctx: the sync is short, and its end is the answer.
		if err := r.last.Spooled(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return r.wait(ctx, func() string {
		return "spoold flush" + r.dirs.flushArgs() + " delivers it, without reading the input again"
	})
}

// noRoom says how to go on with an input that cannot be read again.
func (r *produceRun) noRoom(err error) error {
	return r.dirs.noRoom(err, r.o.timeout, fmt.Sprintf("spoold flush%s delivers it; give the rest of the input, from record %s on, to a new run",
		r.dirs.flushArgs(), comma(r.sent.Load()+1)))
}

// file sends what was not sent of a file, and waits for what was asked.
func (r *produceRun) file(ctx context.Context) error {
	path, err := filepath.EvalSymlinks(r.o.file)
	if err != nil {
		return exitf(exitUsage, "produce: -l: %w", err)
	}
	before := int64(-1)
	f, err := follow.New(follow.Options{
		Patterns: []string{path}, Namespace: namespace(r.o.shape.template.Topic), Single: true, Once: true, Restart: r.o.again,
		Format:  ship.Format{Delim: r.o.delim, Max: r.o.shape.maxLine(r.dirs.cfg.MaxRequestSize)},
		Record:  r.o.shape.of,
		TooLong: r.o.tooLong, KeepDir: tooLongDir(r.dirs.ownDir), MaxBatch: batchFor(r.dirs.own, &r.dirs.cfg),
		Report: func(e follow.Event) {
			switch e.Kind {
			case follow.Opened:
				before = e.Offset
			case follow.Gap, follow.TooLong, follow.Split, follow.Failed, follow.Waiting:
				fmt.Fprintf(r.w.stderr, "spoold: %s, byte %s: %s\n", r.o.file, humanize.Comma(e.Offset), e.Detail)
			}
		},
		MaxRecords: r.units.room(),
	}, r.sink())
	if err != nil {
		return &exitError{exitUsage, err}
	}
	r.progress.Store(f)
	err = followUntil(ctx, f, r.dirs.own)
	r.progress.Store(nil)
	err = r.endFileUnits(ctx, err)
	st := f.Stats()
	r.sent.Store(uint64(st.Records))
	if r.units != nil {
		r.sent.Store(uint64(r.units.committed))
	}
	r.skipped = st.TooLong
	if err != nil {
		return coded(r.dirs.noRoom(err, r.o.timeout, goesOn))
	}
	if before > 0 {
		fmt.Fprintf(r.w.stderr, "spoold: %s was read from byte %s on: what stands before was spooled by an earlier run (--again sends all of it again)\n", r.o.file, humanize.Comma(before))
	}
	err = r.wait(ctx, func() string { return goesOn })
	if err == nil && ctx.Err() != nil {
		err = exitf(exitTemporary, "interrupted: the same command goes on with %s where this one stopped", r.o.file)
	}
	return err
}

// wait waits for the acks, if they were asked for. then says what to do if they do not come.
func (r *produceRun) wait(ctx context.Context, then func() string) error {
	var err error
	if r.o.acked {
		err = r.dirs.awaitAcks(ctx, r.o.timeout, then)
	}
	if r.skipped > 0 && r.o.tooLong == follow.DeadLetter {
		kept := exitf(exitProblem, "%s over the limit: kept in %s", plural(uint64(r.skipped), "record"), tooLongDir(r.dirs.ownDir))
		err = errors.Join(err, kept)
	}
	return err
}

// feed reads and sends until the end of the input, or of ctx.
func (r *produceRun) feed(ctx context.Context, in io.Reader) error {
	chunks, ended := readChunks(ctx, in)
	split := ship.Splitter{Format: ship.Format{Delim: r.o.delim, Max: r.o.shape.maxLine(r.dirs.cfg.MaxRequestSize)}}
	var held []byte // the beginning of a record whose end has not been read
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
		if !more && ctx.Err() != nil {
			return nil //nolint:nilerr // interrupted: what is held may be half a record, and the caller says so
		}
		held = append(held, chunk...)
		rest, err := r.cut(ctx, &split, held, !more)
		if err != nil {
			return stopped(ctx, err)
		}
		held = append(held[:0], rest...)
		if !more {
			break
		}
	}
	if err := <-ended; err != nil {
		return exitf(exitIO, "produce: reading the input after record %s: %w", comma(r.sent.Load()), err)
	}
	return nil
}

// cut sends the records of the input, and gives back what is not whole yet.
func (r *produceRun) cut(ctx context.Context, split *ship.Splitter, in []byte, end bool) (rest []byte, err error) {
	for len(in) > 0 || end && split.Skipping() {
		p := split.Next(in, end)
		if p.Kind == ship.More {
			break
		}
		if p.Kind == ship.Record {
			err = r.send(ctx, p.Value)
		} else {
			err = r.over(in[:p.Bytes], p.Kind == ship.SkipEnd, split.Max)
		}
		if err != nil {
			return nil, err
		}
		in = in[p.Bytes:]
	}
	return in, nil
}

// over takes a piece of a record that is too long.
func (r *produceRun) over(piece []byte, end bool, limit int) error {
	switch r.o.tooLong {
	case follow.Fail:
		return exitf(exitProblem, "record %s is larger than max.request.size allows (%s bytes here): it is not sent and nothing behind it is read; what came before it is spooled in %s. "+
			"Choose --too-long skip or dead-letter to go on", comma(r.sent.Load()+1), humanize.Comma(int64(limit)), r.dirs.where())
	case follow.DeadLetter:
		if r.keep == nil {
			k, err := follow.NewKeeper(tooLongDir(r.dirs.ownDir), fmt.Sprintf("stdin-%d-%d", time.Now().UnixNano(), r.sent.Load()+1))
			if err != nil {
				return &exitError{exitIO, err}
			}
			r.keep = k
		}
		if err := r.keep.Write(piece); err != nil {
			return &exitError{exitIO, err}
		}
	}
	if !end {
		return nil
	}
	r.skipped++
	if r.keep != nil {
		if err := r.keep.Finish(); err != nil {
			return &exitError{exitIO, err}
		}
		r.keep = nil
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
	if r.units != nil {
		return r.sendUnit(ctx, line)
	}
	rec := r.o.shape.record(line)
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
		return &exitError{codeOf(err), fmt.Errorf("record %s: %w; what came before it is spooled in %s", comma(r.sent.Load()+1), err, r.dirs.where())}
	}
	r.last = d
	r.sent.Add(1)
	return nil
}

// say prints the summary. Without stdout, a script would take silence for success.
func (r *produceRun) say(p produced) error {
	text := p.line()
	if r.skipped > 0 {
		text += fmt.Sprintf(", %s too long", comma(uint64(r.skipped)))
	}
	fmt.Fprintln(r.w.stderr, text)
	if !r.o.json {
		return nil
	}
	return encodeResult(r.w, p)
}

// encodeResult prints the object that scripts read.
func encodeResult(w *world, v any) error { return json.NewEncoder(w.stdout).Encode(v) }
