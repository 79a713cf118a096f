package main

import (
	"math"
	"runtime/debug"
	"testing"
)

// integration/crash and integration/soak hold the daemon to 256 MiB of anonymous memory at defaults.
func TestTheRuntimeIsToldToStayUnderWhatTheConfigurationAllows(t *testing.T) {
	s := newSettings()
	usual := memoryLimit(s)
	if usual > 232<<20 || usual < 180<<20 {
		t.Errorf("at defaults the limit is %d MiB, want under 232, so that 256 can be kept, and over 180", usual>>20)
	}
	s.cfg.BufferMemory *= 2
	more := memoryLimit(s)
	s.cfg.IdempotencyKeys *= 10
	keys := memoryLimit(s)
	s.own.HTTPMaxBodyBytes *= 10
	if bodies := memoryLimit(s); !(usual < more && more < keys && keys < bodies) {
		t.Errorf("limits are %d, with more buffer.memory %d, with more keys %d, with larger bodies %d: want each above the one before", usual, more, keys, bodies)
	}
}

func TestTheHeapIsCollectedEarlierUnlessTheOperatorSaysWhen(t *testing.T) {
	percent, limit := debug.SetGCPercent(77), debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	for _, tt := range []struct {
		gogc string
		want int
	}{{"100", 77}, {"", collectAt}} { // the runtime has read GOGC itself
		d := &daemon{s: newSettings(), w: &world{env: func(name string) string {
			return map[string]string{"GOGC": tt.gogc}[name]
		}}}
		d.limitMemory()
		if got := debug.SetGCPercent(77); got != tt.want {
			t.Errorf("GOGC=%q: collected at %d %%, want %d", tt.gogc, got, tt.want)
		}
	}
}
