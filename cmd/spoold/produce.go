package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
)

func produceCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "produce",
		Usage: "send records from stdin or a file to Kafka through a spool",
		UsageText: "spoold produce -b HOST:PORT -t TOPIC [flags] < records\n\n" +
			"Example: lines of the form key:value, compressed, and come back when all are on the cluster:\n\n" +
			"   spoold produce -b localhost:9092 -t orders -K : -z zstd < orders.txt",
		Description: "Each record is on disk before it is sent. Interrupted at any point, the same command delivers first what is still\n" +
			"pending, once. Exit codes: 0 all that was waited for happened; 69 the cluster did not answer in time and the records\n" +
			"stay spooled; 75 spool locked or full; 78 configuration; 64 usage.",
		Flags: []cli.Flag{
			brokerFlag(),
			&cli.StringFlag{Name: "t", Aliases: []string{"topic"}, Usage: "`TOPIC` of the records"},
			&cli.StringFlag{Name: "K", Usage: "key and value are separated by `DELIM`"},
			&cli.StringFlag{Name: "k", Usage: "one `KEY` for all records"},
			&cli.StringFlag{Name: "D", Value: `\n`, Usage: "records are separated by `DELIM`; \\n, \\t, \\0 and \\xHH are understood"},
			&cli.StringFlag{Name: "p", Usage: "`PARTITION` for all records"},
			&cli.StringSliceFlag{Name: "H", Usage: "header `NAME=VALUE` on all records; may be given again"},
			&cli.StringFlag{Name: "z", Usage: "`CODEC`: none, gzip, snappy, lz4 or zstd"},
			&cli.BoolFlag{Name: "Z", Usage: "an empty value is null (a tombstone)"},
			&cli.StringFlag{Name: "l", Usage: "read `FILE` instead of stdin"},
			keyFlag(),
			spoolFlag("default: one per cluster and topic under the user's state directory"),
			&cli.StringFlag{Name: "wait", Value: "acked", Usage: "come back when all records are `spooled` or acked"},
			&cli.DurationFlag{Name: "timeout", Value: 5 * time.Minute, Usage: "the longest wait for the cluster"},
			jsonFlag(),
		},
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
	template spoold.Record // what all records have: topic, key, partition, headers
	keyDelim []byte        // nil: no keys in the input
	delim    []byte
	null     bool // an empty value is null
	file     string
	acked    bool // wait for acks, not just for the disk
	timeout  time.Duration
	own      bool // --spool was given: no other directory will do
	json     bool
}

func produceOptions(w *world, c *cli.Context) (o produceOpts, s *settings, err error) {
	if err := noArgs(c); err != nil {
		return o, nil, err
	}
	s = newSettings()
	if err := s.flags(c); err != nil {
		return o, nil, err
	}
	if len(s.cfg.BootstrapServers) == 0 {
		return o, nil, usagef("produce: no broker is given: use -b HOST:PORT")
	}
	topic := c.String("t")
	if topic == "" {
		return o, nil, usagef("produce: no topic is given: use -t TOPIC")
	}
	o = produceOpts{
		template: spoold.Record{Topic: topic}, null: c.Bool("Z"), file: c.String("l"),
		timeout: c.Duration("timeout"), own: c.IsSet("spool") || s.source["spool.path"] != "", json: c.Bool("json"),
	}
	if err := o.shape(c); err != nil {
		return o, nil, err
	}
	if !o.own {
		if s.cfg.SpoolPath, err = w.produceSpool(s.cfg.BootstrapServers, topic); err != nil {
			return o, nil, err
		}
	}
	return o, s, s.validate()
}

// shape reads the flags that say what a record looks like.
func (o *produceOpts) shape(c *cli.Context) (err error) {
	switch wait := c.String("wait"); wait {
	case "acked":
		o.acked = true
	case "spooled":
	default:
		return usagef("produce: --wait %s: it must be spooled or acked", wait)
	}
	if o.timeout <= 0 {
		return usagef("produce: --timeout %v: it must be above 0", o.timeout)
	}
	if o.delim, err = delimiter("D", c.String("D")); err != nil {
		return err
	}
	if c.IsSet("K") {
		if o.keyDelim, err = delimiter("K", c.String("K")); err != nil {
			return err
		}
	}
	if c.IsSet("k") {
		if o.keyDelim != nil {
			return usagef("produce: -k and -K both say what the key is: give one of them")
		}
		o.template.Key = []byte(c.String("k"))
	}
	if c.IsSet("p") {
		var n int32
		if _, err := fmt.Sscanf(c.String("p")+" ", "%d ", &n); err != nil || n < 0 {
			return usagef("produce: -p %s: it must be a number from 0", c.String("p"))
		}
		o.template.Partition = spoold.ToPartition(n)
	}
	for _, h := range c.StringSlice("H") {
		name, value, ok := strings.Cut(h, "=")
		if name == "" {
			return usagef("produce: -H %s: want name=value", h)
		}
		header := spoold.Header{Key: name}
		if ok {
			header.Value = []byte(value)
		}
		o.template.Headers = append(o.template.Headers, header)
	}
	return nil
}

// delimiter understands the escapes that a shell does not.
func delimiter(flag, s string) ([]byte, error) {
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			out = append(out, s[i])
			continue
		}
		i++
		switch s[i] {
		case 'n':
			out = append(out, '\n')
		case 't':
			out = append(out, '\t')
		case 'r':
			out = append(out, '\r')
		case '0':
			out = append(out, 0)
		case '\\':
			out = append(out, '\\')
		case 'x':
			var b byte
			if i+2 >= len(s) {
				return nil, usagef("produce: -%s %s: \\x wants two hex digits", flag, s)
			}
			if _, err := fmt.Sscanf(s[i+1:i+3], "%02x", &b); err != nil {
				return nil, usagef("produce: -%s %s: \\x wants two hex digits", flag, s)
			}
			out = append(out, b)
			i += 2
		default:
			return nil, usagef("produce: -%s %s: \\%c is not understood; there are \\n \\t \\r \\0 \\\\ \\xHH", flag, s, s[i])
		}
	}
	if len(out) == 0 {
		return nil, usagef("produce: -%s is empty", flag)
	}
	return out, nil
}

// produced is what a run came to; --json prints it.
type produced struct {
	Accepted     uint64 `json:"accepted"`
	Spooled      uint64 `json:"spooled"`
	Acked        uint64 `json:"acked"`
	Pending      uint64 `json:"pending"`
	DeadLettered uint64 `json:"dead_lettered"`
	Recovered    uint64 `json:"recovered"`
}

// produce runs the command: open, read and send, wait, sum up.
func produce(ctx context.Context, w *world, s *settings, o produceOpts) (err error) {
	in, closeInput, err := o.open(w)
	if err != nil {
		return err
	}
	defer closeInput()
	d, err := openDirs(ctx, s, o.own)
	if err != nil {
		return err
	}
	run := &produceRun{w: w, o: o, dirs: d, last: spoold.Delivery{}, begin: time.Now()}
	if n := d.recovered(); n > 0 {
		fmt.Fprintf(w.stderr, "spoold: %s of an earlier run to be delivered first, from %s\n", plural(n, "record"), d.where())
	}
	stop := run.showProgress()
	err = run.work(ctx, in)
	stop()
	// Counters are of what is on disk: the last acks get there with the close.
	err = errors.Join(err, d.close(ctx))
	run.say(run.sum())
	return err
}

func (o *produceOpts) open(w *world) (io.Reader, func(), error) {
	if o.file == "" {
		return w.stdin, func() {}, nil
	}
	f, err := os.Open(o.file)
	if err != nil {
		return nil, nil, exitf(exitUsage, "produce: -l: %w", err)
	}
	return f, func() { _ = f.Close() }, nil
}
