package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold/cmd/spoold/internal/ship/follow"
)

func produceCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "produce",
		Usage: "send records from stdin or a file to Kafka through a spool",
		UsageText: "spoold produce -b HOST:PORT -t TOPIC [flags] < records\n   spoold produce -b HOST:PORT -t TOPIC -l FILE [flags]\n\n" +
			"Example: lines of the form key:value, compressed, and come back when all are on the cluster:\n\n" +
			"   spoold produce -b localhost:9092 -t orders -K : -z zstd < orders.txt",
		Description: "Each record is on disk before it is sent. A CR in front of the delimiter is part of the record. With -l, how far the file was read is kept with its records: after any\n" +
			"interruption the same command goes on where it was, and the file is delivered once. Input from stdin cannot be known again: run\n" +
			"spoold flush to deliver what is pending, and give the rest of the input to a new run. Exit codes: 0 all that was waited for\n" +
			"happened; 1 a record over the limit (--too-long fail), dead letters, or records lost by damage to the spool; 69 the cluster did not answer in time and the records\n" +
			"stay spooled; 75 spool locked or full; 78 configuration; 64 usage, or a partition (-p) that the topic does not have.",
		Flags: append(append(shapeFlags(), unitFlags()...),
			&cli.StringFlag{Name: "D", Value: `\n`, Usage: "records are separated by `DELIM`; \\n, \\t, \\0 and \\xHH are understood"},
			&cli.StringFlag{Name: "l", Usage: "read `FILE` instead of stdin, each record once"},
			&cli.BoolFlag{Name: "again", Usage: "with -l: send the file from its beginning, whatever was sent of it before"},
			tooLongFlag(),
			configFlag(),
			spoolFlag("default: one per cluster and topic under the user's state directory"),
			&cli.StringFlag{Name: "wait", Value: "acked", Usage: "come back when all records are `spooled`, acked, or, under a transactional id, committed, which acked means there, too"},
			timeoutFlag(""),
			jsonFlag(),
		),
		Action: func(c *cli.Context) error {
			o, s, err := produceOptions(w, c)
			if err != nil {
				return err
			}
			return produce(c.Context, w, s, o)
		},
	}
}

// produceOpts is one run of produce, apart from the producer's configuration.
type produceOpts struct {
	shape   recordShape
	delim   []byte
	file    string
	again   bool
	tooLong follow.Policy
	acked   bool // wait for acks, not just for the disk
	timeout time.Duration
	exact   bool // --spool was given: no other directory will do
	json    bool

	transactional bool
	unitRecords   int // records of one transaction; 0: all
}

func produceOptions(w *world, c *cli.Context) (o produceOpts, s *settings, err error) {
	if err := noArgs(c); err != nil {
		return o, nil, err
	}
	if s, err = readSettings(w, c); err != nil {
		return o, nil, err
	}
	if len(s.cfg.BootstrapServers) == 0 {
		return o, nil, usagef("produce: no broker is given: use -b HOST:PORT, or -c FILE with bootstrap.servers")
	}
	o = produceOpts{
		file: expandHome(c.String("l")), again: c.Bool("again"), timeout: c.Duration("timeout"),
		exact: c.IsSet("spool") || s.source["spool.path"] != "", json: c.Bool("json"),
	}
	if o.shape, err = shape(c); err != nil {
		return o, nil, err
	}
	if o.tooLong, err = tooLong(c); err != nil {
		return o, nil, err
	}
	if o.acked, err = waitAcked(c, s); err != nil {
		return o, nil, err
	}
	if err := unitOptions(w, c, s, &o); err != nil {
		return o, nil, err
	}
	if err := s.waitsFor(c, o.timeout); err != nil {
		return o, nil, err
	}
	if o.again && o.file == "" {
		return o, nil, usagef("produce: --again is about a file: use it with -l FILE")
	}
	if o.delim, err = delimiter("produce", "D", c.String("D")); err != nil {
		return o, nil, err
	}
	if !o.exact {
		s.cfg.SpoolPath = "." // is chosen when the cluster is known
	}
	return o, s, s.check(w)
}

// produced is what a run came to; --json prints it.
type produced struct {
	Accepted     uint64 `json:"accepted"`
	Spooled      uint64 `json:"spooled"`
	Acked        uint64 `json:"acked"`
	Pending      uint64 `json:"pending"`
	DeadLettered uint64 `json:"dead_lettered"`
	Recovered    uint64 `json:"recovered"`

	recoveredAcked uint64
}

// line is the summary on stderr.
func (p *produced) line() string {
	dead := ""
	if p.DeadLettered > 0 {
		dead = fmt.Sprintf(", %s dead-lettered", comma(p.DeadLettered))
	}
	noun := "records"
	if p.Spooled == 1 {
		noun = "record"
	}
	text := fmt.Sprintf("%s %s spooled, %s acked, %s pending%s", comma(p.Spooled), noun, comma(p.Acked), comma(p.Pending), dead)
	if p.Recovered > 0 {
		text += fmt.Sprintf("; of an earlier run %s, %s acked", plural(p.Recovered, "record"), comma(p.recoveredAcked))
	}
	return text
}

// produce runs the command: open, read and send, wait, sum up.
func produce(ctx context.Context, w *world, s *settings, o produceOpts) (err error) {
	in, regular, err := o.open(w)
	if err != nil {
		return err
	}
	if o.file != "" {
		defer in.Close()
	}
	f := &family{dirs: []string{s.cfg.SpoolPath}}
	if !o.exact {
		if f, err = w.family(ctx, &s.cfg, "produce", o.shape.template.Topic); err != nil {
			return err
		}
	}
	var job *fileJob
	if regular && !o.exact {
		if job, err = f.claim(o.file); err != nil {
			return err
		}
		defer job.release()
	}
	d, err := openDirs(ctx, s, f, job, nil)
	if err != nil {
		return err
	}
	if err := d.hasPartition(ctx, "produce", &o.shape.template); err != nil {
		return errors.Join(err, d.close(ctx))
	}
	run := &produceRun{w: w, o: o, dirs: d, begin: time.Now()}
	if o.transactional {
		run.units = &unitSender{p: d.own, every: o.unitRecords}
	}
	if n := d.recovered(); n > 0 {
		fmt.Fprintf(w.stderr, "spoold: %s of an earlier run to be delivered first, from %s\n", plural(n, "record"), d.where())
	}
	stop := run.showProgress()
	if regular {
		err = run.file(ctx)
	} else {
		err = run.stream(ctx, in)
	}
	stop()
	// Counters are of what is on disk: the last acks get there with the close.
	err = errors.Join(err, d.close(ctx))
	return errors.Join(err, run.say(d.sum(run.sent.Load())))
}

// open opens the input. regular: it is a file whose position can be kept; a pipe has none.
func (o *produceOpts) open(w *world) (in io.ReadCloser, regular bool, err error) {
	if o.file == "" {
		return io.NopCloser(w.stdin), false, nil
	}
	f, err := os.Open(o.file)
	if err != nil {
		return nil, false, exitf(exitUsage, "produce: -l: %w", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		err = fmt.Errorf("%s is a directory: spoold ship follows the files in one", o.file)
	case info.Mode().IsRegular():
		err = plainText(f)
	}
	if err != nil {
		_ = f.Close()
		return nil, false, exitf(exitUsage, "produce: -l: %w", err)
	}
	if o.again && !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, false, usagef("produce: --again: %s is not a regular file: it cannot be read twice", o.file)
	}
	return f, info.Mode().IsRegular(), nil
}

// plainText refuses a compressed file: what is between its newlines is no record of anybody's.
func plainText(f *os.File) error {
	head := make([]byte, 4)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for magic, format := range map[string]string{"\x1f\x8b\x08": "gzip", "\x28\xb5\x2f\xfd": "zstd"} {
		if bytes.HasPrefix(head[:n], []byte(magic)) {
			return fmt.Errorf("%[1]s is compressed (%[2]s) and would be cut at the newlines among its compressed bytes: spoold ship --once unpacks .gz files, "+
				"or unpack it first; spoold produce <%[1]s sends it as it is", f.Name(), format)
		}
	}
	return nil
}
