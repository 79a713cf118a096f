package httpin

import (
	"net"
	"testing"
	"time"
)

// Clients that hold connections and send nothing must not keep those out that have something to send.
func TestAConnectionThatHasBeenIdleMakesRoomForANewOne(t *testing.T) {
	under, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := Limit(under, "http.max.connections", 2)
	defer ln.Close()
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", under.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	idle := <-accepted
	busy := dial()
	served := <-accepted
	if _, err := busy.Write([]byte("POST")); err != nil {
		t.Fatal(err)
	}
	if _, err := served.Read(make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	idle.(*limitedConn).quiet.Store(time.Now().Add(-time.Second).UnixNano())
	dial()
	third := <-accepted
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("the idle connection is open still")
	}
	if _, err := busy.Write([]byte(" /")); err != nil {
		t.Error(err)
	}
	if _, err := served.Read(make([]byte, 2)); err != nil {
		t.Errorf("the one with a request under way: %v", err)
	}
	_ = idle.Close() // twice
	// Both have requests under way now: the next one is told that there are too many.
	third.(*limitedConn).quiet.Store(0)
	c := dial()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, 12)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "HTTP/1.1 503" {
		t.Errorf("it reads %q, %v", b[:n], err)
	}
}
