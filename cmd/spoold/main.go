package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(Main{}.Run(interruptible(), os.Args, os.Stdin, os.Stdout, os.Stderr, os.Getenv))
}

// interruptible is a context that the first SIGINT or SIGTERM ends. Before it does, a signal does what it does by default again: a second
// one ends the process at once, which is safe by design, also if it comes right behind the first.
func interruptible() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Stop(signals)
		select {
		case second := <-signals:
			_ = syscall.Kill(os.Getpid(), second.(syscall.Signal)) //nolint:forcetypeassert // of Unix they all are
		default:
		}
		cancel()
	}()
	return ctx
}
