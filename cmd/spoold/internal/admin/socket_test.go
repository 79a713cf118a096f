package admin

import (
	"errors"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOnlyTheOwnerAndRootMayUseTheSocket(t *testing.T) {
	for _, tt := range []struct {
		uid   uint32
		owner int
		want  bool
	}{{1000, 1000, true}, {0, 1000, true}, {1001, 1000, false}, {65534, 0, false}, {0, 0, true}} {
		if got := mayUse(tt.uid, tt.owner); got != tt.want {
			t.Errorf("user %d on what user %d owns: %v", tt.uid, tt.owner, got)
		}
	}
}

func TestASocketAnswersItsOwnUserAndIsFollowedNowhere(t *testing.T) {
	dir := t.TempDir()
	target, path := filepath.Join(dir, "target"), filepath.Join(dir, SocketName)
	if err := os.WriteFile(target, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	ln, err := ListenUnix(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(ln, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	defer s.Close()
	c, err := DialUnix(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if uid, known, err := peer(c); err != nil || known && int(uid) != os.Geteuid() {
		t.Errorf("at the other end is user %d, %v", uid, err)
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if n, err := c.Read(answer); err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.0 404") {
		t.Errorf("%q, %v", answer[:n], err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != fs.ModeSocket || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	target2, err := os.Stat(target)
	if text, _ := os.ReadFile(target); err != nil || string(text) != "precious" || target2.Mode().Perm() != 0o644 {
		t.Errorf("the link was followed: %q, %v", text, target2.Mode())
	}
}

// A daemon that is killed in the middle of a request leaves its caller with a connection that ends.
func TestADaemonThatEndsInTheMiddleIsSaidToHaveEnded(t *testing.T) {
	dir := t.TempDir()
	ln, err := ListenUnix(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096)) // what it is asked
			_ = c.Close()
		}
	}()
	client := NewClient(dir)
	defer client.Close()
	if _, _, err := client.Status(t.Context()); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "run the command again") {
		t.Errorf("a question: %v", err)
	}
	if _, err := client.Resolve(t.Context(), ResolveRequest{Topic: "t"}); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "is not known") {
		t.Errorf("an order: %v", err)
	}
}

// A daemon that is stopped, or stands in a system call, takes connections and answers nothing.
func TestADaemonThatDoesNotAnswerIsSaidToBeSilent(t *testing.T) {
	dir := t.TempDir()
	ln, err := ListenUnix(t.Context(), dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client := NewClient(dir)
	defer client.Close()
	client.http.Timeout = 10 * time.Millisecond
	if _, _, err := client.Status(t.Context()); !errors.Is(err, ErrSilent) || !strings.Contains(err.Error(), "SIGUSR1") || !strings.Contains(err.Error(), "run the command again") {
		t.Errorf("a question: %v", err)
	}
	if _, err := client.Resolve(t.Context(), ResolveRequest{Topic: "t"}); !errors.Is(err, ErrSilent) || !strings.Contains(err.Error(), "run the command again") {
		t.Errorf("an order, which was not given: %v", err)
	}
}
