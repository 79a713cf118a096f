package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
	"github.com/spoold/spoold/spool"
)

// choiceText explains a choice.
type choiceText struct {
	flag   string
	choice spoold.ResolveChoice
	does   string
	risks  string
}

// doubt is what resolve --json prints while nothing is decided.
type doubt struct {
	Topic   string                   `json:"topic"`
	Parked  []spoold.PartitionStatus `json:"parked"`
	Trouble string                   `json:"trouble,omitempty"` // of records that are not in doubt
	Nothing string                   `json:"nothing,omitempty"` // why there is nothing to decide
	Choices []doubtChoice            `json:"choices"`           // none where there is nothing to decide
}

type doubtChoice struct {
	Choice string `json:"choice"`
	Does   string `json:"does"`
	Risk   string `json:"risk"`
}

// decided is what it prints afterwards.
type decided struct {
	Topic      string               `json:"topic"`
	Partitions []int32              `json:"partitions"`
	Choice     spoold.ResolveChoice `json:"choice"`
	Records    int                  `json:"records"`
}

// choices are what an operator may say, and what each risks.
var choices = []choiceText{
	{"resend", spoold.Resend, "send the records in doubt again", "a record that did arrive is there twice, and one that was refused stands behind what followed it"},
	{"delivered", spoold.Delivered, "count the records in doubt as acked", "a record that did not arrive is lost"},
	{"dead-letter", spoold.DeadLetter, "put the records in doubt aside, or those that wait and cannot leave", "a record that did not arrive is missing until somebody replays it"},
}

func resolveCommand(w *world) *cli.Command {
	flags := []cli.Flag{configFlag(), spoolFlag("default: the daemon's"), jsonFlag()}
	for _, ch := range choices {
		flags = append(flags, &cli.BoolFlag{Name: ch.flag, Usage: ch.does + "; risk: " + ch.risks})
	}
	flags = append(flags, &cli.BoolFlag{Name: "waiting", Usage: "with --dead-letter: also all records that wait behind those in doubt, whatever they wait for"})
	return &cli.Command{
		Name:      "resolve",
		Usage:     "say what is to become of the records in doubt of a parked partition, or put aside what cannot leave",
		ArgsUsage: "TOPIC[:PARTITION]",
		UsageText: "spoold resolve TOPIC[:PARTITION] [--resend | --delivered | --dead-letter [--waiting]] [--spool DIR | -c FILE]\n\n" +
			"Example: look at what is in doubt, compare with the topic, then decide:\n\n" +
			"   spoold resolve orders:2\n   spoold resolve orders:2 --resend",
		Description: "A partition is parked when spoold cannot know whether records that it sent are on the cluster, and guessing would lose or\n" +
			"double them. Only these records are decided on: those behind them are delivered as always. The decision is recorded in the\n" +
			"spool. Where records wait that cannot leave (the topic is gone or may not be written, or it has no such partition), --dead-letter\n" +
			"puts those aside; --waiting does so with everything that waits for that topic or partition. It works with the daemon running or\n" +
			"not; without it nobody has asked the cluster what cannot leave, and --dead-letter needs --waiting. Without a choice it changes nothing: it shows what is in doubt and\n" +
			"what each choice risks, or that nothing is parked, and on a terminal asks; the exit code is 0.",
		Flags:  flags,
		Action: func(c *cli.Context) error { return resolve(w, c) },
	}
}

func resolve(w *world, c *cli.Context) error {
	if c.NArg() != 1 {
		return usagef("resolve: want one TOPIC[:PARTITION], got %d arguments", c.NArg())
	}
	topic, partition, err := topicPartition(c.Args().First())
	if err != nil {
		return err
	}
	choice, err := chosen(c)
	if err != nil {
		return err
	}
	dir, err := spoolDir(w, c)
	if err != nil {
		return err
	}
	s, pid, err := look(c, dir)
	if err != nil {
		return err
	}
	t, parked, err := topicAt(s, topic, partition)
	if err != nil {
		return err
	}
	nothing := nothingFor(s, t, parked, c.Args().First(), partition, choice)
	switch {
	case choice == "":
		if choice, err = showState(w, c.Bool("json"), t, parked, c.Args().First(), nothing); err != nil || choice == "" {
			return err
		}
	case nothing != "":
		return usagef("resolve: %s", nothing)
	}
	r, err := decide(c.Context, dir, pid != 0, admin.ResolveRequest{Topic: topic, Partition: partition, Choice: choice})
	if err != nil {
		return err
	}
	if len(parked) == 0 && r.Records == 0 {
		return exitf(exitUsage, "resolve: %s: no record waits there that cannot leave", c.Args().First())
	}
	if c.Bool("json") {
		return json.NewEncoder(w.stdout).Encode(decided{topic, append([]int32{}, r.Partitions...), choice, r.Records})
	}
	where := c.Args().First() // one partition, if one was meant
	if len(parked) == 0 {
		_, err = fmt.Fprintf(w.stdout, "%s: %s put to the dead letters; recorded in the spool\n", where, plural(r.Records, "record"))
		return err
	}
	if choice == spoold.DeadLetterWaiting {
		_, err = fmt.Fprintf(w.stdout, "%s: %s in doubt or waiting put to the dead letters; recorded in the spool\n", where, plural(r.Records, "record"))
		return err
	}
	_, err = fmt.Fprintf(w.stdout, "%s: %s for %s in doubt on %s; recorded in the spool\n", where, choice, plural(r.Records, "record"), plural(len(r.Partitions), "partition"))
	return err
}

// topicPartition reads TOPIC[:PARTITION]. A topic's name holds no colon.
func topicPartition(arg string) (string, int32, error) {
	topic, number, one := strings.Cut(arg, ":")
	if topic == "" {
		return "", 0, usagef("resolve: %q has no topic: want TOPIC or TOPIC:PARTITION", arg)
	}
	if !one {
		return topic, -1, nil
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n < 0 {
		return "", 0, usagef("resolve: %q: the partition must be a number from 0", arg)
	}
	return topic, int32(n), nil
}

func chosen(c *cli.Context) (spoold.ResolveChoice, error) {
	var choice spoold.ResolveChoice
	for _, ch := range choices {
		if !c.Bool(ch.flag) {
			continue
		}
		if choice != "" {
			return "", usagef("resolve: --%s and --%s are both given: choose one", choice, ch.flag)
		}
		choice = ch.choice
	}
	if c.Bool("waiting") {
		if choice != spoold.DeadLetter {
			return "", usagef("resolve: --waiting goes with --dead-letter only: what is not in doubt can be neither resent nor counted as delivered")
		}
		choice = spoold.DeadLetterWaiting
	}
	return choice, nil
}

// topicAt finds the topic and its parked partitions that are meant.
func topicAt(s *spoold.Status, topic string, partition int32) (*spoold.TopicStatus, []spoold.PartitionStatus, error) {
	i := slices.IndexFunc(s.Topics, func(t spoold.TopicStatus) bool { return t.Topic == topic })
	if i < 0 {
		return nil, nil, exitf(exitUsage, "resolve: the spool %s holds no topic %q; see spoold ls", s.SpoolPath, topic)
	}
	var parked []spoold.PartitionStatus
	for _, p := range s.Topics[i].Partitions {
		if p.ParkReason != "" && isMeant(&p, partition) {
			parked = append(parked, p)
		}
	}
	return &s.Topics[i], parked, nil
}

// isMeant reports whether a partition is the one that is meant; -1 means all.
func isMeant(p *spoold.PartitionStatus, partition int32) bool {
	return partition < 0 || p.Partition == partition
}

// nothingFor says why there is nothing to decide, or why not with this choice; "" means that there is. where is what was asked about.
func nothingFor(s *spoold.Status, t *spoold.TopicStatus, parked []spoold.PartitionStatus, where string, partition int32, choice spoold.ResolveChoice) string {
	switch {
	case len(parked) > 0, choice == spoold.DeadLetterWaiting && t.Pending > 0:
		return ""
	case t.Trouble != "" && (choice == "" || choice == spoold.DeadLetter):
		return ""
	case t.Trouble != "":
		return fmt.Sprintf("%s is not parked: no record is in doubt, so there is nothing to %s; %s. Use --dead-letter to put aside what waits", where, choice, t.Trouble)
	}
	for _, p := range t.Partitions {
		if p.InDoubt > 0 && s.State == "stopped" && isMeant(&p, partition) {
			return fmt.Sprintf("%s is not parked: the broker was not asked yet about %s that may have arrived; the next start does, and finds out or parks it", where, plural(p.InDoubt, "record"))
		}
	}
	switch {
	case t.State == "parked" && partition >= 0:
		return fmt.Sprintf("%s is not parked, but another partition of the topic is: see spoold status --topic %s", where, t.Topic)
	case t.Pending > 0 && s.State == "stopped" && choice == spoold.DeadLetter:
		return fmt.Sprintf("%s is not parked, and without a daemon it is not known whether its records can leave (%s pending): to put those of %s aside whatever they wait for, spoold resolve %s --dead-letter --waiting",
			where, plural(t.Pending, "record"), where, where)
	case t.Pending > 0:
		return fmt.Sprintf("%s is not parked: there is nothing to decide; %s pending, and --dead-letter --waiting puts those of %s aside", where, plural(t.Pending, "record"), where)
	}
	return where + " is not parked: there is nothing to decide"
}

// showState shows what is parked, or that nothing is, and on a terminal asks. "": nothing is decided.
func showState(w *world, asJSON bool, t *spoold.TopicStatus, parked []spoold.PartitionStatus, where, nothing string) (spoold.ResolveChoice, error) {
	if asJSON {
		return "", printDoubt(w, t, parked, nothing)
	}
	if nothing != "" {
		_, err := fmt.Fprintln(w.stdout, nothing)
		return "", err
	}
	showDoubt(w, t, parked)
	if in, ok := w.stdin.(*os.File); ok && isTerminal(in) && isTerminal(w.stdout) {
		return askChoice(w, in)
	}
	_, err := fmt.Fprintf(w.stdout, "\nNothing is decided yet: spoold resolve %s with one of these does.\n", where)
	return "", err
}

func showDoubt(w *world, t *spoold.TopicStatus, parked []spoold.PartitionStatus) {
	if len(parked) == 0 {
		fmt.Fprintf(w.stdout, "%s: %s pending, none in doubt\n  %s\n\n", t.Topic, plural(t.Pending, "record"), t.Trouble)
		ch := choices[len(choices)-1]
		fmt.Fprintf(w.stdout, "  --%-12s put those that cannot leave to the dead letters. Without it they wait until they can leave.\n", ch.flag)
		return
	}
	for _, p := range parked {
		since := ""
		if p.ParkedAt > 0 {
			since = " since " + time.UnixMilli(p.ParkedAt).Format(time.RFC3339)
		}
		fmt.Fprintf(w.stdout, "%s:%d is parked%s: %s\n", t.Topic, p.Partition, since, p.ParkReason)
		if p.Detail != "" {
			fmt.Fprintf(w.stdout, "  seen: %s\n", p.Detail)
		}
		fmt.Fprintf(w.stdout, "  in doubt: %s in %s; last acked offset %s\n", plural(p.InDoubt, "record"), pluralES(p.InFlight, "batch"), whereToLook(&p))
	}
	fmt.Fprintln(w.stdout)
	inDoubt := 0
	for _, p := range parked {
		inDoubt += p.InDoubt
	}
	if inDoubt == 0 {
		fmt.Fprintln(w.stdout, "  No record is in doubt: each choice only lets delivery go on.")
	}
	for _, ch := range choices {
		fmt.Fprintf(w.stdout, "  --%-12s %s. Risk: %s.\n", ch.flag, ch.does, ch.risks)
	}
}

// whereToLook says from which offset on the topic may hold what is in doubt. A topic that was created anew begins at 0.
func whereToLook(p *spoold.PartitionStatus) string {
	last := strconv.FormatInt(p.LastOffset, 10)
	if p.LastOffset < 0 {
		last = "none"
	}
	switch p.ParkReason {
	case spool.ParkTopicRecreated:
		return last + ", of the topic that was there before; the new one has offsets of its own, so look at it from offset 0 on"
	case spool.ParkLogWentBack:
		return last + ", but the log has ended before that since, so look at all that is at its end"
	}
	return fmt.Sprintf("%s, so look at the topic from offset %d on", last, p.LastOffset+1)
}

func printDoubt(w *world, t *spoold.TopicStatus, parked []spoold.PartitionStatus, nothing string) error {
	d := doubt{Topic: t.Topic, Parked: append([]spoold.PartitionStatus{}, parked...), Trouble: t.Trouble, Nothing: nothing, Choices: []doubtChoice{}}
	for _, ch := range choices {
		if nothing == "" {
			d.Choices = append(d.Choices, doubtChoice{ch.flag, ch.does, ch.risks})
		}
	}
	return json.NewEncoder(w.stdout).Encode(d)
}

// plural is a number of things.
func plural[N int | uint64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return comma(uint64(n)) + " " + thing + "s"
}

func pluralES(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return comma(uint64(n)) + " " + thing + "es"
}

// askChoice asks on a terminal. "": nothing is decided.
func askChoice(w *world, in io.Reader) (spoold.ResolveChoice, error) {
	fmt.Fprint(w.stdout, "\nresend, delivered, dead-letter, or nothing to leave it: ")
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", exitf(exitIO, "resolve: nothing was decided: %w", err)
	}
	answer := strings.TrimSpace(line)
	for _, ch := range choices {
		if answer == ch.flag {
			return ch.choice, nil
		}
	}
	if answer != "" && answer != "nothing" {
		return "", usagef("resolve: nothing was decided: %q is none of resend, delivered and dead-letter", answer)
	}
	return "", nil
}

// decide passes the decision to the daemon, or carries it out on the spool itself, with no
// broker in reach.
func decide(ctx context.Context, dir string, live bool, req admin.ResolveRequest) (spoold.Resolution, error) {
	if live {
		client := admin.NewClient(dir)
		defer client.Close()
		r, err := client.Resolve(ctx, req)
		var f *admin.Failure
		if errors.As(err, &f) {
			return r, &exitError{f.Exit, err}
		}
		return r, err
	}
	cfg := spoold.DefaultConfig()
	cfg.SpoolPath = dir
	cfg.BootstrapServers = []string{"localhost:9092"} // needed, never dialled
	p, err := spoold.Open(cfg, spoold.Env{Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("the operator is deciding: no broker is dialled")
	}})
	if err != nil {
		return spoold.Resolution{}, err
	}
	r, err := p.Resolve(ctx, req.Topic, req.Partition, req.Choice)
	return r, errors.Join(err, p.Close(ctx))
}
