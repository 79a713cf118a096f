package conn

import (
	"bufio"
	"bytes"
	"errors"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// A broker refuses a name with other characters, or that begins or ends with a dot or a dash (KIP-511).
func TestTheSoftwareVersionIsOneThatABrokerTakes(t *testing.T) {
	for version, want := range map[string]string{
		"":                 "unknown",
		"1.2.3-rc.1":       "1.2.3-rc.1",
		"09azAZ":           "09azAZ",
		"0/9:a`z{A@Z[0":    "0x9xaxzxAxZx0",
		"-1.2.":            "x1.2x",
		".1.2-":            "x1.2x",
		"-":                "x",
		"v1+dirty (local)": "v1xdirtyxxlocalx",
	} {
		if got := softwareVersion(version); got != want {
			t.Errorf("%q is told as %q, want %q", version, got, want)
		}
	}
}

func TestTheBestVersionIsWhatAllHave(t *testing.T) {
	const metadata, absent, produce = 3, 2, protocol.ProduceKey
	v := versions{produce: {3, 13}, 1: {0, 4}, absent: {0, -1}, metadata: {2, 9}}
	tests := []struct {
		name      string
		key, most int16
		produce   versionRange // instead, if it is not zero
		want      int16
		ok        bool
	}{
		{"no cap", metadata, -1, versionRange{}, 9, true},
		{"a cap above", metadata, 12, versionRange{}, 9, true},
		{"a cap inside", metadata, 4, versionRange{}, 4, true},
		{"a cap at the broker's lowest", metadata, 2, versionRange{}, 2, true},
		{"a cap below it", metadata, 1, versionRange{}, 0, false},
		{"version 0", 1, 0, versionRange{}, 0, true},
		{"a key that the broker does not have", absent, -1, versionRange{}, 0, false},
		{"a key behind the last", 4, -1, versionRange{}, 0, false},
		{"a negative key", -1, -1, versionRange{}, 0, false},
		{"what we write of Produce", produce, -1, versionRange{}, protocol.ProduceMaxVersion, true},
		{"the oldest Produce that we write", produce, -1, versionRange{0, protocol.ProduceMinVersion}, protocol.ProduceMinVersion, true},
		{"an older one", produce, -1, versionRange{0, protocol.ProduceMinVersion - 1}, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if v[produce] = (versionRange{3, 13}); tt.produce != (versionRange{}) {
				v[produce] = tt.produce
			}
			got, ok := v.best(tt.key, tt.most)
			if ok != tt.ok || ok && got != tt.want {
				t.Errorf("version %d, %v; want %d, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// Kafka has under 100 keys: a broker that names far more takes no memory for them.
func TestKeysUpTo1000AreKept(t *testing.T) {
	resp := kmsg.NewPtrApiVersionsResponse()
	for _, key := range []int16{-1, 0, 1000, 1001, math.MaxInt16} {
		resp.ApiKeys = append(resp.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: key, MinVersion: 1, MaxVersion: 2})
	}
	v := ranges(resp)
	if len(v) != 1001 || v[0] != (versionRange{1, 2}) || v[1000] != (versionRange{1, 2}) || v[999] != (versionRange{0, -1}) {
		t.Errorf("%d keys are kept: %v, %v, %v", len(v), v[0], v[999], v[len(v)-1])
	}
}

func TestTheFirstBytesSayWhatIsThere(t *testing.T) {
	const http, tls, other = "an HTTP server", "answered with TLS", "Is this the port of another service?"
	c := &Conn{addr: "a:1"}
	for got, want := range map[string]string{
		"HTTP": http, "HTTP/1.1 200": http, "HTT": other, "http": other,
		"\x15\x03": tls, "\x16\x03\x01": tls, "\x15": other, "\x16\x02": other, "\x17\x03": other, "\x14\x03": other,
	} {
		if err := c.notKafka([]byte(got)); !strings.Contains(err.Error(), want) || want == other && strings.Contains(err.Error(), http) {
			t.Errorf("%q: %v, want %q", got, err, want)
		}
	}
}

// The answer to the first request may have 6 bytes, correlation id and error code, up to 256 KiB.
func TestTheFirstAnswerHasBounds(t *testing.T) {
	const unread, other = "cannot be read", "port of another service"
	for body, want := range map[int]string{1: other, 2: unread, maxHello - 4: unread, maxHello - 3: other} {
		addr := peer(t, func(nc net.Conn) {
			r, err := receive(nc)
			if int32(r.correlation) != -1-int32(r.version) {
				t.Errorf("ApiVersions %d has correlation id %d", r.version, int32(r.correlation))
			}
			if err == nil {
				_, _ = nc.Write(frame(r.correlation, bytes.Repeat([]byte{0xff}, body)))
			}
		})
		if _, err := Dial(t.Context(), Options{Addr: addr, RequestTimeout: patience}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("an answer of %d bytes: %v, want %q", body+4, err, want)
		}
	}
}

func TestAnAnswerHasBounds(t *testing.T) {
	for size, want := range map[int]string{4: "answer to Metadata", 1000: "answer to Metadata", 1001: "an answer of 1001 bytes, the limit is 1000"} {
		addr := peer(t, func(nc net.Conn) {
			if hello(nc) != nil {
				return
			}
			if r, err := receive(nc); err == nil {
				_, _ = nc.Write(frame(r.correlation, bytes.Repeat([]byte{0xff}, size-4)))
			}
		})
		c := dial(t, Options{Addr: addr, RequestTimeout: patience, MaxResponseBytes: 1000})
		if a := wait(t, ask(t, c, metadata(c), patience), "the failure"); a.err == nil || !strings.Contains(a.err.Error(), want) {
			t.Errorf("an answer of %d bytes: %v, want %q", size, a.err, want)
		}
	}
}

// A length that is text is shown as text.
func TestALengthThatCannotBeIsShown(t *testing.T) {
	c := &Conn{addr: "a:1", maxBytes: 100}
	for _, tt := range []struct {
		head  string
		size  int
		shown bool
	}{{"\x00\x00\x00\x00", 0, false}, {"\x00\x00\x00\x03", 3, false}, {"\x1f\xff\xff\xff", 0x1fffffff, false}, {" GET", 0x20474554, true}, {"\xff\xff\xff\xff", -1, true}} {
		err := c.sizeError(bufio.NewReader(strings.NewReader("")), []byte(tt.head), tt.size)
		if shown := strings.Contains(err.Error(), ` ("`); shown != tt.shown {
			t.Errorf("%q: %v; bytes shown: %v, want %v", tt.head, err, shown, tt.shown)
		}
	}
}

func TestAnAnswerIsReadIntoABufferThatFits(t *testing.T) {
	buf := make([]byte, 0, 10)
	got, err := readBody(strings.NewReader("0123456789"), buf, 10)
	if err != nil || string(got) != "0123456789" || &got[0] != &buf[:1][0] {
		t.Errorf("%q, %v; want it in the buffer that is there", got, err)
	}
	if got, err = readBody(strings.NewReader("0123456789a"), buf, 11); err != nil || string(got) != "0123456789a" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err = readBody(strings.NewReader("0123"), buf, 5); err == nil {
		t.Error("5 bytes were read of 4")
	}
}

func TestARequestBeyondWhatMayWaitIsRefused(t *testing.T) {
	c := &Conn{addr: "a:1", wake: make(chan struct{}, 1), timeout: time.Minute}
	for _, timeout := range []time.Duration{0, -1, time.Second} {
		c.enqueue(&call{timeout: timeout})
	}
	if a, b, d := c.queue[0].timeout, c.queue[1].timeout, c.queue[2].timeout; a != time.Minute || b != time.Minute || d != time.Second {
		t.Errorf("timeouts %v, %v and %v; want the connection's twice, and 1 s", a, b, d)
	}
	for len(c.queue) < maxQueue {
		before := len(c.queue)
		if c.enqueue(&call{}); len(c.queue) != before+1 {
			t.Fatalf("request %d was not taken, %d may wait", before+1, maxQueue)
		}
	}
	refused := make(chan error, 1)
	c.enqueue(&call{done: func(_ kmsg.Response, written bool, err error) {
		if written {
			t.Error("it is said to have been written")
		}
		refused <- err
	}})
	if err := wait(t, refused, "the refusal"); !errors.Is(err, ErrQueueFull) || len(c.queue) != maxQueue {
		t.Errorf("%v, %d requests wait; want it refused, the queue is full", err, len(c.queue))
	}
}
