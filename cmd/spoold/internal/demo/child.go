package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spoold/spoold/cmd/spoold/internal/admin"
	"github.com/spoold/spoold/cmd/spoold/internal/link"
)

// status is what the play reads of /api/status.
type status struct {
	Accepted int `json:"accepted"`
	Acked    int `json:"acked"`
	Pending  int `json:"pending"`
}

// ready is what the play reads of the daemon's line event=ready.
type ready struct {
	Event   string `json:"event"`
	HTTP    string `json:"http"`
	Pending uint64 `json:"pending"`
	OpenMS  int64  `json:"open_ms"`
}

// child is the daemon, a process of its own.
type child struct {
	cmd     *exec.Cmd
	url     string // of the topics
	ready   ready
	logPath string
	exited  chan struct{} // closed when the process is gone
	err     error         // how it ended; valid once exited is closed
	admin   http.Client
}

// startChild runs `exe serve` on the spool and waits until it accepts records.
func startChild(ctx context.Context, exe, spool, logPath string, brokers []string, via, transactionalID string) (*child, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	c := &child{logPath: logPath, exited: make(chan struct{})}
	c.cmd = &exec.Cmd{
		Path: exe,
		// The name matters when exe is more than one program.
		Args: []string{"spoold", "serve", "--spool", spool, "-b", strings.Join(brokers, ","), "--http", "127.0.0.1:0", "--admin", "off",
			"-X", "log.format=json", "-X", "spool.min.free.bytes=16MiB", "-X", "transactional.id=" + transactionalID},
		Env:         append(os.Environ(), link.Env+"="+via),
		SysProcAttr: dieWithParent(),
	}
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	if err := c.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("demo: start %s serve: %w", exe, err), log.Close())
	}
	lines := make(chan ready, 1)
	go c.follow(stderr, log, lines)
	c.admin.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return admin.DialUnix(ctx, spool)
	}}
	select {
	case c.ready = <-lines:
		c.url = "http://" + c.ready.HTTP + "/topics/"
		return c, nil
	case <-c.exited:
		return nil, fmt.Errorf("demo: the daemon ended before it was ready (%w); its log ends with: %s", c.err, lastLine(logPath))
	case <-ctx.Done():
		c.kill()
		return nil, ctx.Err()
	case <-time.After(30 * time.Second):
		c.kill()
		return nil, fmt.Errorf("demo: the daemon was not ready after 30 s; its log ends with: %s", lastLine(logPath))
	}
}

// follow copies the child's log to a file, finds the line that says it is ready, and
// waits for its end.
func (c *child) follow(stderr io.Reader, log io.WriteCloser, lines chan<- ready) {
	in := bufio.NewScanner(stderr)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		_, _ = log.Write(append(in.Bytes(), '\n'))
		var r ready
		if json.Unmarshal(in.Bytes(), &r) == nil && r.Event == "ready" {
			select {
			case lines <- r:
			default:
			}
		}
	}
	c.err = c.cmd.Wait()
	_ = log.Close()
	close(c.exited)
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// kill is kill -9, and returns when the process is gone.
func (c *child) kill() {
	if c == nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGKILL)
	<-c.exited
}

// stop asks the child to end and checks that it ended well.
func (c *child) stop(ctx context.Context) error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(30 * time.Second):
		return errors.New("demo: the daemon did not stop within 30 s")
	}
	if c.err != nil {
		return fmt.Errorf("demo: the daemon ended with %w; its log ends with: %s", c.err, lastLine(c.logPath))
	}
	return nil
}

func (c *child) status(ctx context.Context) (s status, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://spoold/api/status", nil)
	if err != nil {
		return s, err
	}
	res, err := c.admin.Do(req)
	if err != nil {
		return s, fmt.Errorf("demo: status: %w", err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		return s, fmt.Errorf("demo: status: %w", err)
	}
	return s, nil
}

// await asks again until ok, or until the time is over: then it returns what it
// saw last.
func (c *child) await(ctx context.Context, timeout time.Duration, ok func(status) bool) (status, error) {
	deadline := time.Now().Add(timeout)
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for {
		s, err := c.status(ctx)
		if err != nil || ok(s) || time.Now().After(deadline) {
			return s, err
		}
		select {
		case <-every.C:
		case <-c.exited:
			return s, fmt.Errorf("demo: the daemon ended by itself (%w); its log ends with: %s", c.err, lastLine(c.logPath))
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
}

func lastLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	s := strings.TrimRight(string(text), "\n")
	return s[strings.LastIndexByte(s, '\n')+1:]
}
