package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"

	"github.com/spoold/spoold/integration/proof"
)

func main() {
	each := flag.Duration("time", 20*time.Second, "how long each target is fuzzed")
	slots := flag.Int("slots", 2, "how many targets are fuzzed side by side, with one worker each")
	only := flag.String("only", "", "regular expression of the targets to fuzz, as folder.Target; all if empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := run(ctx, *each, *slots, *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || failed > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, each time.Duration, slots int, only string) (failed int, err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return 0, fmt.Errorf("fuzz: -only: %w", err)
	}
	root, err := proof.Root()
	if err != nil {
		return 0, fmt.Errorf("fuzz: %w", err)
	}
	packages, err := find(ctx, root, wanted)
	if err != nil {
		return 0, err
	}
	if len(packages) == 0 {
		return 0, fmt.Errorf("fuzz: no target matches %q", only)
	}
	kept := proof.Begin("fuzz", "Fuzzing", fmt.Sprintf("PROOF=1 make fuzz FUZZTIME=%v", each))
	began := time.Now()
	s, err := newSession(ctx, root, each)
	if err != nil {
		return 0, err
	}
	defer s.clean()
	results := s.all(ctx, packages, max(slots, 1))
	for _, r := range results {
		if r.failed() {
			failed++
			fmt.Print(r.story())
		}
	}
	fmt.Printf("%d targets, %d failed, %s executions in %v\n", len(results), failed, proof.Thousands(executions(results)), time.Since(began).Round(time.Second))
	if err := ctx.Err(); err != nil {
		return failed, fmt.Errorf("fuzz: interrupted: %w", err)
	}
	if only != "" {
		return failed, nil // not the whole of it
	}
	keep(kept, results, each)
	if err := kept.Save(root); err != nil {
		return failed, fmt.Errorf("fuzz: %w", err)
	}
	return failed, nil
}
