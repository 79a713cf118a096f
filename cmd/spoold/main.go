package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The first signal ends ctx; from then on a signal does what it does by default:
	// a second one ends the process at once, which is safe by design.
	context.AfterFunc(ctx, stop)
	os.Exit(Main{}.Run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}
