package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/spoold/spoold/integration/proof"
	"github.com/spoold/spoold/integration/sim/plant/mistakes"
)

func main() {
	h := &hunt{ctx: context.Background()}
	flag.Uint64Var(&h.most, "seeds", 10_000, "how many seeds to try for each mistake")
	flag.StringVar(&h.keep, "keep", "", "with -bug: write a smaller plan that catches it to this `file`")
	flag.IntVar(&h.workers, "workers", runtime.NumCPU(), "how many seeds at a time")
	name := flag.String("bug", "", "make this mistake alone, by its `name`")
	n := flag.Int("sample", 0, "make only so many of them; 0: all")
	of := flag.String("of", "", "the `text` that decides which: a commit's hash")
	out := flag.String("o", "", "write the table to this `file`")
	flag.Parse()
	if err := run(h, *name, *n, *of, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(h *hunt, name string, n int, of, out string) (err error) {
	p := proof.Begin("planted-bugs", "Planted bugs", "make plant")
	list, err := chosen(name, n, of)
	if err != nil {
		return err
	}
	if h.root, err = proof.Root(); err != nil {
		return err
	}
	if h.dir, err = os.MkdirTemp("", "plant-"); err != nil {
		return fmt.Errorf("plant: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(h.dir)) }()
	var all []*caught
	missed := 0
	for i := range list {
		c, err := h.mistake(&list[i])
		if err != nil {
			return err
		}
		all = append(all, c)
		if c.by().Seed == 0 {
			missed++
		}
		c.print(h.most)
	}
	if err := h.innocent(all); err != nil {
		return err
	}
	if out != "" {
		if err := errors.Join(os.MkdirAll(filepath.Dir(out), 0o755), os.WriteFile(out, table(all, h.most), 0o644)); err != nil {
			return fmt.Errorf("plant: table: %w", err)
		}
		if err := save(p, h.root, all, missed); err != nil {
			return err
		}
	}
	if missed > 0 {
		return fmt.Errorf("plant: %d of %d mistakes are not caught within %d seeds", missed, len(all), h.most)
	}
	return nil
}

// chosen are the mistakes to be made.
func chosen(name string, n int, of string) ([]mistakes.Mistake, error) {
	all, err := mistakes.All()
	switch {
	case err != nil:
		return nil, err
	case n > 0:
		return sample(all, n, of), nil
	case name == "":
		return all, nil
	}
	all = slices.DeleteFunc(all, func(m mistakes.Mistake) bool { return m.Name != name })
	if len(all) == 0 {
		return nil, fmt.Errorf("plant: there is no mistake called %q", name)
	}
	return all, nil
}

func (c *caught) print(most uint64) {
	if f := c.by(); f.Seed == 0 {
		fmt.Printf("%-23s not caught within %d seeds (%.0f s)\n", c.Name, most, c.seconds)
	} else {
		fmt.Printf("%-23s caught by seed %d, %.300s (%.1f s)\n", c.Name, f.Seed, f.Text, c.seconds)
	}
	if c.OnFiles() && c.broken.Seed > 0 && c.differs.Seed == 0 {
		fmt.Printf("%-23s beside its model: no difference within %d seeds\n", "", most)
	}
}
