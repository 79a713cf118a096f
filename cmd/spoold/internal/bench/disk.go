package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Latency is how long something took, in milliseconds.
type Latency struct {
	Count   int     `json:"count"`
	P50     float64 `json:"p50_ms"`
	P90     float64 `json:"p90_ms"`
	P99     float64 `json:"p99_ms"`
	Slowest float64 `json:"slowest_ms"`
}

func latencyOf(took []time.Duration) Latency {
	if len(took) == 0 {
		return Latency{}
	}
	slices.Sort(took)
	at := func(q float64) float64 {
		return float64(took[min(int(q*float64(len(took))), len(took)-1)].Microseconds()) / 1000
	}
	return Latency{len(took), at(0.5), at(0.9), at(0.99), at(1)}
}

const scratchPrefix = ".spoold-bench-"

// scratch makes a directory in dir, and removes those of runs that were killed.
func scratch(dir string) (string, error) {
	left, err := filepath.Glob(filepath.Join(dir, scratchPrefix+"*"))
	if err != nil {
		return "", err
	}
	for _, path := range left {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), scratchPrefix))
		if err == nil && (pid == os.Getpid() || errors.Is(unix.Kill(pid, 0), unix.ESRCH)) {
			if err := os.RemoveAll(path); err != nil {
				return "", err
			}
		}
	}
	path := filepath.Join(dir, scratchPrefix+strconv.Itoa(os.Getpid()))
	return path, os.Mkdir(path, 0o700)
}

// syncs writes 4 KiB and syncs them, over and over for so long.
func syncs(ctx context.Context, dir string, during time.Duration) (l Latency, err error) {
	f, err := os.CreateTemp(dir, "sync-*")
	if err != nil {
		return l, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	block := make([]byte, 4096)
	var took []time.Duration
	for begin := time.Now(); time.Since(begin) < during && ctx.Err() == nil; {
		from := time.Now()
		if _, err := f.WriteAt(block, int64(len(took)%256)*4096); err != nil {
			return l, err
		}
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return l, fmt.Errorf("sync: %w", err)
		}
		took = append(took, time.Since(from))
	}
	return latencyOf(took), ctx.Err()
}
