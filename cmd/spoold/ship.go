package main

import (
	"os"
	"regexp"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold/cmd/spoold/internal/ship"
	"github.com/spoold/spoold/cmd/spoold/internal/ship/follow"
)

func shipCommand(w *world) *cli.Command {
	flags := append(shapeFlags(), tooLongFlag(),
		&cli.BoolFlag{Name: "once", Usage: "read to the end of every file, wait for the acks, and stop"},
		&cli.StringFlag{Name: "multiline-start", Usage: "a line that matches `REGEX` begins a record; lines that do not belong to the record before them"},
		&cli.BoolFlag{Name: "key-file", Usage: "the key is the log's path, also after rotation: the lines of a log stay in order on a topic of several partitions"},
		&cli.BoolFlag{Name: "header-file", Usage: "a header file with the log's path, also after rotation"},
		&cli.BoolFlag{Name: "header-offset", Usage: "a header offset with the place of the record's first byte in the file"},
		&cli.BoolFlag{Name: "keep-cr", Usage: "keep the carriage return of lines that end in CRLF"},
		&cli.DurationFlag{Name: "poll", Value: time.Second, Usage: "how often files are looked at where changes are not notified, at least 10ms"},
		&cli.DurationFlag{Name: "quiet", Value: 5 * time.Second, Usage: "after so long without a change the last record of several lines, and an unfinished last line of a rotated file, are whole; at least 10ms"},
		&cli.IntFlag{Name: "remember", Value: 1000, Usage: "how many positions of files that are gone are kept"},
		configFlag(),
		spoolFlag("default: one per cluster and topic under the user's state directory"),
		&cli.StringFlag{Name: "wait", Value: "acked", Usage: "with --once: come back when all records are `spooled` or acked"},
		timeoutFlag("with --once: "),
		jsonFlag(),
	)
	return &cli.Command{
		Name:      "ship",
		Usage:     "follow files as tail -F does, and deliver each line to Kafka once",
		ArgsUsage: "FILE…",
		UsageText: "spoold ship -b HOST:PORT -t TOPIC [flags] FILE…\n\n" +
			"Example: audit logs with their rotated files, each line with the file's name and place:\n\n" +
			"   spoold ship -b localhost:9092 -t audit --header-file --header-offset '/var/log/audit/*.log'",
		Description: "FILE is a file, a directory (the files in it) or a glob; none of them needs to be there yet. How far each file was read\n" +
			"is committed to the spool together with its lines: after a kill, a power cut or a restart each line is delivered once, in\n" +
			"order. Rotated files (app.log.1, app.log-20261129, app.log.2.gz) are read to their end first. A file that was truncated before it\n" +
			"was read is reported as a gap. SIGTERM and SIGINT stop it; the same command goes on. Exit codes: 0 stopped, or with --once all\n" +
			"delivered; 1 a line over the limit (--too-long fail), dead letters, records lost by damage to the spool, or a file that cannot be read; 77 one that may not be; 69 the cluster did not answer in time\n" +
			"and the records stay spooled; 75 spool locked or full; 78 configuration; 64 usage, or a partition (-p) that\n" +
			"the topic does not have.",
		Flags: flags,
		Action: func(c *cli.Context) error {
			run, err := shipOptions(w, c)
			if err != nil {
				return err
			}
			return run.run(c.Context)
		},
	}
}

// shipOptions reads the command line.
func shipOptions(w *world, c *cli.Context) (*shipRun, error) {
	if !c.Args().Present() {
		return nil, usagef("ship: no file is given; for lines on stdin use spoold produce")
	}
	s, err := readSettings(w, c)
	if err != nil {
		return nil, err
	}
	if len(s.cfg.BootstrapServers) == 0 {
		return nil, usagef("ship: no broker is given: use -b HOST:PORT, or -c FILE with bootstrap.servers")
	}
	run := &shipRun{w: w, s: s, json: c.Bool("json"), timeout: c.Duration("timeout")}
	if c.Bool("once") { // else it waits for room as long as it runs
		err = s.waitsFor(c, run.timeout)
	}
	if err != nil {
		return nil, err
	}
	if run.acked, err = waitAcked(c, s); err != nil {
		return nil, err
	}
	if err := run.files(c); err != nil {
		return nil, err
	}
	if !c.IsSet("spool") && s.source["spool.path"] == "" {
		if err := run.defaultSpool(c.Context); err != nil {
			return nil, err
		}
	}
	return run, s.check(w)
}

// files reads what is followed, and how.
func (r *shipRun) files(c *cli.Context) error {
	form, err := shape(c)
	if err != nil {
		return err
	}
	form.keyFile, form.file, form.offset = c.Bool("key-file"), c.Bool("header-file"), c.Bool("header-offset")
	if form.keyFile && (form.keyDelim != nil || form.template.Key != nil) {
		return usagef("ship: --key-file and -k or -K both say what the key is: give one of them")
	}
	r.topic, r.to = form.template.Topic, form.template.Partition
	r.follow = follow.Options{
		Patterns: c.Args().Slice(), Once: c.Bool("once"), Poll: c.Duration("poll"), Quiet: c.Duration("quiet"),
		Remember: c.Int("remember"), Record: form.of,
		Format: ship.Format{Delim: []byte("\n"), Max: form.maxLine(r.s.cfg.MaxRequestSize), TrimCR: !c.Bool("keep-cr")},
	}
	if r.follow.TooLong, err = tooLong(c); err != nil {
		return err
	}
	for i, p := range r.follow.Patterns {
		r.follow.Patterns[i] = expandHome(p)
		if p == "-" {
			return usagef("ship: - is not a file: for lines on stdin use spoold produce")
		}
		if info, err := os.Stat(r.follow.Patterns[i]); err == nil && !info.IsDir() && !info.Mode().IsRegular() {
			return usagef("ship: %s is not a regular file: a pipe or a device cannot be followed; spoold produce reads one", p)
		}
	}
	for name, d := range map[string]time.Duration{"poll": r.follow.Poll, "quiet": r.follow.Quiet} {
		if d < leastPoll {
			return usagef("ship: --%s: it must be at least %v", name, leastPoll)
		}
	}
	if r.follow.Remember <= 0 {
		return usagef("ship: --remember: it must be above 0")
	}
	if start := c.String("multiline-start"); start != "" {
		re, err := regexp.Compile(start)
		if err != nil {
			return usagef("ship: --multiline-start %s: %w", start, err)
		}
		r.follow.Format.Starts = re.Match
	}
	return nil
}

// leastPoll is the least of --poll and --quiet: files would be looked at without a pause, or a record be cut between two of its lines.
const leastPoll = 10 * time.Millisecond

// timeoutFlag is the --timeout of a run that ends.
func timeoutFlag(when string) cli.Flag {
	return &cli.DurationFlag{Name: "timeout", Value: 5 * time.Minute,
		Usage: when + "the longest wait for the cluster: for the acks at the end, and for room in a full spool, which max.block.ms bounds, too"}
}

// waitsFor has a record wait for room in a full spool no longer than --timeout: it is the cluster that makes room.
func (s *settings) waitsFor(c *cli.Context, timeout time.Duration) error {
	if timeout <= 0 {
		return usagef("%s: --timeout %v: it must be above 0", c.Command.Name, timeout)
	}
	s.cfg.MaxBlock = min(s.cfg.MaxBlock, timeout)
	return nil
}

// waitAcked reads --wait.
func waitAcked(c *cli.Context, s *settings) (bool, error) {
	switch wait := c.String("wait"); wait {
	case "acked":
		return true, nil
	case "committed":
		if s.cfg.TransactionalID == "" {
			return false, usagef("%s: --wait committed is about transactions: use it with --transactional-id ID", c.Command.Name)
		}
		return true, nil
	case "spooled":
		return false, nil
	default:
		return false, usagef("%s: --wait %s: it must be spooled, acked or, under a transactional id, committed", c.Command.Name, wait)
	}
}
