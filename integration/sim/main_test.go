package sim_test

import (
	"os"
	"runtime/debug"
	"testing"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(800) // runs are short, keep little and make much garbage
	os.Exit(m.Run())
}
