package service

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The manager that a test looks at: every state that was sent, in order.
func recorded() (*Manager, *[]string) {
	var sent []string
	m := &Manager{log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	m.notify = func(state string) error {
		sent = append(sent, state)
		return nil
	}
	return m, &sent
}

func TestWatchdogIsResetOnlyWhileTheDaemonIsHealthy(t *testing.T) {
	m, sent := recorded()
	at := time.Unix(1, 0)
	probes := []Probe{
		{At: at, Status: "first"},
		{At: at, Status: "stuck"}, // the loop did not answer
		{At: at.Add(time.Second), Status: "again"},
		{At: at.Add(2 * time.Second), Err: errors.New("sync failed")},
	}
	tick := make(chan time.Time)
	ctx, cancel := context.WithCancel(context.Background())
	next := 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.watch(ctx, tick, func() Probe { next++; return probes[next-1] })
	}()
	for range probes {
		tick <- at
	}
	cancel()
	<-done
	if got, want := strings.Join(*sent, "|"), "WATCHDOG=1\nSTATUS=first|WATCHDOG=1\nSTATUS=again"; got != want {
		t.Errorf("sent %q, want %q", got, want)
	}
}

func TestStatesReachTheNotifySocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	m := New(slog.New(slog.NewTextHandler(io.Discard, nil)))
	m.Ready("link up")
	m.Reloading()
	m.Stopping()
	buf := make([]byte, 256)
	for _, want := range []string{"READY=1\nSTATUS=link up", "RELOADING=1\nMONOTONIC_USEC=", "STOPPING=1"} {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(buf[:n]); !strings.HasPrefix(got, want) {
			t.Errorf("the service manager received %q, want %q…", got, want)
		}
	}
}

func TestOutsideSystemdNothingIsSentOrWatched(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	m := New(slog.New(slog.NewTextHandler(io.Discard, nil)))
	m.Ready("")
	m.Watch(context.Background(), func() Probe { t.Error("probed without a watchdog"); return Probe{} })
	if ln, err := Listener("http"); ln != nil || err != nil {
		t.Errorf("Listener = %v, %v; want none", ln, err)
	}
}

// A child is started as systemd starts it: the socket is descriptor 3, and LISTEN_PID is
// its own process id.
func TestASocketThatSystemdPassedIsListenedOn(t *testing.T) {
	if os.Getenv("SERVICE_TEST_CHILD") != "" {
		if ln, err := Listener("other"); ln != nil || err == nil || !strings.Contains(err.Error(), "FileDescriptorName=other") {
			t.Fatalf("a socket with another name: Listener = %v, %v, want what to set", ln, err)
		}
		ln, err := Listener("http")
		if err != nil || ln == nil {
			t.Fatalf("Listener = %v, %v", ln, err)
		}
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("hello"))
		_ = c.Close()
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" -test.run '^TestASocketThatSystemdPassedIsListenedOn$'`, exe)
	child.Env = append(os.Environ(), "SERVICE_TEST_CHILD=1", "LISTEN_FDS=1", "LISTEN_FDNAMES=http")
	child.ExtraFiles = []*os.File{file}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	got, err := io.ReadAll(c)
	if string(got) != "hello" {
		t.Errorf("the child answered %q (%v), want hello", got, err)
	}
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
}
