package conn

import (
	"bytes"
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

// peer listens and plays script on each connection it gets, then closes it.
func peer(t testing.TB, script func(nc net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			script(nc)
			nc.Close()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		wait(t, ended, "the other side's end")
	})
	return l.Addr().String()
}

// request is what a peer read.
type request struct {
	key, version int16
	correlation  uint32
}

// receive reads one request.
func receive(nc net.Conn) (r request, err error) {
	var head [12]byte
	if _, err = io.ReadFull(nc, head[:]); err != nil {
		return r, err
	}
	be := binary.BigEndian
	r = request{int16(be.Uint16(head[4:])), int16(be.Uint16(head[6:])), be.Uint32(head[8:])}
	_, err = io.CopyN(io.Discard, nc, int64(be.Uint32(head[:]))-8)
	return r, err
}

// frame is an answer as it goes on the wire.
func frame(correlation uint32, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))
	b = binary.BigEndian.AppendUint32(b, correlation)
	return append(b, body...)
}

// hello answers ApiVersions as a broker with Produce 3-13 and Metadata 0-13.
func hello(nc net.Conn) error {
	r, err := receive(nc)
	if err != nil {
		return err
	}
	_, err = nc.Write(frame(r.correlation, apiVersions(r.version, protocol.None)))
	return err
}

func apiVersions(version int16, code protocol.ErrorCode) []byte {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version, resp.ErrorCode = version, int16(code)
	for _, k := range [][3]int16{{0, 3, 13}, {3, 0, 13}, {18, 0, 4}} {
		resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: k[0], MinVersion: k[1], MaxVersion: k[2]})
	}
	return resp.AppendTo(nil)
}

// metadataBody is an empty answer to Metadata 13, with the tags of its header.
func metadataBody() []byte {
	resp := kmsg.NewPtrMetadataResponse()
	resp.Version = 13
	return append([]byte{0}, resp.AppendTo(nil)...)
}

func TestWhatIsNotABrokerIsToldApart(t *testing.T) {
	readSome := func(nc net.Conn) { _, _ = nc.Read(make([]byte, 1024)) }
	for name, tt := range map[string]struct {
		script func(nc net.Conn)
		want   string
	}{
		"HTTP server": {func(nc net.Conn) {
			readSome(nc)
			_, _ = io.WriteString(nc, "HTTP/1.1 400 Bad Request\r\n\r\n")
		}, "HTTP server"},
		"TLS alert": {func(nc net.Conn) {
			readSome(nc)
			_, _ = nc.Write([]byte{0x15, 3, 3, 0, 2, 2, 80})
		}, "wants an encrypted connection"},
		"SSH banner":        {func(nc net.Conn) { _, _ = io.WriteString(nc, "SSH-2.0-OpenSSH_9.2\r\n"); readSome(nc) }, `"SSH-2.0-`},
		"closes at once":    {func(net.Conn) {}, "at the first request"},
		"closes when asked": {readSome, "closed the connection at the first request"},
		"half an answer":    {func(nc net.Conn) { readSome(nc); _, _ = nc.Write([]byte{0, 0, 0}) }, "port of another service"},
		"wrong correlation id": {func(nc net.Conn) {
			r, _ := receive(nc)
			_, _ = nc.Write(frame(r.correlation+1, apiVersions(4, 0)))
		}, "port of another service"},
		"garbage in the right frame": {func(nc net.Conn) {
			r, _ := receive(nc)
			_, _ = nc.Write(frame(r.correlation, bytes.Repeat([]byte{0xff}, 40)))
		}, "cannot be read"},
		"huge length": {func(nc net.Conn) {
			r, _ := receive(nc)
			b := frame(r.correlation, nil)
			b[0] = 0x7f
			_, _ = nc.Write(b)
		}, "port of another service"},
	} {
		t.Run(name, func(t *testing.T) {
			addr := peer(t, tt.script)
			_, err := Dial(t.Context(), Options{Addr: addr, RequestTimeout: patience})
			var not *NotKafkaError
			if !errors.As(err, &not) || not.Addr != addr || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error is %v, want one that names %s and says %q", err, addr, tt.want)
			}
		})
	}
}

func TestAPeerThatSaysNothingIsGivenUpInTime(t *testing.T) {
	hang := make(chan struct{})
	addr := peer(t, func(net.Conn) { <-hang })
	defer close(hang)
	_, err := Dial(t.Context(), Options{Addr: addr, RequestTimeout: 200 * time.Millisecond})
	var not *NotKafkaError
	if !errors.As(err, &not) || !strings.Contains(err.Error(), "says nothing") {
		t.Errorf("error is %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("no longer wanted")
	time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
	if _, err = Dial(ctx, Options{Addr: addr}); !errors.Is(err, why) {
		t.Errorf("cancelled: error is %v, want %v", err, why)
	}
}

func TestAPortWhereNothingListensIsSaidSo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, err = Dial(t.Context(), Options{Addr: addr})
	var d *DialError
	if !errors.As(err, &d) || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "is the broker up") {
		t.Errorf("error is %v", err)
	}
}

func TestVersionsAreAskedInAnOlderFormWhenTheBrokerSaysSo(t *testing.T) {
	for name, tt := range map[string]struct {
		refuse func(r request) []byte // answers to all but the last
		want   []int16
	}{
		"names what it has (KIP-511)": {func(r request) []byte {
			body := apiVersions(0, protocol.UnsupportedVersion)
			body[len(body)-1] = 3 // ApiVersions 0-3
			return body
		}, []int16{4, 3}},
		"names nothing (before 2.4)":  {func(request) []byte { return []byte{0, 35, 0, 0, 0, 0} }, []int16{4, 0}},
		"refuses what it said it has": {func(r request) []byte { return apiVersions(0, protocol.UnsupportedVersion) }, []int16{4, 3, 2, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan int16, 10)
			addr := peer(t, func(nc net.Conn) {
				for {
					r, err := receive(nc)
					if err != nil {
						return
					}
					asked <- r.version
					body := apiVersions(r.version, protocol.None)
					if r.version != tt.want[len(tt.want)-1] {
						body = tt.refuse(r)
					}
					_, _ = nc.Write(frame(r.correlation, body))
				}
			})
			c := dial(t, Options{Addr: addr, RequestTimeout: patience})
			for _, want := range tt.want {
				if got := wait(t, asked, "a request"); got != want {
					t.Errorf("ApiVersions version %d, want %d", got, want)
				}
			}
			if v, ok := c.Version(0, -1); !ok || v != 13 {
				t.Errorf("Version(Produce) = %d, %v", v, ok)
			}
		})
	}
}

func TestABrokerWithoutProduceIsSaidSo(t *testing.T) {
	addr := peer(t, func(nc net.Conn) {
		r, _ := receive(nc)
		body := apiVersions(0, protocol.None)
		body[7] = 1 // key 1 instead of 0
		body = append([]byte{0, 0}, body[2:]...)
		resp := kmsg.NewPtrApiVersionsResponse()
		if resp.ReadFrom(body) == nil {
			resp.Version = r.version
			_, _ = nc.Write(frame(r.correlation, resp.AppendTo(nil)))
		}
	})
	_, err := Dial(t.Context(), Options{Addr: addr, RequestTimeout: patience})
	if err == nil || !strings.Contains(err.Error(), "no version of Produce") {
		t.Errorf("error is %v", err)
	}
}

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
