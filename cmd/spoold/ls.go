package main

import (
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"
)

func lsCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "ls",
		Usage: "list what is in a spool, by topic",
		UsageText: "spoold ls [--spool DIR | -c FILE] [--json]\n\n" +
			"Example: what is still to be delivered, whether a daemon runs on it or not:\n\n   spoold ls --spool /var/lib/spoold",
		Flags: []cli.Flag{configFlag(), spoolFlag("default: the daemon's"), jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			dir, err := spoolDir(w, c)
			if err != nil {
				return err
			}
			s, _, err := look(c.Context, dir)
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return json.NewEncoder(w.stdout).Encode(s.Topics)
			}
			t := tabwriter.NewWriter(w.stdout, 0, 0, 3, ' ', 0)
			fmt.Fprintln(t, "TOPIC\tPENDING\tACCEPTED\tSTATE")
			for i := range s.Topics {
				p := &s.Topics[i]
				fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", p.Topic, comma(p.Pending), comma(p.Accepted), orDash(p.State))
			}
			if err := t.Flush(); err != nil {
				return err
			}
			since := ""
			if s.OldestAgeSeconds > 0 {
				since = ", oldest " + oldest(s)
			}
			_, err = fmt.Fprintf(w.stdout, "%s records pending, %s on disk%s\n", comma(s.Pending), bytesOf(s.SpoolBytes), since)
			return err
		},
	}
}
