package access

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// checkEvery is how often files are looked at while they are used.
const checkEvery = time.Second

// maxFile bounds a file that is read.
const maxFile = 64 << 20

// cached is what a few files together mean, read again when one of them changes. A reading that fails keeps what was read
// before. Safe for concurrent use.
type cached[T any] struct {
	paths []string
	parse func(texts [][]byte, former *T) (*T, error)
	told  func(error) // once for each change: what is wrong with it; nil: it is in force

	now   atomic.Pointer[T]
	next  atomic.Int64 // unix nanoseconds of the next look
	mu    sync.Mutex
	seen  []os.FileInfo // what a change is seen by
	clock func() time.Time
}

// open reads the files for the first time.
func open[T any](paths []string, told func(error), parse func([][]byte, *T) (*T, error)) (*cached[T], error) {
	c := &cached[T]{paths: paths, parse: parse, told: told, clock: time.Now}
	if err := c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// get is the present meaning. It looks at the files at most once a second.
func (c *cached[T]) get() *T {
	if now := c.clock().UnixNano(); now >= c.next.Load() && c.mu.TryLock() {
		c.next.Store(now + int64(checkEvery))
		if stamps, err := c.stamps(); err != nil || !same(stamps, c.seen) {
			c.told(c.read(stamps, err))
		}
		c.mu.Unlock()
	}
	return c.now.Load()
}

// load reads the files now.
func (c *cached[T]) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamps, err := c.stamps()
	return c.read(stamps, err)
}

// read reads the files. The caller holds the lock. Stamps are from before, so that a change meanwhile is seen next time.
func (c *cached[T]) read(stamps []os.FileInfo, err error) error {
	c.seen = stamps
	if err != nil {
		return err
	}
	texts := make([][]byte, len(c.paths))
	for i, path := range c.paths {
		if texts[i], err = os.ReadFile(path); err != nil {
			return err
		}
	}
	fresh, err := c.parse(texts, c.now.Load())
	if err != nil {
		return fmt.Errorf("%s: %w", c.paths[0], err)
	}
	c.now.Store(fresh)
	return nil
}

func (c *cached[T]) stamps() ([]os.FileInfo, error) {
	stamps := make([]os.FileInfo, len(c.paths))
	for i, path := range c.paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() || info.Size() > maxFile {
			return nil, fmt.Errorf("%s is not a file of at most %d bytes", path, maxFile)
		}
		stamps[i] = info
	}
	return stamps, nil
}

func same(a, b []os.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime()) {
			return false
		}
	}
	return true
}
