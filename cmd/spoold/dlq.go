package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
)

func dlqCommand(w *world) *cli.Command {
	filters := func(more ...cli.Flag) []cli.Flag {
		return append([]cli.Flag{
			configFlag(), spoolFlag("default: the daemon's"),
			&cli.StringFlag{Name: "topic", Aliases: []string{"t"}, Usage: "those of `TOPIC`"},
			&cli.IntFlag{Name: "partition", Aliases: []string{"p"}, Value: -1, Usage: "those that partition `N` refused"},
			&cli.StringFlag{Name: "code", Usage: "those with this `CODE`, Kafka's number or name"},
			&cli.DurationFlag{Name: "older-than", Usage: "those that were refused so long ago, such as 24h: `DURATION`"},
			&cli.BoolFlag{Name: "in-doubt", Usage: "those that may have reached the cluster all the same: an operator put them aside before that was known"},
		}, more...)
	}
	flags := func(more ...cli.Flag) []cli.Flag { return append(filters(jsonFlag()), more...) }
	all := &cli.BoolFlag{Name: "all", Usage: "all of them: without a number or a filter nothing is changed unless this is given"}
	return &cli.Command{
		Name:  "dlq",
		Usage: "dead letters: records that the cluster refused for good",
		UsageText: "spoold dlq ls|show|export|replay|drop [NUMBER…] [--topic TOPIC] [--partition N] [--code CODE] [--older-than DURATION] [--in-doubt]\n\n" +
			"Example: what was refused and why, one record in full, and all of a topic again after it was mended:\n\n" +
			"   spoold dlq ls\n   spoold dlq show 17\n   spoold dlq replay --topic orders",
		Description: "A dead letter stays in the spool until it is dropped or replayed, and counts against dlq.max.bytes. It works with the\n" +
			"daemon running or not. What is replayed or dropped is recorded in the spool.",
		Subcommands: []*cli.Command{
			{
				Name: "ls", UsageText: "spoold dlq ls [NUMBER…] [--topic TOPIC] [--partition N] [--code CODE] [--older-than DURATION] [--in-doubt]\n\nExample: what a topic has:\n\n   spoold dlq ls --topic orders", Usage: "list them, oldest first", ArgsUsage: "[NUMBER…]", Flags: flags(&cli.IntFlag{Name: "limit", Value: 1000, Usage: "at most `N`; 0: all"}),
				Description: "Without a filter, files that --too-long dead-letter of produce and ship left beside the spool are listed, too.\n--json prints an array with one object for each: serial, topic, partition, code, code_id, message, attempts, at (ms since\n1970), bytes, index, in_doubt; those of such files have a path, and no serial.",
				Action:      func(c *cli.Context) error { return dlqList(w, c) },
			},
			{
				Name: "show", UsageText: "spoold dlq show NUMBER [--spool DIR | -c FILE] [--json]\n\nExample: one record in full:\n\n   spoold dlq show 17", Usage: "show one with its record", ArgsUsage: "NUMBER", Flags: []cli.Flag{configFlag(), spoolFlag("default: the daemon's"), jsonFlag()},
				Description: "--json prints the fields of ls, and timestamp, key and value (base64; null is null) and headers.",
				Action:      func(c *cli.Context) error { return dlqShow(w, c) },
			},
			{
				Name: "export", UsageText: "spoold dlq export [NUMBER…] [--topic TOPIC] [--partition N] [--code CODE] [--older-than DURATION] [--in-doubt] [-o FILE]\n\nExample: keep what is to be dropped:\n\n   spoold dlq export --topic orders -o orders.ndjson\n   spoold dlq drop --topic orders", Usage: "print them with their records as NDJSON, oldest first", ArgsUsage: "[NUMBER…]",
				Flags:       append(filters(), &cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to make; default, and -: standard output"}),
				Description: "One object a line: of the record what export prints (topic, index, partition as it was asked for, timestamp, key, value, headers),\nand serial, refused_by (the partition that refused it; -1: none), code, code_id, message, attempts, at and in_doubt. Nothing is changed.\nA file appears when it is whole, or, at damage (exit code 65), with what stands before it; one that is there already is not replaced (exit code 73).",
				Action:      func(c *cli.Context) error { return dlqExport(w, c) },
			},
			{
				Name: "replay", UsageText: "spoold dlq replay [NUMBER…] [--topic TOPIC] [--partition N] [--code CODE] [--older-than DURATION] [--in-doubt] [--timestamp now] [--choose-partition] [--whole-units|--divide-units]\n\nExample: all of a topic again after it was mended:\n\n   spoold dlq replay --topic orders", Usage: "send them again, as records that have just come", ArgsUsage: "[NUMBER…]", Flags: flags(all, &cli.BoolFlag{Name: "may-duplicate", Usage: "those in doubt as well: where the first copy has reached the cluster, it is there twice then"},
					&cli.StringFlag{Name: "timestamp", Usage: "`now`: with the time of the replay instead of their own, for those that have become too old for their topic (INVALID_TIMESTAMP)"},
					&cli.BoolFlag{Name: "choose-partition", Usage: "have their partitions chosen anew, from their keys: for those of a partition that the topic does not have"},
					&cli.BoolFlag{Name: "whole-units", Usage: "with the other records of their transactions or batches: where only some of them are asked for, nothing is sent otherwise"},
					&cli.BoolFlag{Name: "divide-units", Usage: "without the other records of their transactions or batches"}),
				Description: "A copy of each goes to the end of its topic, behind what was accepted since, and is counted accepted again; the dead letter is\ngone in the same commit. Those in doubt stay unless --may-duplicate is given, and the exit code is 1 then.\nWith a transactional id, the records of a transaction or batch come again together, and readers see all of them or none; if only\nsome of them are asked for, nothing is changed, the others are named, and the exit code is 64.\n--json prints {\"records\": N, \"in_doubt\": N}: replayed, and left.",
				Action:      func(c *cli.Context) error { return dlqReplay(w, c) },
			},
			{
				Name: "drop", UsageText: "spoold dlq drop [NUMBER…] [--topic TOPIC] [--partition N] [--code CODE] [--older-than DURATION] [--in-doubt] [--whole-units|--divide-units]\n\nExample: those that were refused a month ago:\n\n   spoold dlq drop --older-than 720h", Usage: "give them up", ArgsUsage: "[NUMBER…]", Flags: flags(all,
					&cli.BoolFlag{Name: "whole-units", Usage: "with the other records of their transactions or batches: where only some of them are asked for, nothing is dropped otherwise"},
					&cli.BoolFlag{Name: "divide-units", Usage: "without the other records of their transactions or batches, which dlq replay sends only with --divide-units then"}),
				Description: "They cannot be had back: dlq export keeps a copy. With a transactional id, if only some of what is there of a transaction or batch is\nasked for, nothing is changed, the others are named, and the exit code is 64. --json prints {\"records\": N}.",
				Action:      func(c *cli.Context) error { return dlqDrop(w, c) },
			},
		},
	}
}

// deadLetterFilter reads the flags and numbers, and reports whether there were any.
func deadLetterFilter(c *cli.Context) (f spoold.DeadLetterFilter, given bool, err error) {
	f.Topic, f.OlderThan = c.String("topic"), c.Duration("older-than")
	if f.OlderThan < 0 {
		return f, false, usagef("dlq: --older-than %v: must not be negative", f.OlderThan)
	}
	if c.IsSet("partition") {
		n := c.Int("partition")
		if n < 0 || n > 1<<31-1 {
			return f, false, usagef("dlq: --partition %d: the partition must be a number from 0", n)
		}
		p := int32(n)
		f.Partition = &p
	}
	if code := c.String("code"); code != "" {
		id, ok := spoold.ErrorCodeNumber(code)
		if !ok {
			return f, false, usagef("dlq: --code %q: want Kafka's number or name of an error, such as 10 or MESSAGE_TOO_LARGE", code)
		}
		f.Code = &id
	}
	if c.Bool("in-doubt") {
		doubt := true
		f.InDoubt = &doubt
	}
	for _, arg := range c.Args().Slice() {
		n, err := strconv.ParseUint(arg, 10, 64)
		if err != nil {
			return f, false, usagef("dlq: %q: want the number of a dead letter, as spoold dlq ls shows it", arg)
		}
		f.Serials = append(f.Serials, n)
	}
	return f, f.Topic != "" || f.Partition != nil || f.Code != nil || f.OlderThan > 0 || f.InDoubt != nil || len(f.Serials) > 0, nil
}

// askDaemon asks the daemon, or looks into the spool itself if none runs.
func askDaemon[T any](w *world, c *cli.Context, live func(context.Context, *admin.Client) (T, error), offline func(dir string) (T, error)) (T, error) {
	dir, err := spoolDir(w, c)
	var none T
	if err != nil {
		return none, err
	}
	client := admin.NewClient(dir)
	defer client.Close()
	out, err := live(c.Context, client)
	if errors.Is(err, admin.ErrNoDaemon) {
		out, err = offline(dir)
		return out, damagedSpool(c, dir, false, err)
	}
	return out, damagedSpool(c, dir, true, err)
}

// dlqFind lists the dead letters that a filter means.
func dlqFind(w *world, c *cli.Context, f spoold.DeadLetterFilter, most int) ([]spoold.DeadLetterInfo, error) {
	return askDaemon(w, c, func(ctx context.Context, client *admin.Client) ([]spoold.DeadLetterInfo, error) {
		return client.DeadLetters(ctx, f, most)
	}, func(dir string) ([]spoold.DeadLetterInfo, error) { return spoold.InspectDeadLetters(dir, f, most) })
}

// dlqThere refuses a command that names a dead letter which is not there, before anything is changed: a number may be mistyped.
func dlqThere(w *world, c *cli.Context, name string, f spoold.DeadLetterFilter) error {
	if len(f.Serials) == 0 {
		return nil
	}
	list, err := dlqFind(w, c, f, -1)
	if err != nil {
		return err
	}
	for _, n := range f.Serials {
		if !slices.ContainsFunc(list, func(d spoold.DeadLetterInfo) bool { return d.Serial == n }) {
			return &exitError{exitUsage, fmt.Errorf("dlq %s: %w: number %d, or other flags exclude it; nothing was changed, see spoold dlq ls", name, spoold.ErrNoDeadLetter, n)}
		}
	}
	return nil
}

// noCode is the code of a dead letter that no broker has refused: Kafka's name of "no error" would mislead.
const noCode = "NONE"

func dlqList(w *world, c *cli.Context) error {
	f, given, err := deadLetterFilter(c)
	if err != nil {
		return err
	}
	most := c.Int("limit")
	if most < 0 {
		return usagef("dlq ls: --limit %d: it must not be below 0", most)
	}
	if most <= 0 {
		most = -1
	}
	list, err := dlqFind(w, c, f, most)
	if err != nil {
		return err
	}
	var kept []listedDeadLetter
	if !given && c.String("url") == "" {
		dir, err := spoolDir(w, c)
		if err != nil {
			return err
		}
		if kept, err = keptLines(dir); err != nil {
			return err
		}
	}
	if c.Bool("json") {
		all := make([]listedDeadLetter, 0, len(list)+len(kept))
		for i := range list {
			all = append(all, listedDeadLetter{DeadLetterInfo: list[i]})
		}
		return json.NewEncoder(w.stdout).Encode(append(all, kept...))
	}
	t := tabwriter.NewWriter(w.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tTOPIC\tPARTITION\tCODE\tREFUSED\tBYTES\tMESSAGE")
	for i := range list {
		d := &list[i]
		message := d.Message
		if d.InDoubt {
			message = "in doubt: " + message
		}
		code := d.Code
		if code == noCode {
			code = "-"
		}
		fmt.Fprintf(t, "%d\t%s\t%d\t%s\t%s\t%s\t%s\n", d.Serial, d.Topic, d.Partition, code, time.UnixMilli(d.At).Format(time.RFC3339), comma(uint64(d.Bytes)), message)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	more := ""
	if len(list) == most {
		more = ", and maybe more: --limit 0 shows all"
	}
	if _, err = fmt.Fprintf(w.stdout, "%s%s\n", plural(len(list), "dead letter"), more); err != nil {
		return err
	}
	return printKept(w.stdout, kept)
}

func dlqShow(w *world, c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("dlq show: want one NUMBER, as spoold dlq ls shows it, got %d arguments", c.NArg())
	}
	serial, err := strconv.ParseUint(c.Args().First(), 10, 64)
	if err != nil {
		return usagef("dlq show: %q: want the number of a dead letter, as spoold dlq ls shows it", c.Args().First())
	}
	d, err := askDaemon(w, c, func(ctx context.Context, client *admin.Client) (*spoold.DeadLetterRecord, error) {
		return client.DeadLetter(ctx, serial)
	}, func(dir string) (*spoold.DeadLetterRecord, error) { return spoold.InspectDeadLetter(dir, serial) })
	if errors.Is(err, spoold.ErrNoDeadLetter) {
		return &exitError{exitUsage, err}
	}
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return json.NewEncoder(w.stdout).Encode(d)
	}
	fmt.Fprintf(w.stdout, "number      %d\ntopic       %s, partition %d\n", d.Serial, d.Topic, d.Partition)
	if d.Code == noCode {
		fmt.Fprintf(w.stdout, "why         %s\n", d.Message)
	} else {
		fmt.Fprintf(w.stdout, "refused     %s: %s\n", d.Code, d.Message)
	}
	attempts := ""
	if d.Attempts > 0 {
		attempts = fmt.Sprintf(", attempt %d", d.Attempts)
	}
	fmt.Fprintf(w.stdout, "at          %s%s\n", time.UnixMilli(d.At).Format(time.RFC3339), attempts)
	if d.InDoubt {
		fmt.Fprintln(w.stdout, "in doubt    it may have reached the cluster all the same")
	}
	fmt.Fprintf(w.stdout, "timestamp   %s\n", time.UnixMilli(d.Timestamp).UTC().Format(time.RFC3339Nano))
	for _, h := range d.Headers {
		fmt.Fprintf(w.stdout, "header      %s: %s\n", h.Key, readable(h.Value))
	}
	_, err = fmt.Fprintf(w.stdout, "key         %s\nvalue       %s\n", readable(d.Key), readable(d.Value))
	return err
}

// readable is bytes as text, quoted where they are none.
func readable(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case utf8.Valid(b):
		return string(b)
	}
	return strconv.Quote(string(b))
}

// dlqChosen is the filter of a command that changes dead letters: it must name some.
func dlqChosen(c *cli.Context, name string) (spoold.DeadLetterFilter, error) {
	f, given, err := deadLetterFilter(c)
	if err == nil && c.Bool("whole-units") && c.Bool("divide-units") {
		err = usagef("dlq %s: --whole-units or --divide-units, not both", name)
	}
	if err == nil && !given && !c.Bool("all") {
		err = usagef("dlq %s: which ones? Give numbers, --topic, --partition, --code, --older-than or --in-doubt, or --all", name)
	}
	return f, err
}

func dlqDrop(w *world, c *cli.Context) error {
	f, err := dlqChosen(c, "drop")
	if err != nil {
		return err
	}
	how := spoold.DeadLetterDrop{WholeUnits: c.Bool("whole-units"), DivideUnits: c.Bool("divide-units")}
	if err := dlqThere(w, c, "drop", f); err != nil {
		return err
	}
	n, err := askDaemon(w, c, func(ctx context.Context, client *admin.Client) (int, error) {
		return client.DropDeadLetters(ctx, f, how)
	}, func(dir string) (int, error) { return spoold.DropDeadLettersOf(c.Context, dir, f, how) })
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return json.NewEncoder(w.stdout).Encode(admin.DeadLettersDropped{Records: n})
	}
	_, err = fmt.Fprintf(w.stdout, "%s dropped%s\n", plural(n, "dead letter"), recorded(n))
	return err
}

func dlqReplay(w *world, c *cli.Context) error {
	f, err := dlqChosen(c, "replay")
	if err != nil {
		return err
	}
	how := spoold.DeadLetterReplay{MayDuplicate: c.Bool("may-duplicate"), TimestampNow: c.IsSet("timestamp"), ChoosePartition: c.Bool("choose-partition"),
		WholeUnits: c.Bool("whole-units"), DivideUnits: c.Bool("divide-units")}
	if ts := c.String("timestamp"); how.TimestampNow && ts != "now" {
		return usagef("dlq replay: --timestamp %q: want now; without it each keeps its own", ts)
	}
	if err := dlqThere(w, c, "replay", f); err != nil {
		return err
	}
	done, err := askDaemon(w, c, func(ctx context.Context, client *admin.Client) (spoold.DeadLettersReplayed, error) {
		return client.ReplayDeadLetters(ctx, f, how)
	}, func(dir string) (spoold.DeadLettersReplayed, error) {
		return spoold.ReplayDeadLettersOf(c.Context, dir, f, how)
	})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = json.NewEncoder(w.stdout).Encode(done)
	} else if done.Records > 0 || done.InDoubt == 0 {
		_, err = fmt.Fprintf(w.stdout, "%s replayed%s\n", plural(done.Records, "dead letter"), recorded(done.Records))
	}
	if err == nil && done.InDoubt > 0 {
		err = &exitError{1, fmt.Errorf("dlq replay: %s not replayed, because it is not known whether the cluster has them: look for them in the topic, then drop them (spoold dlq drop --in-doubt) or send them again with --may-duplicate",
			plural(done.InDoubt, "dead letter"))}
	}
	return err
}

// recorded ends the line that says how many dead letters a command has changed.
func recorded(n int) string {
	if n == 0 {
		return ": none is what was asked for, see spoold dlq ls"
	}
	return "; recorded in the spool"
}
