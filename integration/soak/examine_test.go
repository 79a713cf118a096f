//go:build crash

package soak

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// examine keeps what a daemon that did wrong says of itself: status and metrics, twice, so that it can be seen what goes on, and its
// goroutines in its log.
func (r *rig) examine() {
	for n := range 2 {
		for _, what := range []string{"api/status", "metrics"} {
			name := fmt.Sprintf("%s-%d", filepath.Base(what), n)
			if err := r.keepAnswer("http://"+r.daemon.Admin+"/"+what, filepath.Join(r.out, name)); err != nil {
				r.t.Log(err) // it may hang, or have ended
			}
		}
		time.Sleep(2 * time.Second) // what it does in between is looked at, not waited for
	}
	_ = syscall.Kill(r.daemon.Pid(), syscall.SIGUSR1) // it may have ended
	time.Sleep(time.Second)
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
