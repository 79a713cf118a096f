//go:build crash

package soak

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spoold/spoold/integration/poll"
)

// examine keeps what a daemon that did wrong says of itself: its metrics, and in its log its status and goroutines (SIGUSR1).
func (r *rig) examine() {
	if err := r.keepAnswer("http://"+r.daemon.Admin+"/metrics", filepath.Join(r.out, "metrics")); err != nil {
		r.t.Log(err) // it may hang, or have ended
	}
	if err := r.daemon.Signal(syscall.SIGUSR1); err != nil {
		r.t.Log(err)
		return
	}
	if !poll.Within(5*time.Second, func() bool { return strings.Contains(r.daemon.Tail(), "dump.end") }) {
		r.t.Log("the daemon has not written its state to its log within 5 s of SIGUSR1")
	}
}

func (r *rig) keepAnswer(url, path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o644)
}
