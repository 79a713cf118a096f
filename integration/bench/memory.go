package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/proc"
)

const (
	memoryPartitions = 1000
	memoryAim        = 96 // MiB of anonymous resident memory to stay below, at buffer.memory=32MiB
)

// memoryRun is how large a producer got.
type memoryRun struct {
	Go     string `json:"go_runtime"` // what it was told; "": nothing
	Sample sample `json:"run"`
}

// memory has a producer with buffer.memory=32MiB send to each of 1,000 partitions, as fast as it can, and says how large it got: as Go does it by itself,
// which lets a heap double before it collects it; as in the daemon, which has it collected earlier; and with a limit.
func (b *bench) memory(ctx context.Context) (all []memoryRun, err error) {
	if err := b.cluster.CreateTopic(ctx, "bench-memory", memoryPartitions, nil); err != nil {
		return nil, err
	}
	for _, told := range []string{"GOGC=100", "GOGC=50", "GOMEMLIMIT=88MiB"} {
		s, err := b.child(ctx, "memory", false, "bench-memory", 1024, int(b.o.seconds*60_000), told)
		if err != nil {
			return nil, err
		}
		all = append(all, memoryRun{told, s})
		say("memory %d partitions, %s: %.1f MiB of anonymous memory at most, %.0f records/s, %.0f ns CPU/record", memoryPartitions, told, float64(s.Anon)/(1<<20), s.rate(), s.cpuPerRecord())
	}
	return all, nil
}

// withMemory sends to one partition after the other, and looks every 20 ms at how much memory this process has.
func withMemory(j *job) (send, end func() error, err error) {
	j.set = map[string]string{"buffer.memory": strconv.Itoa(32 << 20)}
	j.partition = func(i int) spoold.Partition { return spoold.ToPartition(int32(i % memoryPartitions)) }
	load, end, err := withSpoold(j)
	if err != nil {
		return nil, nil, err
	}
	send = func() error {
		over, ended := make(chan struct{}), make(chan struct{})
		var failed atomic.Pointer[error]
		go func() {
			defer close(ended)
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for {
				u, err := proc.Use(os.Getpid())
				if err != nil {
					failed.Store(&err)
					return
				}
				j.anon = max(j.anon, u.Anon)
				select {
				case <-over:
					return
				case <-tick.C:
				}
			}
		}()
		err := load()
		close(over)
		<-ended
		if p := failed.Load(); p != nil {
			err = errors.Join(err, *p)
		}
		return err
	}
	return send, end, nil
}
