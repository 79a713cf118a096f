package bolt

import (
	"encoding/hex"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spoold/spoold/spool"
	"golang.org/x/sys/unix"
)

// clock is the spool clock: it goes on where the last commit left it, runs with
// CLOCK_BOOTTIME (suspended or not), and never goes back.
type clock struct {
	wall func() time.Time
	boot func() int64 // CLOCK_BOOTTIME, ms
	base int64        // age when boot time was zero
	last atomic.Int64
}

// newClock continues the clock of a spool. While the host stayed up, time went
// on; over a reboot nothing is known (the wall clock may have jumped), so none is added.
func newClock(o *Options, head spool.Head) *clock {
	c := &clock{wall: o.Now, boot: bootTime}
	if o.Faults.Boot != nil {
		c.boot = o.Faults.Boot
	}
	now := c.boot()
	age := head.Age
	if head.Boot == bootID() && now > head.BootTime {
		age += now - head.BootTime
	}
	c.base = age - now
	c.last.Store(age)
	return c
}

func (c *clock) now() spool.Time {
	age := c.base + c.boot()
	for {
		last := c.last.Load()
		if age <= last {
			return spool.Time{Wall: c.wall().UnixMilli(), Age: last}
		}
		if c.last.CompareAndSwap(last, age) {
			return spool.Time{Wall: c.wall().UnixMilli(), Age: age}
		}
	}
}

func bootTime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return ts.Nano() / int64(time.Millisecond)
}

// bootID distinguishes one boot of the kernel from another; zero where it cannot be known. A process sees only one.
var bootID = sync.OnceValue(func() (id [16]byte) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id
	}
	_, _ = hex.Decode(id[:], []byte(strings.ReplaceAll(strings.TrimSpace(string(b)), "-", "")))
	return id
})

// stamps is the wall clock for records that come without a timestamp. Among many records it is read once in stampFor: to read it
// for each took a tenth of what a small record costs. Not safe for concurrent use: see Store.mu.
type stamps struct {
	wall func() time.Time
	kept atomic.Int64 // the last reading, ms, while it counts; else 0
	end  *time.Timer  // has kept count no more; nil: each reading is new
}

const (
	stampFor   = time.Millisecond // how long a reading counts
	stampsEach = 16               // so many records of a group, the first, have a reading each
)

// newStamps reads wall, or this host's clock if it is nil. A clock that somebody else made may say anything at any time: it is read
// for each record.
func newStamps(wall func() time.Time) *stamps {
	if wall != nil {
		return &stamps{wall: wall}
	}
	st := &stamps{wall: time.Now}
	st.end = time.AfterFunc(time.Hour, func() { st.kept.Store(0) })
	st.end.Stop()
	return st
}

// now is the time for a record, in ms. taken is how many records of its group came before: where there are many, others follow.
func (st *stamps) now(taken int) int64 {
	if ms := st.kept.Load(); ms != 0 {
		return ms
	}
	ms := st.wall().UnixMilli()
	if taken >= stampsEach && st.end != nil {
		st.kept.Store(ms)
		st.end.Reset(stampFor)
	}
	return ms
}
