package link_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/link"
)

// echo answers each line with itself.
func echo(t *testing.T) string {
	t.Helper()
	l, err := link.Listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				_, _ = io.Copy(c, c) // ends when either side goes
			}()
		}
	}()
	return l.Addr().String()
}

func open(t *testing.T) (*link.Link, func() (net.Conn, error)) {
	t.Helper()
	l, err := link.New(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l, func() (net.Conn, error) {
		d := net.Dialer{Timeout: 2 * time.Second}
		return d.DialContext(context.Background(), "tcp", l.Addr())
	}
}

func say(t *testing.T, c net.Conn, line string) {
	t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c net.Conn, patience time.Duration) (string, error) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// talk opens a connection, on which one line comes back.
func talk(t *testing.T, dial func() (net.Conn, error), line string) net.Conn {
	t.Helper()
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	say(t, c, line)
	if got, err := hear(t, c, 5*time.Second); got != line || err != nil {
		t.Fatalf("%q comes back, %v; want %q", got, err, line)
	}
	return c
}

func TestBytesPassWhileTheLinkIsUp(t *testing.T) {
	_, dial := open(t)
	talk(t, dial, "one")
}

func TestRefusingResetsWhatIsOpenAndRefusesWhatIsNewUntilHealed(t *testing.T) {
	l, dial := open(t)
	c := talk(t, dial, "one")
	l.Refuse()
	if _, err := hear(t, c, 5*time.Second); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("open connection after Refuse: %v, want a reset", err)
	}
	if _, err := dial(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("new connection after Refuse: %v, want connection refused", err)
	}
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	talk(t, dial, "two")
}

func TestHangingLetsNothingThroughResetsNothingAndDeliversLate(t *testing.T) {
	l, dial := open(t)
	c := talk(t, dial, "one")
	l.Hang()
	say(t, c, "two")
	if got, err := hear(t, c, 200*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("while hanging heard %q, %v; want nothing", got, err)
	}
	if err := l.Heal(); err != nil {
		t.Fatal(err)
	}
	if got, err := hear(t, c, 5*time.Second); got != "two" || err != nil {
		t.Errorf("after Heal heard %q, %v; want what was said meanwhile", got, err)
	}
}

func TestCutResetsOpenConnectionsAlsoWhileHanging(t *testing.T) {
	l, dial := open(t)
	l.Hang()
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(5 * time.Second); l.Open() == 0 && time.Now().Before(deadline); {
		<-tick.C
	}
	l.Cut()
	if _, err := hear(t, c, 5*time.Second); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("connection after Cut: %v, want a reset", err)
	}
}
