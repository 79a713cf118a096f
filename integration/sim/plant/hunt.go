package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spoold/spoold/integration/sim/plant/find"
	"github.com/spoold/spoold/integration/sim/plant/mistakes"
)

// hunt builds the world with a mistake in it, or without any, and tries its seeds.
type hunt struct {
	ctx     context.Context
	root    string // the repository's
	dir     string // for what is built
	most    uint64 // seeds to try
	workers int
	keep    string
}

// caught is what became of one mistake.
type caught struct {
	*mistakes.Mistake
	broken  find.Find // of a law
	differs find.Find // OnFiles: of spool/bolt from its model
	seconds float64
}

// mistake hunts one.
func (h *hunt) mistake(m *mistakes.Mistake) (*caught, error) {
	began := time.Now()
	overlay, err := m.Overlay(h.root, h.dir)
	if err != nil {
		return nil, err
	}
	bin, err := h.build("-overlay", overlay)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Name, err)
	}
	c := &caught{Mistake: m}
	if m.OnFiles() {
		if c.differs, err = h.try(bin, m.Transactions(), find.Compared, 1, h.most); err != nil {
			return nil, err
		}
		c.broken, err = h.try(bin, m.Transactions(), find.Bolt, 1, h.most)
	} else {
		c.broken, err = h.try(bin, m.Transactions(), find.AsDrawn, 1, h.most)
	}
	c.seconds = time.Since(began).Seconds()
	return c, err
}

func (h *hunt) build(flags ...string) (string, error) {
	bin := filepath.Join(h.dir, "hunter")
	args := append([]string{"build", "-o", bin}, flags...)
	cmd := exec.CommandContext(h.ctx, "go", append(args, "./integration/sim/plant/hunter")...)
	cmd.Dir = h.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("plant: go %q: %w\n%s", args, err, out)
	}
	return bin, nil
}

// try runs a hunter that was built.
func (h *hunt) try(bin string, transactions bool, on find.Disks, from, to uint64) (f find.Find, err error) {
	cmd := exec.CommandContext(h.ctx, bin, "-transactions="+strconv.FormatBool(transactions), "-disks", on.String(), "-from", strconv.FormatUint(from, 10), "-to", strconv.FormatUint(to, 10),
		"-workers", strconv.Itoa(h.workers), "-keep", h.keep)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return f, fmt.Errorf("plant: hunter: %w", err)
	}
	if err := json.Unmarshal(out.Bytes(), &f); err != nil {
		return f, fmt.Errorf("plant: hunter: %w: %q", err, out.Bytes())
	}
	return f, nil
}

// innocent runs the same seeds on the same disks without any mistake: whatever breaks a law then is no catch.
func (h *hunt) innocent(all []*caught) error {
	bin, err := h.build()
	if err != nil {
		return err
	}
	type where struct {
		seed uint64
		on   find.Disks
	}
	done := map[where]bool{}
	for _, c := range all {
		for _, f := range []find.Find{c.broken, c.differs} {
			at := where{f.Seed, f.Disks}
			if f.Seed == 0 || done[at] {
				continue
			}
			done[at] = true
			got, err := h.try(bin, c.Transactions(), f.Disks, f.Seed, f.Seed)
			if err != nil {
				return err
			}
			if got.Seed != 0 {
				return fmt.Errorf("plant: seed %d breaks a law without any mistake: %s", got.Seed, got.Text)
			}
		}
	}
	return nil
}

// by is what caught it. What breaks a law counts before what only differs.
func (c *caught) by() *find.Find {
	if c.broken.Seed == 0 {
		return &c.differs
	}
	return &c.broken
}

// sample draws n of the mistakes; what it draws depends on text alone.
func sample(all []mistakes.Mistake, n int, text string) []mistakes.Mistake {
	var seed [32]byte
	copy(seed[:], text)
	rand.New(rand.NewChaCha8(seed)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:min(n, len(all))]
}
