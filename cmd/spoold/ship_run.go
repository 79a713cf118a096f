package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship/follow"
)

// shipRun is one run of ship.
type shipRun struct {
	w       *world
	s       *settings
	topic   string
	to      spoold.Partition // the zero value: any
	follow  follow.Options
	family  *family // nil: --spool was given
	acked   bool
	timeout time.Duration
	json    bool
	log     *slog.Logger
}

// shipped is what a run came to; --json prints it.
type shipped struct {
	produced
	Files      int64 `json:"files"`
	TooLong    int64 `json:"too_long"`
	Gaps       int64 `json:"gaps"`
	GapBytes   int64 `json:"gap_bytes"`
	SplitLines int64 `json:"split_lines"`
}

func (r *shipRun) run(ctx context.Context) error {
	if _, err := follow.New(r.follow, nil); err != nil { // before anything is made
		return &exitError{exitUsage, err}
	}
	r.log = newLogger(r.w.stderr, logLevel(r.s.own.LogLevel), r.s.own.LogFormat)
	d, err := openDirs(ctx, r.s, &family{dirs: []string{r.s.cfg.SpoolPath}}, nil, r.log)
	if err != nil {
		return err
	}
	if err := d.hasPartition(ctx, "ship", &spoold.Record{Topic: r.topic, Partition: r.to}); err != nil {
		return errors.Join(err, d.close(ctx))
	}
	bindFollow(&r.follow, d.own, &r.s.cfg, r.topic, r.log)
	f, err := follow.New(r.follow, sinkOf{d.own})
	if err == nil {
		err = r.work(ctx, d, f)
	}
	if id := d.own.Status().ClusterID; id != "" {
		err = errors.Join(err, r.family.record(d.ownDir, id))
	}
	// Counters are of what is on disk: the last acks get there with the close.
	err = errors.Join(err, d.close(ctx))
	return errors.Join(coded(err), r.say(d, f.Stats()))
}

// bindFollow adds what a follower needs of the spool and of this host.
func bindFollow(o *follow.Options, p *spoold.Producer, cfg *spoold.Config, topic string, log *slog.Logger) {
	o.Report = logFollow(log)
	o.KeepDir = tooLongDir(cfg.SpoolPath)
	o.MaxBatch = batchFor(p, cfg)
	o.MaxOpen = maxOpenFiles()
	o.Namespace = namespace(topic)
}

// batchFor is how many bytes of a file go in one commit: no more than a small spool takes at once, which is a quarter of it.
func batchFor(p *spoold.Producer, cfg *spoold.Config) int {
	most := min(cfg.MaxRequestSize, 1<<20)
	if limit := p.Status().SpoolLimitBytes; limit > 0 {
		most = min(most, max(limit/4-4<<10, 32<<10))
	}
	return int(most)
}

// work follows the files, and waits for what was asked.
func (r *shipRun) work(ctx context.Context, d *produceDirs, f *follow.Follower) error {
	if err := r.family.record(d.ownDir, ""); err != nil {
		return &exitError{exitCannotCreate, err}
	}
	r.log.Info("ready", "event", "ready", "version", spoold.Version(), "spool", r.s.cfg.SpoolPath, "brokers", r.s.cfg.BootstrapServers,
		"topic", r.topic, "files", r.follow.Patterns, "pending", d.base.Pending)
	err := followUntil(ctx, f, d.own)
	if !r.follow.Once || ctx.Err() != nil {
		return err
	}
	if err == nil {
		err = r.missing()
	}
	if full := d.noRoom(err, r.timeout, "the same command delivers it, and reads on where this one stopped"); full != err { //nolint:errorlint // it is not wrapped
		return full
	}
	if n := f.Stats().TooLong; n > 0 && r.follow.TooLong == follow.DeadLetter {
		err = errors.Join(err, exitf(exitProblem, "%s over the limit: kept in %s", plural(uint64(n), "line"), r.follow.KeepDir))
	}
	if r.acked {
		err = errors.Join(err, d.awaitAcks(ctx, r.timeout, func() string { return "the same command delivers it" }))
	}
	return err
}

// followUntil runs a follower until it ends, ctx does, or the producer stops.
func followUntil(ctx context.Context, f *follow.Follower, p *spoold.Producer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.Done():
			cancel()
		case <-ctx.Done():
		}
	}()
	err := f.Run(ctx)
	if fault := p.Err(); fault != nil {
		return fault
	}
	return err
}

// sinkOf is a producer as a follower needs it.
type sinkOf struct{ *spoold.Producer }

func (s sinkOf) SendBatch(ctx context.Context, b spoold.Batch) (follow.Commit, error) {
	return s.Producer.SendBatch(ctx, b)
}

// namespace separates the positions of topics: a file goes once to each.
func namespace(topic string) string { return shortHash(topic) }

// tooLongDir is where lines are kept that are too long for a record.
func tooLongDir(spool string) string { return filepath.Clean(spool) + "-too-long" }

// maxOpenFiles leaves half of the descriptors to the spool, to brokers and to clients.
func maxOpenFiles() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || runtime.GOOS == "windows" {
		return 0 // the default
	}
	return int(min(limit.Cur/2, 8192))
}

// missing says which files that were named without a wildcard are not there.
func (r *shipRun) missing() error {
	var gone []string
	for _, p := range r.follow.Patterns {
		if _, err := filepath.Glob(p); err == nil && !strings.ContainsAny(p, `*?[\`) && !exists(p) {
			gone = append(gone, p)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	others := ""
	if len(gone) < len(r.follow.Patterns) {
		others = "; what is in the others was read"
	}
	return exitf(exitProblem, "ship: %s: no such file%s", strings.Join(gone, ", "), others)
}

// logFollow writes a follower's events to the log.
func logFollow(log *slog.Logger) func(follow.Event) {
	return func(e follow.Event) {
		args := []any{"event", string(e.Kind)}
		if e.Path != "" {
			args = append(args, "file", e.Path)
		}
		switch e.Kind {
		case follow.Opened:
			log.Info("reading file", append(args, "offset", e.Offset)...)
		case follow.Rotated:
			log.Info("file has moved", append(args, "offset", e.Offset, "detail", e.Detail)...)
		case follow.Gap:
			log.Warn("lines may be missing", append(args, "offset", e.Offset, "bytes", e.Bytes, "detail", e.Detail)...)
		case follow.TooLong:
			log.Warn("line is too long", append(args, "offset", e.Offset, "bytes", e.Bytes, "detail", e.Detail)...)
		case follow.Split:
			log.Warn("record was cut in two", append(args, "offset", e.Offset, "detail", e.Detail)...)
		case follow.Failed:
			log.Warn("file cannot be read", append(args, "err", e.Detail)...)
		case follow.Waiting:
			log.Warn("files are not read on", append(args, "err", e.Detail)...)
		}
	}
}

// coded gives a follower's errors their exit codes.
func coded(err error) error {
	var own *exitError
	var long *follow.TooLongError
	var file *follow.FileError
	switch {
	case errors.As(err, &own):
	case errors.As(err, &long):
		return &exitError{exitProblem, err}
	case errors.As(err, &file) && errors.Is(err, fs.ErrPermission):
		return &exitError{exitPermission, err}
	case errors.As(err, &file):
		return &exitError{exitProblem, err}
	}
	return err
}

func (r *shipRun) say(d *produceDirs, f follow.Stats) error {
	p := d.sum(uint64(f.Records))
	text := p.line()
	if f.TooLong > 0 {
		text += fmt.Sprintf(", %s too long", plural(uint64(f.TooLong), "line"))
	}
	if f.Gaps > 0 {
		text += fmt.Sprintf(", %s", plural(uint64(f.Gaps), "gap"))
	}
	fmt.Fprintln(r.w.stderr, text)
	if !r.json {
		return nil
	}
	return encodeResult(r.w, shipped{p, f.Files, f.TooLong, f.Gaps, f.GapBytes, f.Splits})
}

// defaultSpool is the spool of this cluster and topic. A second run on it is refused: it would read the same files.
func (r *shipRun) defaultSpool(ctx context.Context) error {
	f, err := r.w.family(ctx, &r.s.cfg, "ship", r.topic)
	if err != nil {
		return err
	}
	r.family = f
	r.s.cfg.SpoolPath = f.fresh(0)
	if len(f.dirs) > 0 {
		r.s.cfg.SpoolPath = f.dirs[0]
	}
	return nil
}
