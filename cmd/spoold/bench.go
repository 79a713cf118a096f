package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/bench"
)

func benchCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "bench",
		Usage: "measure this disk and this cluster",
		UsageText: "spoold bench -c FILE | -b HOST:PORT [--size BYTES] [--duration DURATION] [-t TOPIC] [--json]\n   spoold bench --no-link [--spool DIR]\n\n" +
			"Example: what a record costs here, with the daemon's own configuration, while it is stopped:\n\n" +
			"   spoold bench -c /etc/spoold/spoold.yaml",
		Description: "It measures how long a sync takes, how long one caller waits until a record is spooled and until it is acked, and how\n" +
			"many records a second are spooled and acked. Records go through a spool of its own, in the directory of --spool or\n" +
			"spool.path, to a topic of its own. Both are removed at the end, so this user must be allowed to create and delete topics;\n" +
			"with -t TOPIC the records go to a topic that is there, and stay in it. It writes at most 1 GiB, and does not run beside a\n" +
			"daemon on the same spool, which it would slow down.\n" +
			"Exit code 69: the cluster did not take the records in time; 75: the spool is in use.",
		Flags: []cli.Flag{
			configFlag(), brokerFlag(), keyFlag(), spoolFlag("spool.path; default: the daemon's"),
			&cli.StringFlag{Name: "topic", Aliases: []string{"t"}, Usage: "send to this `TOPIC`, which is there, and leave the records in it"},
			&cli.IntFlag{Name: "size", Value: 100, Usage: "`BYTES` of a record's value"},
			&cli.DurationFlag{Name: "duration", Value: 3 * time.Second, Usage: "of each of the three or four phases, `DURATION`"},
			&cli.DurationFlag{Name: "timeout", Value: time.Minute, Usage: "how long the cluster may take for the rest, `DURATION`"},
			&cli.BoolFlag{Name: "no-link", Usage: "measure this disk only"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error {
			o, err := benchOptions(w, c)
			if err != nil {
				return err
			}
			return runBench(w, c, o)
		},
	}
}

func benchOptions(w *world, c *cli.Context) (*bench.Options, error) {
	if err := noArgs(c); err != nil {
		return nil, err
	}
	s, err := readSettings(w, c)
	if err != nil {
		return nil, err
	}
	link := !c.Bool("no-link")
	switch size, during := c.Int("size"), c.Duration("duration"); {
	case link && len(s.cfg.BootstrapServers) == 0:
		return nil, usagef("bench: no cluster is named: use -c FILE or -b HOST:PORT, or --no-link to measure this disk only")
	case size < 0 || int64(size) > s.cfg.MaxRequestSize/2:
		return nil, usagef("bench: --size %d: it must be 0 to %d, half of max.request.size", size, s.cfg.MaxRequestSize/2)
	case during < 100*time.Millisecond || during > 10*time.Minute:
		return nil, usagef("bench: --duration %v: it must be 100ms to 10m", during)
	}
	if s.cfg.SpoolPath == "" {
		if s.cfg.SpoolPath, err = w.serveSpool(); err != nil {
			return nil, err
		}
	}
	if !link {
		s.cfg.BootstrapServers = []string{"127.0.0.1:1"}
	}
	if err := s.check(w); err != nil {
		return nil, err
	}
	if err := unused(c.Context, s.cfg.SpoolPath); err != nil {
		return nil, err
	}
	o := &bench.Options{Config: s.cfg, Dir: nearest(s.cfg.SpoolPath), Size: c.Int("size"), Duration: c.Duration("duration"), Drain: c.Duration("timeout")}
	if link {
		o.Topic = c.String("topic")
		if o.Topic == "" {
			o.Topic = fmt.Sprintf("spoold-bench-%08x", rand.Uint32())
		}
	}
	return o, nil
}

// unused says that a process has the spool open.
func unused(ctx context.Context, dir string) error {
	_, pid, err := lookAt(ctx, dir)
	var locked *spoold.LockedError
	switch {
	case err == nil && pid != 0:
		return exitf(exitTemporary, "bench: the spool %s is in use by process %d, which would be slowed down: stop it, or measure another disk with --spool DIR", dir, pid)
	case errors.As(err, &locked):
		return exitf(exitTemporary, "bench: %w: wait for its end, or measure another disk with --spool DIR", err)
	}
	return nil // whatever else is wrong with it, it is not used here
}

// nearest is the directory itself, or the first one above it that is there.
func nearest(dir string) string {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
		above := filepath.Dir(dir)
		if above == dir {
			return dir
		}
		dir = above
	}
}

const topicTimeout = 15 * time.Second

// benchPartitions are those of the topic of its own.
const benchPartitions = 3

func runBench(w *world, c *cli.Context, o *bench.Options) (err error) {
	if o.Topic != "" && !c.IsSet("topic") {
		remove, err := benchTopic(c.Context, o)
		if err != nil {
			return err
		}
		defer func() {
			if fault := remove(); fault != nil {
				fmt.Fprintf(w.stderr, "spoold: bench: topic %s could not be removed: %v: remove it\n", o.Topic, fault)
			}
		}()
	}
	o.Say = func(phase string) {
		if isTerminal(w.stderr) {
			fmt.Fprintf(w.stderr, "\r\033[K%s…", phase)
		}
	}
	r, err := bench.Run(c.Context, *o)
	if isTerminal(w.stderr) {
		fmt.Fprint(w.stderr, "\r\033[K")
	}
	var slow *bench.SlowClusterError
	switch {
	case errors.As(err, &slow):
		err = exitf(exitUnavailable, "bench: %w", err)
	case err != nil && c.Context.Err() != nil:
		return exitf(exitProblem, "bench: interrupted; nothing was left behind")
	case err != nil:
		return fmt.Errorf("bench: %w", err)
	}
	return errors.Join(writeBench(w.stdout, r, c.Bool("json")), err)
}

func writeBench(out io.Writer, r *bench.Result, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(out).Encode(r)
	}
	r.Print(out)
	return nil
}

// benchTopic makes the topic. remove deletes it, whatever became of the context.
func benchTopic(ctx context.Context, o *bench.Options) (remove func() error, err error) {
	limit, cancel := context.WithTimeout(ctx, topicTimeout)
	defer cancel()
	if err := spoold.CreateTopic(limit, o.Config, o.Topic, benchPartitions); err != nil {
		return nil, exitf(exitUnavailable, "bench: topic %s cannot be created: %w (with -t TOPIC the records go to a topic that is there, and stay in it)", o.Topic, err)
	}
	return func() error {
		limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), topicTimeout)
		defer cancel()
		return spoold.DeleteTopic(limit, o.Config, o.Topic)
	}, nil
}
