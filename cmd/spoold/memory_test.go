package main

import (
	"testing"

	"github.com/spoold/spoold"
)

// integration/crash and integration/soak hold the daemon to 256 MiB of anonymous memory at defaults.
func TestTheRuntimeIsToldToStayUnderWhatTheConfigurationAllows(t *testing.T) {
	c := spoold.DefaultConfig()
	usual := memoryLimit(&c)
	if usual > 232<<20 || usual < 180<<20 {
		t.Errorf("at defaults the limit is %d MiB, want under 232, so that 256 can be kept, and over 180", usual>>20)
	}
	c.BufferMemory *= 2
	more := memoryLimit(&c)
	c.IdempotencyKeys *= 10
	keys := memoryLimit(&c)
	c.HTTPMaxBodyBytes *= 10
	if bodies := memoryLimit(&c); !(usual < more && more < keys && keys < bodies) {
		t.Errorf("limits are %d, with more buffer.memory %d, with more keys %d, with larger bodies %d: want each above the one before", usual, more, keys, bodies)
	}
}
