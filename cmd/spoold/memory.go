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

// collectAt is by how many percent a heap may grow before it is collected. What is in memory are buffers without pointers, which are cheap to
// look through; they are many under load, and Go's own 100 would have as much garbage beside them.
const collectAt = 50

// limitMemory sets the limits of the runtime, unless the operator did (GOMEMLIMIT, GOGC).
func (d *daemon) limitMemory() {
	if d.w.env("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if d.w.env("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit(d.s))
	}
}
