package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
)

func checkCommand(w *world) *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "verify every checksum of a spool",
		UsageText: "spoold check [--spool DIR | -c FILE] [--json]\n\n" +
			"Example: after a disk has failed, with the daemon stopped:\n\n   spoold check --spool /var/lib/spoold",
		Description: "It reads every byte of a spool that no daemon has, compares it with its checksums, and what belongs together, and changes nothing. Exit\n" +
			"code 0: all is as it was written; 1: something is not, and each file with damage is listed. --json prints one object: segments,\n" +
			"bytes, blocks, records, problems (path, what).",
		Flags: []cli.Flag{configFlag(), spoolFlag("default: the daemon's"), jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			dir, err := spoolDir(w, c)
			if err != nil {
				return err
			}
			return check(w, c, dir)
		},
	}
}

func check(w *world, c *cli.Context, dir string) error {
	progress, end := byteProgress(w, c)
	rep, err := spoold.Check(dir, progress)
	end()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = json.NewEncoder(w.stdout).Encode(rep)
	} else {
		for _, p := range rep.Problems {
			fmt.Fprintf(w.stdout, "%s\n", p.What)
		}
		read := fmt.Sprintf("%s, %s, %s, %s", plural(rep.Segments, "segment"), bytesOf(rep.Bytes), plural(rep.Blocks, "block"), plural(rep.Records, "record"))
		if n := len(rep.Problems); n > 0 {
			_, err = fmt.Fprintf(w.stdout, "%s; what could be read: %s\n", plural(n, "problem"), read)
		} else {
			_, err = fmt.Fprintf(w.stdout, "%s: all is as it was written\n", read)
		}
	}
	if err == nil && len(rep.Problems) > 0 {
		fmt.Fprintf(w.stderr, "spoold: spoold repair %s -o NEW makes a new spool of all that can be vouched for, and leaves this one as it is\n", shellWord(dir))
		return &exitError{code: exitProblem}
	}
	return err
}

// byteProgress shows on a terminal how much was read; end takes it away.
func byteProgress(w *world, c *cli.Context) (progress func(done, all int64), end func()) {
	if !isTerminal(w.stderr) || c.Bool("json") {
		return func(int64, int64) {}, func() {}
	}
	const width = 30
	progress = func(done, all int64) {
		full := int(width * done / max(all, 1))
		fmt.Fprintf(w.stderr, "\r[%s%s] %s of %s", strings.Repeat("#", full), strings.Repeat(" ", width-full), bytesOf(done), bytesOf(all))
	}
	return progress, func() { fmt.Fprint(w.stderr, "\r\033[K") }
}

func repairCommand(w *world) *cli.Command {
	return &cli.Command{
		Name: "repair", Usage: "make a new spool of what can be vouched for of a damaged one", ArgsUsage: "SPOOL",
		UsageText: "spoold repair SPOOL -o NEW [--json]\n\n" +
			"Example: the daemon ends with exit code 65, and is stopped:\n\n   spoold repair /var/lib/spoold -o /var/lib/spoold.new",
		Description: "SPOOL is not changed. All records, keys and dead letters whose checksums hold are in NEW, which must not be there yet, with what is\n" +
			"known of their delivery; what is lost is printed range by range and counted as lost. Never start a daemon on SPOOL again once\n" +
			"one has run on NEW: records would be sent twice. If the state of the spool is damaged, it cannot be known what was delivered, and\n" +
			"nothing is made. NEW is used with --adopt-spool, once, where it has been moved to another place.\n" +
			"Exit code 0: nothing is lost; 1: NEW is made, and something is lost; 65: it cannot be repaired; 73: NEW is there already; 75: a daemon\n" +
			"has SPOOL. --json prints one object: kept, lost, in_doubt, dead_letters_lost, damaged (path, what, kept, lost), gaps.",
		Flags: []cli.Flag{&cli.StringFlag{Name: "o", Usage: "directory `NEW` to make"}, jsonFlag()},
		Action: func(c *cli.Context) error {
			if c.NArg() != 1 || c.String("o") == "" {
				return usagef("repair: want SPOOL -o NEW")
			}
			progress, end := byteProgress(w, c)
			rep, err := spoold.Repair(c.Args().First(), c.String("o"), progress)
			end()
			if errors.Is(err, fs.ErrExist) {
				return exitf(exitCannotCreate, "repair: %s is there already, and is left as it is: give -o a directory that is not there", c.String("o"))
			}
			if err != nil {
				return err
			}
			if c.Bool("json") {
				err = json.NewEncoder(w.stdout).Encode(rep)
			} else {
				err = printRepair(w, c.String("o"), rep)
			}
			if err == nil && rep.Incomplete() {
				return &exitError{code: exitProblem}
			}
			return err
		},
	}
}

func printRepair(w *world, to string, rep *spoold.RepairReport) error {
	for _, d := range rep.Damaged {
		fmt.Fprintf(w.stdout, "%s: %s: %s kept, %s lost\n", d.Path, d.What, plural(d.Kept, "record"), plural(d.Lost, "record"))
	}
	for _, g := range rep.Gaps {
		fmt.Fprintf(w.stdout, "lost: topic %s, records %d to %d (%s)\n", g.Topic, g.First, g.Last, comma(uint64(g.Count)))
	}
	if rep.InDoubt > 0 {
		fmt.Fprintf(w.stdout, "%s more cannot be read and may have been delivered: the cluster is asked\n", plural(rep.InDoubt, "record"))
	}
	if rep.DeadLettersLost > 0 {
		fmt.Fprintf(w.stdout, "%s lost\n", plural(rep.DeadLettersLost, "dead letter"))
	}
	_, err := fmt.Fprintf(w.stdout, "%s: %s pending, %s lost\n", to, plural(rep.Kept, "record"), plural(rep.Lost, "record"))
	return err
}
