package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
)

func lsCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "ls",
		Usage: "list what is in a spool, by topic",
		UsageText: "spoold ls [--spool DIR | -c FILE | --all] [--json]\n\n" +
			"Example: what is still to be delivered, whether a daemon runs on it or not:\n\n   spoold ls --spool /var/lib/spoold",
		Description: "PENDING is accepted and neither acked nor put aside, on disk: an ack counts when it is written down. BYTES is what pending\n" +
			"records take, about. OLDEST is the age of the oldest pending record: what an\n" +
			"earlier process spooled, or where no daemon runs, counts from the record's timestamp (with spool.max.age, from when it\n" +
			"was spooled), and from no earlier than the spool was made. --json prints an array with one object for each\n" +
			"topic: topic, accepted, acked, pending, dead_lettered, dead_letters (held now, the column DEAD), expired, lost, gaps, bytes, oldest_age_seconds, state,\n" +
			"partitions, and of topics with a quota quota_bytes, quota_used_bytes and quota_full. --all lists the spools\n" +
			"that produce, ship and serve made for this user in its state directory, not those of --spool or spool.path: spool, command, topic, cluster_id, bootstrap_servers, pid, pending,\n" +
			"dead_lettered, bytes, error.",
		Flags: []cli.Flag{configFlag(), spoolFlag("default: the daemon's"),
			&cli.BoolFlag{Name: "all", Usage: "every spool that was made without --spool for this user, with what is pending in it"}, jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			if c.Bool("all") {
				if c.IsSet("spool") || c.IsSet("config") {
					return usagef("ls: --all is about the spools in this user's state directory: give it alone, or --spool or -c")
				}
				return listAll(w, c)
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
	quotas := slices.ContainsFunc(s.Topics, func(p spoold.TopicStatus) bool { return p.QuotaBytes > 0 })
	head := "TOPIC\tPENDING\tACCEPTED\tDEAD\tBYTES\tOLDEST\tSTATE"
	if quotas {
		head = "TOPIC\tPENDING\tACCEPTED\tDEAD\tBYTES\tQUOTA\tOLDEST\tSTATE"
	}
	fmt.Fprintln(t, head)
	for i := range s.Topics {
		p := &s.Topics[i]
		oldest := "-"
		if p.Pending > 0 {
			oldest = age(p.OldestAgeSeconds)
		}
		size := bytesOf(p.Bytes)
		if quotas {
			size += "\t" + quotaOf(p)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Topic, comma(p.Pending), comma(p.Accepted), comma(uint64(p.DeadLetters)), size, oldest, p.State)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	oldest := ""
	if s.Pending > 0 {
		oldest = ", the oldest for " + age(s.OldestAgeSeconds)
	}
	if _, err := fmt.Fprintf(w.stdout, "%s pending on %s%s; the spool needs %s\n", plural(s.Pending, "record"), plural(len(s.Topics), "topic"), oldest, spoolSize(s)); err != nil {
		return err
	}
	return listGaps(w, s)
}

// quotaOf is how much of its quota a topic uses.
func quotaOf(t *spoold.TopicStatus) string {
	if t.QuotaBytes == 0 {
		return "-"
	}
	return fmt.Sprintf("%d%% of %s", 100*t.QuotaUsedBytes/t.QuotaBytes, bytesOf(t.QuotaBytes))
}

// listGaps prints what left without having been delivered, range by range.
func listGaps(w *world, s *spoold.Status) error {
	for _, path := range s.DamagedFiles {
		fmt.Fprintf(w.stdout, "damaged, set aside and kept: %s\n", path)
	}
	if s.Lost+s.Expired == 0 {
		return nil
	}
	fmt.Fprintf(w.stdout, "%s lost, %s dropped by policy:\n", plural(s.Lost, "record"), plural(s.Expired, "record"))
	t := tabwriter.NewWriter(w.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "TOPIC\tPARTITION\tFIRST\tLAST\tCOUNT\tWHAT\tWHEN\tWHY")
	for i := range s.Topics {
		for _, g := range s.Topics[i].Gaps {
			partition := "-"
			if g.Partition >= 0 {
				partition = strconv.Itoa(int(g.Partition))
			}
			fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", g.Topic, partition, g.First, g.Last, g.Count, g.Outcome, time.UnixMilli(g.At).UTC().Format(time.RFC3339), g.Why)
		}
	}
	return t.Flush()
}

// spoolRow is a spool as ls --all lists it.
type spoolRow struct {
	Spool        string   `json:"spool"`
	Command      string   `json:"command"`
	Topic        string   `json:"topic,omitempty"` // of a spool for one topic
	ClusterID    string   `json:"cluster_id"`
	Servers      []string `json:"bootstrap_servers"`
	PID          int      `json:"pid"` // 0: no process has it
	Pending      uint64   `json:"pending"`
	DeadLettered uint64   `json:"dead_lettered"`
	Bytes        int64    `json:"bytes"`
	Error        string   `json:"error,omitempty"` // it cannot be looked into
}

// listAll lists every spool of this user. One that cannot be looked into is listed, too.
func listAll(w *world, c *cli.Context) error {
	spools, err := w.userSpools()
	if err != nil {
		return err
	}
	rows := []spoolRow{}
	for _, u := range spools {
		row := spoolRow{Spool: u.dir, Command: filepath.Base(filepath.Dir(u.dir)), Topic: u.of.Topic, ClusterID: u.of.ClusterID, Servers: u.of.Servers}
		if filepath.Base(u.dir) == "serve" {
			row.Command = "serve"
		}
		if row.Servers == nil {
			row.Servers = []string{}
		}
		s, pid, err := lookAt(c.Context, u.dir)
		var locked *spoold.LockedError
		switch {
		case errors.As(err, &locked):
			row.PID, row.Error = locked.PID, "in use: it says nothing about itself"
		case err != nil:
			row.Error = err.Error()
		default:
			row.PID, row.Pending, row.DeadLettered, row.Bytes = pid, s.Pending, s.DeadLettered, s.SpoolBytes
			if s.ClusterID != "" {
				row.ClusterID = s.ClusterID
			}
		}
		rows = append(rows, row)
	}
	if c.Bool("json") {
		return json.NewEncoder(w.stdout).Encode(rows)
	}
	return printSpools(w, rows)
}

func printSpools(w *world, rows []spoolRow) error {
	t := tabwriter.NewWriter(w.stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "PENDING\tDEAD\tBYTES\tCOMMAND\tTOPIC\tCLUSTER\tPROCESS\tSPOOL")
	var pending uint64
	for _, r := range rows {
		process := "-"
		if r.PID != 0 {
			process = strconv.Itoa(r.PID)
		}
		counts := fmt.Sprintf("%s\t%s\t%s", comma(r.Pending), comma(r.DeadLettered), bytesOf(r.Bytes))
		if r.Error != "" {
			counts = "?\t?\t?"
		}
		pending += r.Pending
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", counts, r.Command, orDash(r.Topic), orDash(r.ClusterID), process, r.Spool)
		if r.Error != "" {
			fmt.Fprintf(t, "\t\t\t\t\t\t\t  %s\n", r.Error)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w.stdout, "%s pending in %s\n", plural(pending, "record"), plural(len(rows), "spool"))
	return err
}
