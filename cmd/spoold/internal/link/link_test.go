package link

import (
	"io"
	"net"
	"testing"
	"time"
)

func TestACutLinkBreaksConnectionsAndRefusesNewOnesUntilMended(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	l, err := Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial := Dialer(l.Addr())

	say := func(c net.Conn) error {
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Write([]byte("ping")); err != nil {
			return err
		}
		_, err := io.ReadFull(c, make([]byte, 4))
		return err
	}
	c, err := dial(t.Context(), "tcp", echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := say(c); err != nil {
		t.Fatalf("up: %v", err)
	}
	l.Cut()
	if err := say(c); err == nil {
		t.Error("a byte came over a link that is down")
	}
	if c, err := dial(t.Context(), "tcp", echo.Addr().String()); err == nil {
		t.Error("a link that is down let a new connection through")
		_ = c.Close()
	}
	l.Mend()
	again, err := dial(t.Context(), "tcp", echo.Addr().String())
	if err != nil {
		t.Fatalf("mended: %v", err)
	}
	defer again.Close()
	if err := say(again); err != nil {
		t.Errorf("mended: %v", err)
	}
}
