package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
)

// Exit codes of status: monitoring plugins' convention.
const (
	statusHealthy = iota
	statusDegraded
	statusCritical
	statusNotRunning
)

func statusCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "status",
		Usage: "show the running daemon's state, or the spool's when none runs",
		UsageText: "spoold status [--spool DIR | -c FILE] [--watch] [--json] [--topic TOPIC]\n\n" +
			"Example: for a monitoring system, by exit code (0 healthy, 1 degraded, 2 critical, 3 not running):\n\n   spoold status --spool /var/lib/spoold --json",
		Flags: []cli.Flag{
			configFlag(), spoolFlag("default: the daemon's"), jsonFlag(),
			&cli.BoolFlag{Name: "watch", Usage: "every two seconds, until interrupted"},
			&cli.StringFlag{Name: "topic", Usage: "only this `TOPIC`"},
		},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			dir, err := spoolDir(w, c)
			if err != nil {
				return err
			}
			v := &statusView{w: w, c: c, dir: dir, topic: c.String("topic"), json: c.Bool("json")}
			if c.Bool("watch") {
				return v.watch(c.Context)
			}
			return v.once()
		},
	}
}

// spoolDir is the spool that a command looks at, or the address of the daemon that has it.
func spoolDir(w *world, c *cli.Context) (string, error) {
	if url := c.String("url"); url != "" {
		return url, askRemote(w, c, url)
	}
	s, err := readSettings(w, c)
	switch {
	case err != nil:
	case c.IsSet("spool"): // what the environment says besides does not matter here
		err = joinCoded(s.faults)
	default:
		err = joinCoded(slices.Concat(s.faults, s.strays))
	}
	if err != nil {
		return "", err
	}
	if s.cfg.SpoolPath != "" {
		return s.cfg.SpoolPath, nil
	}
	return w.serveSpool()
}

// look asks the daemon on dir, or reads the spool itself when none runs: then pid is 0, and the
// limit is known only if a configuration file has it.
func look(c *cli.Context, dir string) (*spoold.Status, int, error) {
	s, pid, err := lookAt(c.Context, dir)
	if file := c.String("config"); err == nil && pid == 0 && file != "" {
		conf, err := loadSettings(file)
		if err == nil {
			err = joinCoded(conf.faults)
		}
		if err != nil {
			return nil, 0, err
		}
		s.SpoolLimitBytes = conf.cfg.SpoolMaxBytes
	}
	return s, pid, err
}

func lookAt(ctx context.Context, dir string) (s *spoold.Status, pid int, err error) {
	client := admin.NewClient(dir)
	defer client.Close()
	s, pid, err = client.Status(ctx)
	if !errors.Is(err, admin.ErrNoDaemon) {
		return s, pid, err
	}
	s, err = spoold.Inspect(dir)
	var locked *spoold.LockedError
	if errors.As(err, &locked) {
		return nil, 0, fmt.Errorf("%w, which answers no questions (it is no daemon, or it is just starting or stopping)", err)
	}
	return s, 0, err
}

// statusView shows status again and again.
type statusView struct {
	w     *world
	c     *cli.Context
	dir   string
	topic string
	json  bool
	last  *spoold.Status // shown before, for rates
}

func (v *statusView) once() error {
	s, pid, err := look(v.c, v.dir)
	if err != nil {
		var remote *admin.RemoteError
		var refused *admin.Failure
		switch {
		case errors.Is(err, fs.ErrPermission), errors.As(err, &refused):
			return err // whether it runs is not known, or it does
		case errors.Is(err, admin.ErrSilent):
			return &exitError{statusCritical, err}
		case errors.As(err, &remote) && !errors.Is(err, syscall.ECONNREFUSED):
			return err
		}
		return &exitError{statusNotRunning, err}
	}
	if v.topic != "" {
		s.Topics = onlyTopic(s.Topics, v.topic)
	}
	if v.json {
		err = json.NewEncoder(v.w.stdout).Encode(s)
	} else {
		err = v.print(v.w.stdout, s, pid)
	}
	v.last = s
	if err != nil {
		return err
	}
	if code := severity(s, pid); code != statusHealthy {
		return &exitError{code: code}
	}
	return nil
}

// watch shows it every two seconds: redrawn on a terminal, one after the other elsewhere.
func (v *statusView) watch(ctx context.Context) error {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		if isTerminal(v.w.stdout) {
			fmt.Fprint(v.w.stdout, "\x1b[H\x1b[2J")
		}
		err := v.once()
		var coded *exitError
		if err != nil && !errors.As(err, &coded) {
			return err
		}
		if coded != nil && coded.err != nil {
			fmt.Fprintf(v.w.stderr, "spoold: %v\n", coded.err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if coded != nil {
				coded = &exitError{code: coded.code}
				return coded
			}
			return nil
		}
		if !v.json && !isTerminal(v.w.stdout) {
			fmt.Fprintln(v.w.stdout)
		}
	}
}

// severity is the exit code of status.
func severity(s *spoold.Status, pid int) int {
	switch {
	case pid == 0:
		return statusNotRunning
	case s.Error != "" || s.State == "stopped" || admin.Full(s):
		return statusCritical
	case s.Link != "up" || s.DeadLetters > 0 || len(s.DamagedFiles) > 0 || standing(s.Transaction) != "" || troubled(s) || expires(s),
		slices.ContainsFunc(s.Followed, func(f spoold.FollowedFiles) bool { return f.Troubled() }):
		return statusDegraded
	}
	return statusHealthy
}

// standing says why no transaction is begun, and what to do, or "". t may be nil.
func standing(t *spoold.TransactionStatus) string {
	switch {
	case t == nil:
	case t.Fenced != "":
		return "FENCED, nothing is delivered: " + t.Fenced
	case t.Parked > 0:
		return fmt.Sprintf("%s PARKED: %s; see spoold txn describe", plural(t.Parked, "transaction"), t.ParkReason)
	}
	return ""
}

func troubled(s *spoold.Status) bool {
	for i := range s.Topics {
		if s.Topics[i].State == "parked" || s.Topics[i].Trouble != "" || s.Topics[i].QuotaFull != "" {
			return true
		}
		for j := range s.Topics[i].Partitions {
			if s.Topics[i].Partitions[j].ParkReason != "" {
				return true
			}
		}
	}
	return false
}

func onlyTopic(topics []spoold.TopicStatus, name string) []spoold.TopicStatus {
	only := []spoold.TopicStatus{}
	for _, t := range topics {
		if t.Topic == name {
			only = append(only, t)
		}
	}
	return only
}

func (v *statusView) print(out io.Writer, s *spoold.Status, pid int) error {
	var b strings.Builder
	if pid == 0 {
		fmt.Fprintf(&b, "spoold    not running   spool %s\n", v.dir)
	} else {
		fmt.Fprintf(&b, "spoold    %s   pid %d   up %s   %s   spool %s\n", s.Version, pid, age(s.UptimeSeconds), s.State, v.dir)
		switch {
		case s.Link == "up" && s.Brokers == 0:
			fmt.Fprintf(&b, "link      up %s (idle: no connection is open)\n", age(s.LinkSinceSeconds))
		case s.Link == "up":
			fmt.Fprintf(&b, "link      up %s\n", age(s.LinkSinceSeconds))
		case s.LinkError == "":
			fmt.Fprintf(&b, "link      DOWN %s   %s\n", age(s.LinkSinceSeconds), admin.LinkReason(s))
		default:
			fmt.Fprintf(&b, "link      DOWN %s   last error: %s\n", age(s.LinkSinceSeconds), s.LinkError)
		}
	}
	if s.Error != "" {
		fmt.Fprintf(&b, "error     %s\n", s.Error)
	}
	cluster := "none yet"
	if s.ClusterID != "" {
		cluster = "id " + s.ClusterID
	}
	fmt.Fprintf(&b, "cluster   %s", cluster)
	if pid != 0 {
		if s.Brokers > 0 || s.Link != "up" {
			fmt.Fprintf(&b, "   %s connected", plural(s.Brokers, "broker"))
		}
		fmt.Fprintf(&b, "   producer %s", orDash(s.Producer))
	}
	b.WriteByte('\n')
	fmt.Fprintf(&b, "spool     %s   %s pending   oldest %s   disk free %s\n", spoolSize(s), plural(s.Pending, "record"), oldest(s), bytesOf(s.DiskFreeBytes))
	if s.SpoolFull != "" {
		fmt.Fprintf(&b, "full      %s\n", s.SpoolFull)
	}
	v.rates(&b, s)
	fmt.Fprintf(&b, "records   accepted %s   acked %s   pending %s   dead-lettered %s   expired %s   lost %s\n",
		comma(s.Accepted), comma(s.Acked), comma(s.Pending), comma(s.DeadLettered), comma(s.Expired), comma(s.Lost))
	if s.DeadLetters > 0 {
		fmt.Fprintf(&b, "dlq       %s: spoold dlq ls shows what was refused and why\n", plural(s.DeadLetters, "dead letter"))
	}
	for _, path := range s.DamagedFiles {
		fmt.Fprintf(&b, "damaged   %s was set aside and is kept: spoold ls names what is lost; without the file this line goes\n", path)
	}
	if t := s.Transaction; t != nil {
		fmt.Fprintf(&b, "txn       %s   %s\n", t.ID, cmp.Or(standing(t), t.State))
	}
	printFollowed(&b, s.Followed)
	printCertificates(&b, s)
	if len(s.Topics) > 0 {
		b.WriteByte('\n')
		printTopics(&b, s.Topics)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// rates compares with what was shown before.
func (v *statusView) rates(b *strings.Builder, s *spoold.Status) {
	if v.last == nil {
		return
	}
	dt := s.Time.Sub(v.last.Time).Seconds()
	if dt <= 0 {
		return
	}
	fmt.Fprintf(b, "rates     accepted %.1f/s   acked %.1f/s", float64(s.Accepted-v.last.Accepted)/dt, float64(s.Acked-v.last.Acked)/dt)
	if grow := float64(s.SpoolBytes-v.last.SpoolBytes) / dt; grow > 0 && s.SpoolLimitBytes > 0 {
		fmt.Fprintf(b, "   at this rate full in %s", age(float64(s.SpoolLimitBytes-s.SpoolBytes)/grow))
	}
	b.WriteByte('\n')
}

func printTopics(b *strings.Builder, topics []spoold.TopicStatus) {
	t := tabwriter.NewWriter(b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "TOPIC\tPENDING\tACCEPTED\tLAST ACK (partition:offset)\tSTATE")
	for i := range topics {
		p := &topics[i]
		var acks []string
		for _, q := range p.Partitions {
			if q.LastOffset >= 0 {
				acks = append(acks, fmt.Sprintf("%d:%s", q.Partition, humanize.Comma(q.LastOffset)))
			}
		}
		state := p.State
		if p.Detail != "" {
			state += ": " + p.Detail
		}
		if p.QuotaFull != "" {
			state += "; at its quota: " + p.QuotaFull
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", p.Topic, comma(p.Pending), comma(p.Accepted), orDash(strings.Join(acks, " ")), orDash(state))
		for _, q := range p.Partitions {
			if q.ParkReason != "" {
				fmt.Fprintf(t, "  %s:%d\t\t\t\tparked: %s, %s in doubt; see spoold resolve %s:%d\n", p.Topic, q.Partition, q.ParkReason, plural(q.InDoubt, "record"), p.Topic, q.Partition)
			}
		}
	}
	_ = t.Flush() // into a Builder
}

func comma(n uint64) string { return humanize.Comma(int64(n)) }

func bytesOf(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// spoolSize is what is needed of the spool, of how much if that is known, and what its files take.
func spoolSize(s *spoold.Status) string {
	size := bytesOf(s.SpoolBytes)
	if s.SpoolLimitBytes > 0 {
		size = fmt.Sprintf("%s of %s (%d%%)", size, bytesOf(s.SpoolLimitBytes), 100*s.SpoolBytes/s.SpoolLimitBytes)
	}
	if s.SpoolDiskBytes > 0 { // 0: a daemon that does not say it
		size += ", its files take " + bytesOf(s.SpoolDiskBytes)
	}
	return size
}

func oldest(s *spoold.Status) string {
	if s.Pending == 0 {
		return "-"
	}
	return age(s.OldestAgeSeconds)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// age is a time span as an operator reads it: two units.
func age(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm %ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd %dh", int(d.Hours())/24, int(d.Hours())%24)
}
