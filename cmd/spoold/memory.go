package main

import (
	"runtime/debug"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/httpin"
)

const (
	baseMemory = 48 << 20 // program, stacks, connections, a commit's pages
	keyMemory  = 120      // bytes of an idempotency key in memory
)

// memoryLimit is what the Go runtime should stay under: what the configuration allows to be in memory, groups and read-ahead
// beside the batches counted once more. The runtime lets a heap double before it collects, and would take twice of it.
func memoryLimit(c *spoold.Config) int64 {
	return baseMemory + 2*c.BufferMemory + httpin.DefaultConfig(c).BodyBudget + keyMemory*c.IdempotencyKeys
}

// limitMemory tells the runtime, unless the operator did (GOMEMLIMIT).
func (d *daemon) limitMemory() {
	if d.w.env("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit(&d.s.cfg))
	}
}
