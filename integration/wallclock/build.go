package wallclock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spoold/spoold/integration/crash"
)

// wallClockFile names, in the environment of a daemon that Build built, the file that says how wrong its wall clock is.
const wallClockFile = "SPOOLD_TEST_WALL_CLOCK"

// wallClock is a file of package time. The monotonic clock, and with it every timer, stays as it is. Now may be called where the
// runtime has no room for a system call: so the file is read beside it, every few ms.
const wallClock = `package time

import (
	"sync/atomic"
	"syscall"
)

var shift atomic.Int64 // by how many seconds the wall clock is wrong

func init() {
	name, ok := syscall.Getenv("` + wallClockFile + `")
	if !ok {
		return
	}
	readShift(name)
	go func() {
		for {
			Sleep(5 * Millisecond)
			readShift(name)
		}
	}()
}

func readShift(name string) {
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	var text [24]byte
	n, _ := syscall.Read(fd, text[:])
	_ = syscall.Close(fd)
	if n <= 0 {
		return
	}
	sign, sum := int64(1), int64(0)
	for _, c := range text[:n] {
		if c == '-' {
			sign = -1
		} else if c >= '0' && c <= '9' {
			sum = 10*sum + int64(c-'0')
		}
	}
	shift.Store(sign * sum)
}
`

// Build builds the daemon into dir with a wall clock that a Clock can set: what a host does whose clock is
// wrong. Go reads the clock without the C library, so that it has to be done in package time.
func Build(ctx context.Context, root, dir string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("wallclock: where is Go: %w", err)
	}
	source := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	text, err := os.ReadFile(filepath.Join(source, "time.go"))
	if err != nil {
		return "", fmt.Errorf("wallclock: %w", err)
	}
	const was = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(text), was) != 1 {
		return "", errors.New("wallclock: time.Now is not what it was when this was written: have it add shift to the seconds that it reads")
	}
	replaced := map[string]string{
		"time.go":      strings.Replace(string(text), was, was+"\tsec += shift.Load()\n", 1),
		"wallclock.go": wallClock,
	}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	for name, text := range replaced {
		path := filepath.Join(dir, "overlay-"+name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("wallclock: %w", err)
		}
		overlay.Replace[filepath.Join(source, name)] = path
	}
	raw, err := json.Marshal(overlay)
	if err != nil {
		return "", fmt.Errorf("wallclock: %w", err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return "", fmt.Errorf("wallclock: %w", err)
	}
	return crash.BuildWith(ctx, root, dir, "-overlay", path)
}

// Clock is how wrong the wall clock of daemons is that get its Env.
type Clock struct{ path string }

// New is a clock that is right, kept in a file in dir.
func New(dir string) (*Clock, error) {
	w := &Clock{filepath.Join(dir, "wall-clock")}
	return w, w.Set(0)
}

// Env is what a daemon with this clock has in its environment.
func (w *Clock) Env() []string { return []string{wallClockFile + "=" + w.path} }

// Set has the clock be wrong by so much from now on, in a running daemon some ms later.
func (w *Clock) Set(by time.Duration) error {
	if err := os.WriteFile(w.path+".new", []byte(strconv.FormatInt(int64(by/time.Second), 10)), 0o600); err != nil {
		return fmt.Errorf("wallclock: %w", err)
	}
	if err := os.Rename(w.path+".new", w.path); err != nil {
		return fmt.Errorf("wallclock: %w", err)
	}
	return nil
}
