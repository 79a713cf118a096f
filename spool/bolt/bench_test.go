package bolt

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/spoold/spoold/spool"
	"golang.org/x/sys/unix"
)

// BenchmarkAppend: so many callers, each waits for its record to be spooled; "bulk" waits
// at the end only. Acked records are settled as the loop would, 64 commits behind.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{100, 1000} {
		for _, callers := range []int{1, 64, 512} {
			b.Run(fmt.Sprintf("%dB/%d-callers", size, callers), func(b *testing.B) { benchAppend(b, size, callers, false) })
		}
		b.Run(fmt.Sprintf("%dB/bulk", size), func(b *testing.B) { benchAppend(b, size, 4, true) })
	}
}

func benchAppend(b *testing.B, size, callers int, bulk bool) {
	var commits, written atomic.Int64
	s, _, err := Open(Options{Path: b.TempDir(), MinFreeBytes: -1, Observe: func(c CommitStats) {
		commits.Add(1)
		written.Add(int64(c.Bytes))
	}})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var behind []spool.Section
		for c := range s.Commits() {
			for _, x := range c.Sections {
				behind = append(behind, spool.Section{Lane: x.Lane, Spans: slices.Clone(x.Spans)})
			}
			c.Release()
			if len(behind) > 64 {
				w := &spool.Write{ID: 1}
				for _, x := range behind[:32] {
					w.Settle = append(w.Settle, spool.Settlement{Lane: x.Lane, Spans: x.Spans, Outcome: spool.OutcomeAcked})
				}
				behind = slices.Delete(behind, 0, 32)
				s.Submit(w, false)
			}
		}
	}()
	value := bytes.Repeat([]byte("v"), size)
	before := diskWrites()
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	var next atomic.Int64
	for range callers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			var last Ticket
			for next.Add(1) <= int64(b.N) {
				tk, err := s.Append(context.Background(), "topic", 1, -1, nil, value, nil)
				if err == nil && !bulk {
					err = tk.Spooled(context.Background())
				}
				if err != nil {
					b.Error(err)
					return
				}
				last = tk
			}
			if last.receipt != nil {
				_ = last.Spooled(context.Background())
			}
		}()
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(b.N)/float64(max(commits.Load(), 1)), "records/commit")
	if d := diskWrites() - before; d > 0 && written.Load() > 0 {
		b.ReportMetric(float64(d)/float64(written.Load()), "written/payload")
	}
	if err := s.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	<-done
}

// BenchmarkSpooledLatency is one caller's wait, beside a plain write and fdatasync of the same size.
func BenchmarkSpooledLatency(b *testing.B) {
	b.Run("spool", func(b *testing.B) { benchAppend(b, 1000, 1, false) })
	b.Run("write+fdatasync", func(b *testing.B) {
		f, err := os.Create(b.TempDir() + "/log")
		if err != nil {
			b.Fatal(err)
		}
		value := bytes.Repeat([]byte("v"), 1000)
		b.ResetTimer()
		for range b.N {
			if _, err := f.Write(value); err != nil {
				b.Fatal(err)
			}
			if err := fdatasync(f); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func fdatasync(f *os.File) error { return unix.Fdatasync(int(f.Fd())) }

// diskWrites is what this process has written so far, from /proc/self/io.
func diskWrites() int64 {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for _, line := range bytes.Split(b, []byte("\n")) {
		if rest, ok := bytes.CutPrefix(line, []byte("wchar: ")); ok {
			var n int64
			_, _ = fmt.Sscan(string(rest), &n)
			return n
		}
	}
	return 0
}

// BenchmarkStartWithBacklog is the time from Open to the first records read back, with 256 MiB
// of records waiting, and then the rate at which all of them are read.
func BenchmarkStartWithBacklog(b *testing.B) {
	o := Options{Path: b.TempDir(), MinFreeBytes: -1}
	value := bytes.Repeat([]byte("v"), 1000)
	l, _ := openLoopQuietly(b, o)
	var last Ticket
	for range 256 << 10 {
		last = mustAppend(b, l, "topic", string(value))
	}
	if err := last.Spooled(context.Background()); err != nil {
		b.Fatal(err)
	}
	if err := l.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for range b.N {
		s, r := openLoopQuietly(b, o)
		var buf []byte
		n := 0
		var err error
		var sections []spool.Section
		for at := spool.Index(0); at < r.Lanes[0].End; {
			if sections, at, buf, err = s.Read(0, at, 1<<20, buf); err != nil {
				b.Fatal(err)
			}
			for i := range sections {
				n += len(sections[i].Bytes)
			}
		}
		b.SetBytes(int64(n))
		if err := s.Close(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

// openLoopQuietly opens a spool whose commits nobody looks at.
func openLoopQuietly(b *testing.B, o Options) (*Store, *spool.Recovered) {
	s, r, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		for c := range s.Commits() {
			c.Release()
		}
	}()
	return s, r
}
