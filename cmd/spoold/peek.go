package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
)

func peekCommand(w *world) *cli.Command {
	return &cli.Command{
		Name: "peek", Usage: "show the first pending records", ArgsUsage: "[TOPIC]",
		UsageText: "spoold peek [TOPIC] [-n N] [--spool DIR | -c FILE] [--json]\n\n" +
			"Example: what stands at the front of a topic that does not move:\n\n   spoold peek orders -n 3",
		Description: "It works with the daemon running or not, and changes nothing. INDEX is the record's place among its topic's in the spool. --json\n" +
			"prints one object a line, as export does.",
		Flags: []cli.Flag{configFlag(), spoolFlag("default: the daemon's"), jsonFlag(),
			&cli.IntFlag{Name: "n", Value: 10, Usage: "at most `N` records"}},
		Action: func(c *cli.Context) error {
			most := c.Int("n")
			if most < 1 {
				return usagef("peek: -n %d: want a number from 1", most)
			}
			topic, err := topicArg(c, "peek")
			if err != nil {
				return err
			}
			return pending(w, c, topic, most, c.Bool("json"))
		},
	}
}

func exportCommand(w *world) *cli.Command {
	return &cli.Command{
		Name: "export", Usage: "print all pending records as NDJSON", ArgsUsage: "[TOPIC]",
		UsageText: "spoold export [TOPIC] [--spool DIR | -c FILE]\n\n" +
			"Example: keep what is in a spool before it is given up:\n\n   spoold export --spool /var/lib/spoold > pending.ndjson",
		Description: "One object a line: topic, index, partition (as it was asked for; -1: none), timestamp (ms since 1970), key and value (base64; null\n" +
			"is null) and headers. Records stand in their topic's order. It works with the daemon running or not, and changes nothing. At damage it ends\n" +
			"with exit code 65, and says behind which record; with the daemon running all that stands before it is printed.",
		Flags: []cli.Flag{configFlag(), spoolFlag("default: the daemon's")},
		Action: func(c *cli.Context) error {
			topic, err := topicArg(c, "export")
			if err != nil {
				return err
			}
			return pending(w, c, topic, 0, true)
		},
	}
}

func topicArg(c *cli.Context, command string) (string, error) {
	if c.NArg() > 1 {
		return "", usagef("%s: want one TOPIC, got %d arguments", command, c.NArg())
	}
	return c.Args().First(), nil
}

// pending prints pending records, all of them if most is 0.
func pending(w *world, c *cli.Context, topic string, most int, asJSON bool) error {
	dir, err := spoolDir(w, c)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w.stdout)
	lines := json.NewEncoder(out)
	n := 0
	var last spoold.PendingRecord
	var failed error
	yield := func(p *spoold.PendingRecord) bool {
		if asJSON {
			failed = lines.Encode(p)
		} else {
			failed = showPending(out, p)
		}
		n++
		last = *p
		return failed == nil && n != most
	}
	live := true
	err = admin.Pending(c.Context, dir, topic, yield)
	if errors.Is(err, admin.ErrNoDaemon) {
		live, err = false, spoold.InspectPending(dir, topic, yield)
	}
	if err == nil && n == 0 && topic != "" {
		if err = knownTopic(c, dir, topic); err != nil {
			return err
		}
	}
	if err == nil && n == 0 && !asJSON {
		fmt.Fprintln(out, "no record is pending")
	}
	if err != nil && n > 0 {
		err = fmt.Errorf("%s: it ended after %s, the last of them index %d of topic %s: %w", nameOf(c), plural(n, "record"), last.Index, last.Topic, err)
	}
	return errors.Join(damagedSpool(c, dir, live, err), failed, out.Flush())
}

// damagedSpool adds to an error of reading a spool what to do about damage. live: a daemon has it.
func damagedSpool(c *cli.Context, dir string, live bool, err error) error {
	if err == nil || codeOf(err) != exitCorrupt {
		return err
	}
	var damage *spoold.CorruptError
	var told *admin.Failure
	if !errors.As(err, &damage) && !(errors.As(err, &told) && strings.Contains(told.Message, "damaged")) {
		return err // a spool that was moved, or of a newer version
	}
	when := ""
	if live {
		if c.String("url") != "" {
			dir = "SPOOL"
		}
		when = ", when the daemon has been stopped"
	}
	return fmt.Errorf("%w; spoold repair %s -o NEW makes a spool of what can be read%s. Where the damage is in an older segment than the newest, spoold flush and serve set it aside and deliver the rest; in the newest, or where a file is missing, they refuse (exit code 65): spoold doctor says which", err, shellWord(dir), when)
}

// knownTopic is an error if no record was ever spooled for a topic.
func knownTopic(c *cli.Context, dir, topic string) error {
	s, _, err := look(c, dir)
	if err != nil {
		return err
	}
	for i := range s.Topics {
		if s.Topics[i].Topic == topic {
			return nil
		}
	}
	return usagef("%s: no record was ever spooled for topic %q in %s (spoold ls lists the topics)", nameOf(c), topic, dir)
}

func showPending(out *bufio.Writer, p *spoold.PendingRecord) error {
	where := p.Topic
	if p.Partition >= 0 {
		where = fmt.Sprintf("%s:%d", p.Topic, p.Partition)
	}
	_, err := fmt.Fprintf(out, "%s index %d  %s\n  key    %s\n", where, p.Index, time.UnixMilli(p.Timestamp).UTC().Format("2006-01-02T15:04:05.000Z07:00"), readable(p.Key))
	for _, h := range p.Headers {
		fmt.Fprintf(out, "  header %s: %s\n", h.Key, readable(h.Value))
	}
	if err == nil {
		_, err = fmt.Fprintf(out, "  value  %s\n", readable(p.Value))
	}
	return err
}
