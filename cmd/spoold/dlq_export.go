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
	err = newfile.Write(file, func(out io.Writer) (err error) {
		n, err = exportDeadLetters(c, dir, f, out)
		return err
	})
	switch {
	case errors.Is(err, newfile.ErrTaken):
		return exitf(exitCannotCreate, "dlq export: %w, and is left as it is: choose another name with -o", err)
	case err != nil:
		return fmt.Errorf("dlq export: %w", err)
	}
	_, err = fmt.Fprintf(w.stdout, "%s written to %s\n", plural(n, "dead letter"), file)
	return err
}

// exportDeadLetters writes one object a line, and says how many.
func exportDeadLetters(c *cli.Context, dir string, f spoold.DeadLetterFilter, to io.Writer) (n int, err error) {
	out := bufio.NewWriter(to)
	lines := json.NewEncoder(out)
	var failed error
	yield := func(d *spoold.ExportedDeadLetter) bool {
		failed = lines.Encode(d)
		n++
		return failed == nil
	}
	err = admin.ExportDeadLetters(c.Context, dir, f, yield)
	if errors.Is(err, admin.ErrNoDaemon) {
		err = damagedSpool(dir, spoold.InspectDeadLetterExport(dir, f, yield))
	}
	switch {
	case err != nil:
	case failed != nil:
		err = failed
	default:
		err = out.Flush()
	}
	return n, err
}
