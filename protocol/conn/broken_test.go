package conn

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// After the handshake a broker goes wrong in some way: everything in flight must
// be told, written, and the connection must end with the reason.
func TestABrokerThatBreaksTheProtocolLosesTheConnection(t *testing.T) {
	for name, tt := range map[string]struct {
		script func(nc net.Conn, r request)
		want   string
	}{
		"closes":            {func(net.Conn, request) {}, "it closed the connection"},
		"closes mid-frame":  {func(nc net.Conn, r request) { _, _ = nc.Write(frame(r.correlation, metadataBody())[:9]) }, "it closed the connection"},
		"closes mid-length": {func(nc net.Conn, r request) { _, _ = nc.Write([]byte{0, 0}) }, "it closed the connection"},
		"wrong correlation id": {func(nc net.Conn, r request) {
			_, _ = nc.Write(frame(r.correlation+1, metadataBody()))
		}, "correlation id 2, where 1 was due"},
		"huge length": {func(nc net.Conn, r request) {
			b := frame(r.correlation, metadataBody())
			b[0] = 0x1f
			_, _ = nc.Write(b)
		}, "the limit is"},
		"negative length": {func(nc net.Conn, r request) { _, _ = nc.Write([]byte{0xff, 0xff, 0xff, 0xff}) }, "an answer of -1 bytes"},
		"text":            {func(nc net.Conn, r request) { _, _ = io.WriteString(nc, "HTTP/1.1 502 Bad Gateway\r\n") }, `"HTTP/1.1 502`},
		"garbage":         {func(nc net.Conn, r request) { _, _ = nc.Write(frame(r.correlation, []byte{0, 0xff, 0xff})) }, "answer to Metadata version 13"},
		"bad tags":        {func(nc net.Conn, r request) { _, _ = nc.Write(frame(r.correlation, []byte{9, 0xff})) }, "tagged fields"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := peer(t, func(nc net.Conn) {
				if hello(nc) != nil {
					return
				}
				first, err := receive(nc)
				if err != nil {
					return
				}
				if _, err = receive(nc); err == nil {
					tt.script(nc, first)
				}
			})
			c := dial(t, Options{Addr: addr, RequestTimeout: patience})
			one, two := ask(t, c, metadata(c), patience), ask(t, c, metadata(c), patience)
			for i, ch := range []<-chan answer{one, two} {
				if a := wait(t, ch, "the failure"); a.err == nil || !a.written || !strings.Contains(a.err.Error(), tt.want) || !strings.Contains(a.err.Error(), addr) {
					t.Errorf("request %d: %v, written %v; want %q and %s in it", i, a.err, a.written, tt.want, addr)
				}
			}
			wait(t, c.Done(), "the connection's end")
		})
	}
}

func TestAnAnswerThatNobodyAskedForClosesTheConnection(t *testing.T) {
	addr := peer(t, func(nc net.Conn) {
		if hello(nc) == nil {
			_, _ = nc.Write(frame(1, metadataBody()))
			_, _ = nc.Read(make([]byte, 1))
		}
	})
	c := dial(t, Options{Addr: addr, RequestTimeout: patience})
	wait(t, c.Done(), "the connection's end")
	var p *ProtocolError
	if err := c.Err(); !errors.As(err, &p) || !strings.Contains(err.Error(), "nothing was asked for") {
		t.Errorf("Err() = %v", err)
	}
}

func TestAnIdleConnectionHearsTheBrokerClose(t *testing.T) {
	addr := peer(t, func(nc net.Conn) { _ = hello(nc) })
	c := dial(t, Options{Addr: addr, RequestTimeout: patience})
	wait(t, c.Done(), "the connection's end")
	var lost *LostError
	if err := c.Err(); !errors.As(err, &lost) || lost.Timeout() {
		t.Errorf("Err() = %v", err)
	}
}

func TestARequestThatIsNotAnsweredInTimeTakesTheConnectionWithIt(t *testing.T) {
	addr := peer(t, func(nc net.Conn) {
		if hello(nc) != nil {
			return
		}
		r, _ := receive(nc)
		_, _ = nc.Write(frame(r.correlation, metadataBody()))
		_, _ = io.Copy(io.Discard, nc) // reads, and says nothing more
	})
	c := dial(t, Options{Addr: addr, RequestTimeout: patience})
	if a := wait(t, ask(t, c, metadata(c), patience), "the first answer"); a.err != nil {
		t.Fatal(a.err)
	}
	slow := ask(t, c, metadata(c), time.Hour)
	quick := ask(t, c, metadata(c), 30*time.Millisecond) // due before what is ahead of it
	for i, ch := range []<-chan answer{slow, quick} {
		a := wait(t, ch, "the timeout")
		var lost *LostError
		if !errors.As(a.err, &lost) || !lost.Timeout() || !a.written || !strings.Contains(a.err.Error(), "timed out after 30ms") {
			t.Errorf("request %d: %+v", i, a)
		}
	}
	wait(t, c.Done(), "the connection's end")
}

func TestABrokerThatDoesNotReadTimesOutAndWhatWasNotBegunIsSaidSo(t *testing.T) {
	hang := make(chan struct{})
	addr := peer(t, func(nc net.Conn) {
		_ = hello(nc)
		<-hang
	})
	defer close(hang)
	c := dial(t, Options{Addr: addr, RequestTimeout: patience})
	big := make([]byte, 64<<20) // more than the sockets hold
	ch := make(chan answer, 1)
	c.Produce(&ProduceRequest{Version: 13, Encode: func(dst []protocol.ProducePartition) ([]protocol.ProducePartition, error) {
		return append(dst, protocol.ProducePartition{Topic: "orders", Batch: big}), nil
	}}, 50*time.Millisecond, once(t, ch))
	behind := ask(t, c, metadata(c), time.Hour)
	if a := wait(t, ch, "the timeout"); a.err == nil || !a.written {
		t.Errorf("what filled the socket: %+v", a)
	}
	if a := wait(t, behind, "what was behind it"); a.err == nil || a.written {
		t.Errorf("what was behind it: %+v, want an error and nothing written", a)
	}
}

func TestAnAnswerToARequestThatWasNotReadIsNoAnswer(t *testing.T) {
	hang := make(chan struct{})
	addr := peer(t, func(nc net.Conn) {
		_ = hello(nc)
		var head [12]byte
		if _, err := io.ReadFull(nc, head[:]); err == nil {
			resp := kmsg.NewPtrProduceResponse()
			resp.Version = 13
			_, _ = nc.Write(frame(binary.BigEndian.Uint32(head[8:]), append([]byte{0}, resp.AppendTo(nil)...)))
		}
		<-hang
	})
	defer close(hang)
	c := dial(t, Options{Addr: addr, RequestTimeout: patience})
	ch := make(chan answer, 1)
	c.Produce(&ProduceRequest{Version: 13, Encode: func(dst []protocol.ProducePartition) ([]protocol.ProducePartition, error) {
		return append(dst, protocol.ProducePartition{Topic: "orders", Batch: make([]byte, 64<<20)}), nil
	}}, 100*time.Millisecond, once(t, ch))
	if a := wait(t, ch, "the timeout"); a.err == nil || !a.written || !strings.Contains(a.err.Error(), "timed out after 100ms") {
		t.Errorf("told %+v", a)
	}
	wait(t, c.Done(), "the connection's end")
}

func TestAnIdleConnectionOutlivesTheDeadlineOfItsLastRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			if hello(theirs) != nil {
				return
			}
			for {
				r, err := receive(theirs)
				if err != nil {
					return
				}
				_, _ = theirs.Write(frame(r.correlation, metadataBody()))
			}
		}()
		c := dial(t, Options{Addr: "pipe:1", Dial: func(context.Context, string, string) (net.Conn, error) { return ours, nil }})
		for range 3 {
			if a := wait(t, ask(t, c, metadata(c), time.Second), "an answer"); a.err != nil {
				t.Fatal(a.err)
			}
			select {
			case <-c.Done():
				t.Fatalf("closed while idle: %v", c.Err())
			case <-time.After(time.Hour): // of the bubble's time
			}
		}
	})
}

// Law: whatever bytes come after two requests, each of both is told once, an answer or why there is none, and that
// it was written; and the connection ends.
func FuzzWhateverABrokerAnswersEveryRequestIsToldOnce(f *testing.F) {
	f.Add(frame(1, metadataBody()))
	f.Add(append(frame(1, metadataBody()), frame(2, metadataBody())...))
	f.Add([]byte("HTTP/1.1 400 Bad Request\r\n"))
	f.Fuzz(func(t *testing.T, bytes []byte) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			if hello(theirs) != nil {
				return
			}
			for range 2 {
				if _, err := receive(theirs); err != nil {
					return
				}
			}
			_, _ = theirs.Write(bytes)
		}()
		c := dial(t, Options{Addr: "pipe:1", RequestTimeout: patience,
			Dial: func(context.Context, string, string) (net.Conn, error) { return ours, nil }})
		for _, ch := range []<-chan answer{ask(t, c, metadata(c), patience), ask(t, c, metadata(c), patience)} {
			if a := wait(t, ch, "an answer or a failure"); (a.resp == nil) == (a.err == nil) || !a.written {
				t.Errorf("told %+v", a)
			}
		}
		wait(t, c.Done(), "the connection's end")
	})
}
