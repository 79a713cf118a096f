package main

import (
	"runtime/debug"

	"github.com/spoold/spoold/cmd/spoold/internal/httpin"
)

const (
	baseMemory = 48 << 20 // program, stacks, connections, a commit's pages
	keyMemory  = 120      // bytes of an idempotency key in memory
)

// memoryLimit is what the Go runtime should stay under: what the configuration allows to be in memory, groups and read-ahead
// beside the batches counted once more. The runtime lets a heap double before it collects, and would take twice of it.
func memoryLimit(s *settings) int64 {
	return baseMemory + 2*s.cfg.BufferMemory + s.http().BodyBudget + keyMemory*s.cfg.IdempotencyKeys
}

// http bounds the HTTP ingest.
func (s *settings) http() httpin.Config {
	return httpin.DefaultConfig(&s.cfg, s.own.HTTPMaxBodyBytes, s.own.HTTPMaxConnections)
}

// limitMemory tells the runtime, unless the operator did (GOMEMLIMIT).
func (d *daemon) limitMemory() {
	if d.w.env("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit(d.s))
	}
}
