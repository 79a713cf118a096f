package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
)

func lsCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "ls",
		Usage: "list what is in a spool, by topic",
		UsageText: "spoold ls [--spool DIR | -c FILE] [--json]\n\n" +
			"Example: what is still to be delivered, whether a daemon runs on it or not:\n\n   spoold ls --spool /var/lib/spoold",
		Description: "PENDING is accepted and neither acked nor put aside, on disk: an ack counts when it is written down. BYTES is what pending\n" +
			"records take, about. OLDEST is the age of the oldest pending record. --json prints an array with one object for each\n" +
			"topic: topic, accepted, acked, pending, dead_lettered, expired, bytes, oldest_age_seconds, state, partitions.",
		Flags: []cli.Flag{configFlag(), spoolFlag("default: the daemon's"), jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			dir, err := spoolDir(w, c)
			if err != nil {
				return err
			}
			s, _, err := look(c, dir)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return json.NewEncoder(w.stdout).Encode(s.Topics)
			}
			return list(w, s)
		},
	}
}

// list prints the topics, and a last line for all of them.
func list(w *world, s *spoold.Status) error {
	t := tabwriter.NewWriter(w.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "TOPIC\tPENDING\tACCEPTED\tBYTES\tOLDEST\tSTATE")
	for i := range s.Topics {
		p := &s.Topics[i]
		oldest := "-"
		if p.Pending > 0 {
			oldest = age(p.OldestAgeSeconds)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Topic, comma(p.Pending), comma(p.Accepted), bytesOf(p.Bytes), oldest, p.State)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	oldest := ""
	if s.Pending > 0 {
		oldest = ", the oldest for " + age(s.OldestAgeSeconds)
	}
	_, err := fmt.Fprintf(w.stdout, "%s pending on %s%s; the spool takes %s\n", plural(s.Pending, "record"), plural(len(s.Topics), "topic"), oldest, spoolSize(s))
	return err
}
