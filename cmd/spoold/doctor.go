package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
	"github.com/spoold/spoold/cmd/spoold/internal/doctor"
)

func doctorCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "look for what would keep spoold from its promise, and say what to do",
		UsageText: "spoold doctor -c FILE [-t TOPIC…] [--no-link] [--json]\n   spoold doctor -b HOST:PORT [-t TOPIC…]\n\n" +
			"Example: before the first start, and whenever something seems wrong:\n\n" +
			"   spoold doctor -c /etc/spoold/spoold.yaml -t orders",
		Description: "It looks at the configuration, the spool's directory, file system and free space, how long a sync takes, descriptors,\n" +
			"the clock, certificates that have expired or will soon, every bootstrap server and broker, the rights of this user and\n" +
			"settings of the topics (those of -t and those that the spool holds). It changes nothing: a file that it writes to time the\n" +
			"disk is removed. Run it as the daemon's user.\n" +
			"Exit code 0: all is well or there are warnings; 1: a fault; 78: the configuration has a fault.",
		Flags: []cli.Flag{
			configFlag(), brokerFlag(), keyFlag(), spoolFlag("spool.path; default: the daemon's"),
			&cli.StringSliceFlag{Name: "topic", Aliases: []string{"t"}, Usage: "`TOPIC` to look at; may be given again"},
			&cli.BoolFlag{Name: "no-link", Usage: "look at this host only"},
			&cli.DurationFlag{Name: "timeout", Value: time.Minute, Usage: "give up after `DURATION`"},
			jsonFlag(),
		},
		Action: func(c *cli.Context) error { return runDoctor(w, c) },
	}
}

func runDoctor(w *world, c *cli.Context) error {
	if err := noArgs(c); err != nil {
		return err
	}
	s, err := readSettings(w, c)
	if err != nil {
		return err
	}
	if len(s.cfg.BootstrapServers) == 0 && !c.Bool("no-link") {
		return usagef("doctor: no cluster is named: use -c FILE or -b HOST:PORT, or --no-link to look at this host only")
	}
	if s.cfg.SpoolPath == "" {
		if s.cfg.SpoolPath, err = w.serveSpool(); err != nil {
			return err
		}
	}
	if len(s.cfg.BootstrapServers) > 0 {
		if err := s.validate(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	st, pid, lookErr := look(c, s.cfg.SpoolPath)
	st, host := s.found(st, pid, lookErr)
	r := s.examine(ctx, st, host, c.StringSlice("topic"), !c.Bool("no-link"))
	if c.Bool("json") {
		err = json.NewEncoder(w.stdout).Encode(r)
	} else {
		printReport(w.stdout, r)
	}
	if err == nil && r.Worst() == doctor.Fault {
		err = &exitError{code: exitProblem}
	}
	return err
}

// found is what a look into the spool gave: its status, empty if there is none yet or it is of no use, and what it says of a start.
func (s *settings) found(st *spoold.Status, pid int, looked error) (*spoold.Status, doctor.Host) {
	var host doctor.Host
	if looked != nil {
		st = &spoold.Status{}
	}
	if errors.Is(looked, admin.ErrSilent) {
		host.Silent = looked.Error()
	} else if pid == 0 {
		s.preflight(&host, looked)
	}
	host.SpoolFull = st.SpoolFull
	return st, host
}

// preflight finds out whether serve starts on the spool. looked is the error of a look into it.
func (s *settings) preflight(h *doctor.Host, looked error) {
	var locked *spoold.LockedError
	var damage *spoold.CorruptError
	err := spoold.Preflight(&s.cfg)
	dir := s.cfg.SpoolPath
	switch {
	case errors.As(err, &locked):
		h.Suspect, h.Remedy = err.Error()+": no daemon starts before it ends", "wait for it, or end it"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOTDIR): // the look at the directory says so
	case err != nil:
		h.Refused = err
		switch {
		case errors.Is(err, spoold.ErrForeign):
			h.Remedy = "put the original back, or, if it is gone: spoold serve --adopt-spool, once"
		case errors.As(err, &damage):
			h.Remedy = "with no daemon running: spoold repair " + shellWord(dir) + " -o NEW"
		}
	case errors.As(looked, &damage):
		h.Suspect, h.Remedy = looked.Error()+": serve sets it aside and delivers the rest", "spoold check --spool "+shellWord(dir)+" lists what is damaged; spoold ls what is lost, after the start"
	}
}

// examine looks at the host and, with link, at the cluster.
func (s *settings) examine(ctx context.Context, st *spoold.Status, host doctor.Host, topics []string, link bool) *doctor.Report {
	r := &doctor.Report{}
	for _, warning := range s.warnings() {
		r.Findings = append(r.Findings, doctor.Finding{Check: "configuration", Level: doctor.Warning, What: warning})
	}
	host.SpoolPath, host.MaxBytes, host.MinFreeBytes, host.ProgramBuiltAt = s.cfg.SpoolPath, s.cfg.SpoolMaxBytes, s.cfg.SpoolMinFreeBytes, builtAt()
	if listens(s.own.HTTPListen) {
		host.Connections = int(s.own.HTTPMaxConnections)
	}
	host.Look(ctx, r)
	doctor.Certificates(r, s.certificates(), time.Now())
	if !link {
		return r
	}
	cluster := doctor.Cluster{BatchSize: s.cfg.BatchSize, MaxRequestSize: s.cfg.MaxRequestSize, CreateTopics: s.cfg.TopicsCreate, Transactions: s.cfg.TransactionalID != ""}
	cluster.KnownID = st.ClusterID
	for _, t := range st.Topics {
		topics = append(topics, t.Topic)
	}
	facts, err := spoold.Probe(ctx, s.cfg, spoold.Env{}, unique(topics))
	cluster.Look(r, facts, err)
	return r
}

// unique keeps the first of each, at most a thousand: one request asks about all of them.
func unique(list []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range list {
		if !seen[s] && len(out) < 1000 {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

// builtAt is when the source of this program was committed, if the build says so.
func builtAt() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
					return t
				}
			}
		}
	}
	return time.Time{}
}

func printReport(out io.Writer, r *doctor.Report) {
	counts := map[doctor.Level]int{}
	for _, f := range r.Findings {
		counts[f.Level]++
		fmt.Fprintf(out, "%-8s %s: %s\n", f.Level, f.Check, f.What)
		if f.Do != "" {
			fmt.Fprintf(out, "%-8s   → %s\n", "", f.Do)
		}
	}
	fmt.Fprintf(out, "%s, %s\n", plural(counts[doctor.Fault], "fault"), plural(counts[doctor.Warning], "warning"))
}
