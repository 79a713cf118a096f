package crash

import (
	"context"
	"fmt"
	"os"
)

// For rigs that end a life in their own way.

// Signal sends the process a signal, and does not wait.
func (d *Daemon) Signal(sig os.Signal) error { return d.process.Signal(sig) }

// Ended is closed when the process has ended.
func (d *Daemon) Ended() <-chan struct{} { return d.process.Done() }

// Up is closed when this life has said that it takes records.
func (d *Daemon) Up() <-chan struct{} { return d.life.ready }

// Wait waits for the end of the process and of its log, and gives the exit code, -1 for a signal.
func (d *Daemon) Wait(ctx context.Context) (int, error) {
	select {
	case <-d.process.Done():
	case <-ctx.Done():
		return 0, fmt.Errorf("crash: the daemon does not end: %w\n%s", context.Cause(ctx), d.Tail())
	}
	<-d.life.ended
	return d.process.ExitCode(), nil
}
