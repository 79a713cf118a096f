package httpin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func startServer(t *testing.T, h *Handler, limit int, prepare ...func(*Server)) *Server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := On(Limit(ln, "http.max.connections", limit), h, slog.New(slog.DiscardHandler))
	for _, f := range prepare {
		f(s)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func TestAClientThatHangsUpHalfWayLeavesNothing(t *testing.T) {
	h, sink, hooks := newTest(testConfig())
	s := startServer(t, h, 10)
	c := dial(t, s)
	fmt.Fprintf(c, "POST /topics/t HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 100\r\n\r\n{\"records\":[{\"value\":1}", typeJSON)
	_ = c.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(c)
	if !strings.Contains(string(answer), "nothing was spooled") || !strings.Contains(string(answer), "400") {
		t.Errorf("answer %q", answer)
	}
	until(t, func() bool { hooks.mu.Lock(); defer hooks.mu.Unlock(); return len(hooks.rejected) == 1 })
	if len(sink.batches) != 0 {
		t.Errorf("%d batches were spooled", len(sink.batches))
	}
}

func TestAConnectionTooManyIsAnswered503(t *testing.T) {
	h, _, _ := newTest(testConfig())
	s := startServer(t, h, 2)
	first, second := dial(t, s), dial(t, s)
	for _, c := range []net.Conn{first, second} { // both are accepted once they are answered
		fmt.Fprintf(c, "POST /topics/t HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 25\r\n\r\n{\"records\":[{\"value\":1}]}", typeJSON)
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 200 {
			t.Fatalf("%v %v", res, err)
		}
	}
	third := dial(t, s)
	res, err := http.ReadResponse(bufio.NewReader(third), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 503 || res.Header.Get("Retry-After") == "" || !strings.Contains(string(body), "http.max.connections is 2") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	_ = first.Close()
	until(t, func() bool {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			return false
		}
		defer c.Close()
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		return err == nil && res.StatusCode == 200
	})
}
