package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"

	"github.com/spoold/spoold/integration/proof"
	"github.com/spoold/spoold/integration/sim/world"
	"github.com/spoold/spoold/internal/planted"
)

func main() {
	most := flag.Uint64("seeds", 10_000, "how many seeds to try for each mistake")
	name := flag.String("bug", "", "make this mistake alone, by its `name`")
	out := flag.String("o", "", "write the table to this `file`")
	check := flag.String("check", "", "see that the table in this `file` is what would be written")
	keep := flag.String("keep", "", "with -bug: write a smaller plan that catches it to this `file`")
	workers := flag.Int("workers", runtime.NumCPU(), "how many seeds at a time")
	flag.Parse()
	debug.SetGCPercent(3200) // runs are short, keep little and make much garbage
	if err := run(*name, *most, *workers, *out, *check, *keep); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(name string, most uint64, workers int, out, check, keep string) error {
	p := proof.Begin("planted-bugs", "Planted bugs", "go run -tags planted ./integration/sim/plant -o docs/planted.md")
	var all []caught
	missed := 0
	for i := range planted.Bugs {
		b := &planted.Bugs[i]
		if name != "" && b.Name != name {
			continue
		}
		if err := planted.Choose(b.Name); err != nil {
			return err
		}
		c := hunt(b.Bug, b.Name, b.What, most, workers)
		all = append(all, c)
		if c.seed() == 0 {
			missed++
		}
		c.print(most)
	}
	if len(all) == 0 {
		return fmt.Errorf("plant: there is no mistake called %q", name)
	}
	if f := all[0].by(); keep != "" && f.seed != 0 {
		small := world.Shrink(plan(f.seed, f.on), f.law, 3000)
		if err := os.WriteFile(keep, append(small.JSON(), '\n'), 0o644); err != nil {
			return fmt.Errorf("plant: plan: %w", err)
		}
	}
	if err := innocent(all); err != nil {
		return err
	}
	if out != "" {
		if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
			return fmt.Errorf("plant: table: %w", err)
		}
		if err := os.WriteFile(out, table(all, most), 0o644); err != nil {
			return fmt.Errorf("plant: table: %w", err)
		}
	}
	if check != "" {
		if err := same(check, table(all, most)); err != nil {
			return err
		}
	}
	if name == "" {
		if err := save(p, all, missed); err != nil {
			return err
		}
	}
	if missed > 0 {
		return fmt.Errorf("plant: %d of %d mistakes are not caught within %d seeds", missed, len(all), most)
	}
	return nil
}

// same says that a table is not what it would be by now.
func same(file string, want []byte) error {
	got, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("plant: table: %w", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("plant: %s is not what these seeds show any more: make plant, and look at the difference", file)
	}
	return nil
}

func (c *caught) print(most uint64) {
	if f := c.by(); f.seed == 0 {
		fmt.Printf("%-23s not caught within %d seeds (%.0f s)\n", c.name, most, c.seconds)
	} else {
		fmt.Printf("%-23s caught by seed %d, %s (%.1f s)\n", c.name, f.seed, f.text, c.seconds)
	}
	if c.onFiles && c.broken.seed > 0 {
		if c.differs.seed == 0 {
			fmt.Printf("%-23s beside its model: no difference within %d seeds\n", "", most)
		} else {
			fmt.Printf("%-23s beside its model: seed %d, %s\n", "", c.differs.seed, c.differs.text)
		}
	}
}
