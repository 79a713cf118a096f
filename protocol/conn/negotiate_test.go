package conn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

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
