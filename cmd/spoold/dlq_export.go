package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
	"github.com/spoold/spoold/cmd/spoold/internal/newfile"
)

func dlqExport(w *world, c *cli.Context) error {
	f, _, err := deadLetterFilter(c)
	if err != nil {
		return err
	}
	if err := dlqThere(w, c, "export", f); err != nil {
		return err
	}
	dir, err := spoolDir(w, c)
	if err != nil {
		return err
	}
	file := c.String("output")
	if file == "" || file == "-" {
		_, err := exportDeadLetters(c, dir, f, w.stdout)
		return err
	}
	n := 0
	var ended error // in the middle: what stands before it is worth keeping
	err = newfile.Write(file, func(out io.Writer) (err error) {
		n, err = exportDeadLetters(c, dir, f, out)
		if n > 0 && codeOf(err) == exitCorrupt {
			ended, err = err, nil
		}
		return err
	})
	switch {
	case errors.Is(err, newfile.ErrTaken):
		return exitf(exitCannotCreate, "dlq export: %w, and is left as it is: choose another name with -o", err)
	case err != nil:
		return fmt.Errorf("dlq export: %w", err)
	case ended != nil:
		return fmt.Errorf("%w. %s has the %s before it", ended, file, plural(n, "dead letter"))
	}
	_, err = fmt.Fprintf(w.stdout, "%s written to %s\n", plural(n, "dead letter"), file)
	return err
}

// exportDeadLetters writes one object a line, and says how many.
func exportDeadLetters(c *cli.Context, dir string, f spoold.DeadLetterFilter, to io.Writer) (n int, err error) {
	out := bufio.NewWriter(to)
	lines := json.NewEncoder(out)
	last := uint64(0)
	var failed error
	yield := func(d *spoold.ExportedDeadLetter) bool {
		failed = lines.Encode(d)
		n++
		last = d.Serial
		return failed == nil
	}
	live := true
	err = admin.ExportDeadLetters(c.Context, dir, f, yield)
	if errors.Is(err, admin.ErrNoDaemon) {
		live, err = false, spoold.InspectDeadLetterExport(dir, f, yield)
	}
	if err != nil && n > 0 {
		err = fmt.Errorf("%s: it ended after %s, the last of them number %d: %w", nameOf(c), plural(n, "dead letter"), last, err)
	}
	return n, errors.Join(damagedSpool(c, dir, live, err), failed, out.Flush())
}
