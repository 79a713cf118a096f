package crash

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spoold/spoold/integration/link"
	"github.com/spoold/spoold/integration/proc"
)

// Daemon is `spoold serve`, started again and again on one spool and one pair of
// addresses. Its methods are for one goroutine; HTTP and Admin may be read by all, and
// Status and Pid be called by all.
type Daemon struct {
	Bin         string
	HTTP, Admin string // addresses
	Spool       string // directory
	Bootstrap   string
	Keys        map[string]string // -X settings of the lives to come
	Before      []string          // a command that runs it, with its own arguments
	Env         []string          // besides that of this process
	Log         io.Writer         // gets all that the daemon says, if not nil

	process *proc.Process
	life    *life
	pid     atomic.Int64
}

// life is one process of the daemon.
type life struct {
	began time.Time
	ready chan struct{} // closed when it says so
	ended chan struct{} // closed when its log has ended

	mu       sync.Mutex
	recovery *Recovery
	http     string
	tail     []string
}

// Recovery is what a start found, from the daemon's log.
type Recovery struct {
	Pending uint64 `json:"records"`
	Seals   int    `json:"in_doubt_batches"`
}

// Build builds the daemon into dir.
func Build(ctx context.Context, root, dir string) (string, error) {
	return BuildWith(ctx, root, dir)
}

// BuildWith is Build with flags for go build.
func BuildWith(ctx context.Context, root, dir string, flags ...string) (string, error) {
	bin := filepath.Join(dir, "daemon-under-test") // no name that a broad kill on a shared machine would hit
	args := append(append([]string{"build"}, flags...), "-o", bin, "./cmd/spoold")
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("crash: build the daemon: %w\n%s", err, out)
	}
	return bin, nil
}

// NewDaemon prepares a daemon with its spool under dir. keys are -X settings.
func NewDaemon(bin, dir, bootstrap string, keys map[string]string) (*Daemon, error) {
	d := &Daemon{Bin: bin, Spool: filepath.Join(dir, "spool"), Bootstrap: bootstrap, Keys: keys}
	for _, addr := range []*string{&d.HTTP, &d.Admin} {
		l, err := link.Listen()
		if err != nil {
			return nil, fmt.Errorf("crash: %w", err)
		}
		defer func() { _ = l.Close() }() // both are held until both are chosen
		*addr = l.Addr().String()
	}
	return d, nil
}

// Start starts the process and does not wait.
func (d *Daemon) Start() error {
	args := append(slices.Clone(d.Before), d.Bin, "serve", "-b", d.Bootstrap, "--spool", d.Spool, "--http", d.HTTP, "--admin", d.Admin,
		"-X", "log.format=json")
	for k, v := range d.Keys {
		args = append(args, "-X", k+"="+v)
	}
	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...) // it ends by Kill or Stop
	cmd.Env = append(os.Environ(), d.Env...)
	// os.Pipe and not StderrPipe: what the daemon wrote last is read after its death.
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("crash: %w", err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	began := time.Now()
	d.process, err = proc.Start(cmd)
	_ = w.Close() // the child has its own
	if err != nil {
		_ = r.Close() // nothing is in it
		return err
	}
	d.pid.Store(int64(d.process.Pid()))
	d.life = &life{began: began, ready: make(chan struct{}), ended: make(chan struct{})}
	go d.life.follow(r, d.Log)
	return nil
}

// Pid is the process id of the latest life, 0 before the first.
func (d *Daemon) Pid() int { return int(d.pid.Load()) }

func (l *life) follow(r *os.File, log io.Writer) {
	defer close(l.ended)
	defer func() { _ = r.Close() }() // it was read to its end
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Event string `json:"event"`
			HTTP  string `json:"http"`
			Recovery
		}
		err := json.Unmarshal(lines.Bytes(), &line) // a line that is no JSON is kept for people
		l.mu.Lock()
		if l.tail = append(l.tail, lines.Text()); len(l.tail) > 60 {
			l.tail = l.tail[1:]
		}
		if err == nil && line.Event == "recovery" && l.recovery == nil {
			l.recovery = &Recovery{line.Pending, line.Seals}
		}
		if err == nil && line.Event == "ready" {
			l.http = line.HTTP
		}
		l.mu.Unlock()
		if log != nil {
			_, _ = fmt.Fprintf(log, "%s\n", lines.Bytes()) // a log that cannot be written is only missed
		}
		if err == nil && line.Event == "ready" {
			close(l.ready)
		}
	}
}

// Ready waits until the daemon takes records, and says how long that took.
func (d *Daemon) Ready(ctx context.Context) (time.Duration, error) {
	select {
	case <-d.life.ready:
		return time.Since(d.life.began), nil
	case <-d.process.Done():
		return 0, d.died()
	case <-ctx.Done():
		return 0, fmt.Errorf("crash: the daemon is not ready: %w\n%s", context.Cause(ctx), d.Tail())
	}
}

// Addr is the address that this life takes HTTP requests on, once it is ready.
func (d *Daemon) Addr() string {
	d.life.mu.Lock()
	defer d.life.mu.Unlock()
	return d.life.http
}

// died describes an end that nobody asked for.
func (d *Daemon) died() error {
	<-d.life.ended
	return fmt.Errorf("crash: the daemon ended by itself with code %d\n%s", d.process.ExitCode(), d.Tail())
}

// Check fails if the daemon ended by itself.
func (d *Daemon) Check() error {
	if d.process.Running() {
		return nil
	}
	return d.died()
}

// Running reports whether the process has not ended yet.
func (d *Daemon) Running() bool { return d.process.Running() }

// Age is how long ago the process was started.
func (d *Daemon) Age() time.Duration { return time.Since(d.life.began) }

// Kill sends SIGKILL and waits for the end. It reports what this life had found at
// its start, nil if it did not come so far. A daemon that had ended before is an error.
func (d *Daemon) Kill() (*Recovery, error) {
	if err := d.Check(); err != nil {
		return nil, err
	}
	if err := d.process.Kill(); err != nil {
		return nil, err
	}
	<-d.life.ended
	if code := d.process.ExitCode(); code >= 0 {
		return nil, d.died() // it was quicker than the signal
	}
	return d.life.found(), nil
}

// End kills the process in whatever state it is, and asks nothing.
func (d *Daemon) End() error { return d.process.Kill() }

// Stop sends SIGTERM and waits for a clean end.
func (d *Daemon) Stop() error {
	if err := d.process.Stop(30 * time.Second); err != nil {
		return err
	}
	if code := d.process.ExitCode(); code != 0 {
		return d.died()
	}
	return nil
}

// Freeze stops the process with SIGSTOP, until Thaw.
func (d *Daemon) Freeze() error { return d.process.Signal(syscall.SIGSTOP) }

// Thaw lets it go on.
func (d *Daemon) Thaw() error { return d.process.Signal(syscall.SIGCONT) }

// Found is what this life found at its start, nil if it did not come so far.
func (d *Daemon) Found() *Recovery { return d.life.found() }

func (l *life) found() *Recovery {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.recovery
}

// Tail is the end of its log.
func (d *Daemon) Tail() string {
	d.life.mu.Lock()
	defer d.life.mu.Unlock()
	return "end of the daemon's log:\n  " + strings.Join(d.life.tail, "\n  ")
}

// Status is what the tests need of /api/status.
type Status struct {
	Accepted     uint64        `json:"accepted"`
	Acked        uint64        `json:"acked"`
	Pending      uint64        `json:"pending"`
	DeadLettered uint64        `json:"dead_lettered"`
	Expired      uint64        `json:"expired"`
	Lost         uint64        `json:"lost"`
	SpoolBytes   int64         `json:"spool_bytes"`
	SpoolFull    string        `json:"spool_full"` // why nothing is taken
	Segments     int           `json:"segments"`
	Keys         int           `json:"idempotency_keys"`
	Oldest       float64       `json:"oldest_age_seconds"`
	Link         string        `json:"link"`
	Retries      uint64        `json:"retries"`
	State        string        `json:"state"`
	Error        string        `json:"error"`
	Topics       []TopicStatus `json:"topics"`
}

// TopicStatus is a topic of Status.
type TopicStatus struct {
	Topic      string            `json:"topic"`
	State      string            `json:"state"`
	Detail     string            `json:"detail"`
	Partitions []PartitionStatus `json:"partitions"`
}

// PartitionStatus is a partition of TopicStatus.
type PartitionStatus struct {
	Partition  int32  `json:"partition"`
	ParkReason string `json:"park_reason"`
	Detail     string `json:"detail"`
}

// Parked says what is parked, and why; "" if nothing is.
func (s *Status) Parked() string {
	var out []string
	for _, t := range s.Topics {
		if t.State == "parked" {
			out = append(out, t.Topic+": "+t.Detail)
		}
		for _, p := range t.Partitions {
			if p.ParkReason != "" {
				out = append(out, fmt.Sprintf("%s-%d: %s: %s", t.Topic, p.Partition, p.ParkReason, p.Detail))
			}
		}
	}
	return strings.Join(out, "; ")
}

// ErrConservation says that the daemon's counters do not add up.
var ErrConservation = errors.New("crash: conservation is broken")

// Status asks the admin address.
func (d *Daemon) Status(ctx context.Context) (*Status, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+d.Admin+"/api/status", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("crash: status: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // it is read to its end
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("crash: status: %w", err)
	}
	var s Status
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("crash: status %d %q: %w", resp.StatusCode, raw, err)
	}
	if sum := s.Acked + s.Pending + s.DeadLettered + s.Expired + s.Lost; sum != s.Accepted {
		return nil, fmt.Errorf("%w: %s", ErrConservation, raw)
	}
	return &s, nil
}

// Use is what the kernel says of the daemon now.
func (d *Daemon) Use() (proc.Usage, error) { return proc.Use(d.Pid()) }

// Signal sends the process a signal, and does not wait.
func (d *Daemon) Signal(sig os.Signal) error { return d.process.Signal(sig) }

// Ended is closed when the process has ended.
func (d *Daemon) Ended() <-chan struct{} { return d.process.Done() }

// Up is closed when this life has said that it takes records.
func (d *Daemon) Up() <-chan struct{} { return d.life.ready }

// Wait waits for the end of the process and of its log, and gives the exit code, -1 for a signal.
func (d *Daemon) Wait(ctx context.Context) (int, error) {
	select {
	case <-d.process.Done():
	case <-ctx.Done():
		return 0, fmt.Errorf("crash: the daemon does not end: %w\n%s", context.Cause(ctx), d.Tail())
	}
	<-d.life.ended
	return d.process.ExitCode(), nil
}
