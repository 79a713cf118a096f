package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
)

func flushCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "flush",
		Usage: "deliver what is pending in spools, then end; reads no input",
		UsageText: "spoold flush [-b HOST:PORT] [--spool DIR | -c FILE] [flags]\n\n" +
			"Example: after an interrupted spoold produce, whose input is not to be read again:\n\n   spoold flush -b localhost:9092",
		Description: "Without --spool it takes all spools that produce and ship made for this user, or with -b those of that cluster. A spool\n" +
			"that a daemon has is waited for. Exit codes: 0 all is delivered; 1 records were refused, expired, or lost by damage to a spool; 69 the cluster did not answer\n" +
			"in time and the records stay spooled; 75 a spool is in use by another run; 78 configuration; 64 usage.",
		Flags: []cli.Flag{
			configFlag(), brokerFlag(), keyFlag(), spoolFlag("default: all that produce and ship made"),
			&cli.DurationFlag{Name: "timeout", Value: 5 * time.Minute, Usage: "the longest wait for the cluster"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			return flush(w, c)
		},
	}
}

// flushed is what a run of flush came to; --json prints it.
type flushed struct {
	Spools       int    `json:"spools"` // that had something pending
	Acked        uint64 `json:"acked"`
	Pending      uint64 `json:"pending"`
	DeadLettered uint64 `json:"dead_lettered"`
	Lost         uint64 `json:"lost"`       // by damage to a spool
	Unreadable   int    `json:"unreadable"` // spools that could not be looked into: what is pending there is not counted
}

// line is the summary.
func (f *flushed) line() string {
	text := "nothing is pending"
	if f.Spools > 0 {
		text = fmt.Sprintf("%s acked, %s pending in %s", plural(f.Acked, "record"), comma(f.Pending), plural(f.Spools, "spool"))
		if f.DeadLettered > 0 {
			text += fmt.Sprintf(", %s dead-lettered", comma(f.DeadLettered))
		}
		if f.Lost > 0 {
			text += fmt.Sprintf(", %s lost", comma(f.Lost))
		}
	} else if f.Unreadable > 0 {
		text = "nothing was delivered"
	}
	if f.Unreadable > 0 {
		text += fmt.Sprintf("; %s cannot be looked into: what is pending there is not known", plural(f.Unreadable, "spool"))
	}
	return text
}

// flushing collects what the spools of one run come to.
type flushing struct {
	w   *world
	mu  sync.Mutex
	sum flushed
	err error
}

func flush(w *world, c *cli.Context) error {
	s, err := readSettings(w, c)
	if err == nil {
		s.warn(w)
		err = joinCoded(slices.Concat(s.faults, s.strays))
	}
	if err != nil {
		return err
	}
	timeout := c.Duration("timeout")
	if timeout <= 0 {
		return usagef("flush: --timeout %v: it must be above 0", timeout)
	}
	jobs, err := flushJobs(c.Context, w, s)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, timeout)
	defer cancel()
	f := &flushing{w: w}
	var all sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, spools := range jobs {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			for _, cfg := range spools { // of one topic: in this order, and none before the last one is done
				if !f.one(ctx, cfg) {
					return
				}
			}
		})
	}
	all.Wait()
	fmt.Fprintln(w.stderr, f.sum.line())
	if c.Bool("json") {
		return errors.Join(f.err, encodeResult(w, f.sum))
	}
	return f.err
}

// flushJobs are the spools to be delivered, those of one cluster and topic together.
func flushJobs(ctx context.Context, w *world, s *settings) (map[string][]spoold.Config, error) {
	jobs := make(map[string][]spoold.Config)
	if s.cfg.SpoolPath != "" {
		if len(s.cfg.BootstrapServers) == 0 {
			s.cfg.BootstrapServers = readOrigin(s.cfg.SpoolPath).Servers
		}
		if len(s.cfg.BootstrapServers) == 0 {
			s.cfg.BootstrapServers = []string{""} // is needed only if no daemon has the spool
		}
		jobs[""] = []spoold.Config{s.cfg}
		return jobs, nil
	}
	var id string
	if len(s.cfg.BootstrapServers) > 0 {
		probe, cancel := context.WithTimeout(ctx, probeTimeout)
		id, _ = spoold.ClusterID(probe, s.cfg) // an error says that it is not known
		cancel()
	}
	of := origin{Servers: s.cfg.BootstrapServers, ClusterID: id}
	spools, err := w.userSpools()
	if err != nil {
		return nil, err
	}
	for _, u := range spools {
		if len(of.Servers) > 0 && !of.sameCluster(&u.of) || u.of.Command == "" {
			continue
		}
		cfg := s.cfg
		cfg.SpoolPath = u.dir
		if len(of.Servers) == 0 {
			cfg.BootstrapServers = u.of.Servers
		}
		key := u.of.ClusterID + "\n" + u.of.Topic
		jobs[key] = append(jobs[key], cfg)
	}
	return jobs, nil
}

// userSpools lists the spools that produce, ship and serve made for this user.
func (w *world) userSpools() (all []userSpool, err error) {
	state, err := w.stateDir()
	if err != nil {
		return nil, err
	}
	for _, command := range []string{"produce", "ship"} {
		found, err := spoolsIn(filepath.Join(state, command))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	if dir := filepath.Join(state, "serve"); exists(filepath.Join(dir, "lock")) {
		all = append(all, userSpool{dir: dir})
	}
	return all, nil
}

// one delivers what a spool holds. false: something stays pending.
func (f *flushing) one(ctx context.Context, cfg spoold.Config) bool {
	out, err := flushSpool(ctx, f.w, cfg)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sum.Spools += out.Spools
	f.sum.Acked += out.Acked
	f.sum.Pending += out.Pending
	f.sum.DeadLettered += out.DeadLettered
	f.sum.Lost += out.Lost
	f.sum.Unreadable += out.Unreadable
	f.err = errors.Join(f.err, err)
	return out.Pending == 0
}

func flushSpool(ctx context.Context, w *world, cfg spoold.Config) (out flushed, err error) {
	before, pid, err := lookAt(ctx, cfg.SpoolPath)
	var corrupt *spoold.CorruptError
	switch {
	case errors.As(err, &corrupt): // a start sets aside what it can, or says that it cannot
		before, pid = &spoold.Status{}, 0
	case err != nil:
		return flushed{Unreadable: 1}, err
	case before.Pending == 0:
		return flushed{}, nil
	case pid != 0:
		return watchSpool(ctx, cfg.SpoolPath, before)
	}
	out.Spools, out.Pending = 1, before.Pending
	if cfg.BootstrapServers[0] == "" {
		return out, usagef("flush: it is not known which cluster %s is for: use -b HOST:PORT or -c FILE", cfg.SpoolPath)
	}
	d, err := openDirs(ctx, &settings{cfg: cfg}, &family{dirs: []string{cfg.SpoolPath}}, nil, nil)
	switch {
	case err != nil && corrupt != nil:
		return flushed{Unreadable: 1}, err
	case err != nil:
		return out, err
	case corrupt != nil:
		before.Pending = d.pending()
	}
	// Others may be delivered at the same time: lines, and no bar.
	shown := &progress{out: w.stderr, notes: lagNotes{where: cfg.SpoolPath}, lag: d.lag, line: func() string {
		return fmt.Sprintf("%s: %s of %s acked", cfg.SpoolPath, comma(d.acked()), plural(before.Pending, "record"))
	}}
	stop := shown.show()
	// The timeout is ctx's.
	err = d.awaitAcks(ctx, time.Hour, func() string { return "spoold flush" + d.flushArgs() + " delivers it" })
	stop()
	err = errors.Join(err, d.close(ctx))
	out.Acked, out.Pending, out.DeadLettered, out.Lost = d.acked(), d.pending(), d.deadLettered(), d.lost()
	return out, err
}

// watchSpool waits for the daemon that has a spool to deliver it.
func watchSpool(ctx context.Context, dir string, before *spoold.Status) (out flushed, err error) {
	client := admin.NewClient(dir)
	defer client.Close()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for now := before; ; {
		out = flushed{
			Spools: 1, Acked: now.Acked - before.Acked, Pending: now.Pending, DeadLettered: now.DeadLettered - before.DeadLettered, Lost: now.Lost - before.Lost,
		}
		if now.Pending == 0 {
			return out, undelivered(before, now, dir)
		}
		select {
		case <-ctx.Done():
			return out, exitf(exitUnavailable, "the cluster did not ack %s in time: they stay spooled in %s, and the daemon goes on", plural(now.Pending, "record"), dir)
		case <-tick.C:
		}
		if now, _, err = client.Status(context.WithoutCancel(ctx)); err != nil {
			return out, fmt.Errorf("the daemon on %s does not answer any more: %w", dir, err)
		}
	}
}

// undelivered says so when records that a daemon had went another way than to the cluster.
func undelivered(before, now *spoold.Status, dir string) error {
	var what []string
	for _, x := range []struct {
		n   uint64
		how string
	}{
		{now.DeadLettered - before.DeadLettered, "put to the dead letters, see spoold dlq ls"},
		{now.Expired - before.Expired, "expired or dropped by policy"},
		{now.Lost - before.Lost, "lost by damage to the spool, see spoold ls"},
	} {
		if x.n > 0 {
			what = append(what, plural(x.n, "record")+" "+x.how)
		}
	}
	if len(what) == 0 {
		return nil
	}
	return exitf(exitProblem, "not delivered of %s: %s", dir, strings.Join(what, "; "))
}
