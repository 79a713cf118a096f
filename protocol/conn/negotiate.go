package conn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

const (
	apiVersionsKey int16 = 18
	// newestApiVersions is the version asked first: Apache Kafka 3.9's and 4.x's own clients ask it.
	newestApiVersions int16 = 4
	// maxHello bounds the answer to ApiVersions: 100 APIs are under 2 KB.
	maxHello = 256 << 10
)

// versions are the ranges that a broker supports, by API key.
type versions []versionRange

type versionRange struct{ min, max int16 }

// best is the highest version that the broker, kmsg and the caller have.
func (v versions) best(key, most int16) (int16, bool) {
	if key < 0 || int(key) >= len(v) || v[key].max < v[key].min {
		return 0, false
	}
	ours := kmsg.RequestForKey(key)
	if ours == nil {
		return 0, false
	}
	best := min(v[key].max, ours.MaxVersion())
	if key == protocol.ProduceKey {
		best = min(best, protocol.ProduceMaxVersion)
		if best < protocol.ProduceMinVersion {
			return 0, false
		}
	}
	if most >= 0 {
		best = min(best, most)
	}
	return best, best >= v[key].min
}

// begin makes a connection that was just opened, and that nobody else uses yet, ready for requests.
func (c *Conn) begin(ctx context.Context, o Options) error {
	deadline, _ := ctx.Deadline()
	if err := c.raw.SetDeadline(deadline); err != nil {
		return &DialError{Addr: c.addr, Err: err}
	}
	stop := context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(time.Unix(1, 0)) })
	err := c.negotiate(ctx, o)
	if !stop() && (err == nil || ctx.Err() != context.DeadlineExceeded) {
		return &DialError{Addr: c.addr, Err: context.Cause(ctx)}
	}
	if err != nil {
		return err
	}
	return c.raw.SetDeadline(time.Time{})
}

// negotiate encrypts, asks ApiVersions, and authenticates, in this order.
func (c *Conn) negotiate(ctx context.Context, o Options) error {
	security, err := c.secure(ctx)
	if err != nil {
		return err
	}
	resp, err := c.agree(o)
	if err != nil {
		return err
	}
	if code := protocol.ErrorCode(resp.ErrorCode); code != protocol.None {
		return fmt.Errorf("broker %s answers ApiVersions with %w", c.addr, code)
	}
	c.versions = ranges(resp)
	if _, ok := c.versions.best(protocol.ProduceKey, -1); !ok {
		return fmt.Errorf("broker %s offers no version of Produce from %d to %d: is it older than Kafka 0.11, or a controller's listener?",
			c.addr, protocol.ProduceMinVersion, protocol.ProduceMaxVersion)
	}
	c.identified = security.SASL != nil
	correlation := int32(-100)
	return c.login(ctx, security.SASL, func(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
		correlation--
		return c.ask(o.ClientID, req, correlation)
	})
}

// ask sends one request and reads its answer, before the connection's goroutines run.
func (c *Conn) ask(clientID string, req kmsg.Request, correlation int32) (kmsg.Response, error) {
	lost := func(err error) error {
		return &LostError{Addr: c.addr, Doing: "authenticating", After: c.timeout, Err: err}
	}
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID)).AppendRequest(nil, req, correlation)
	if _, err := c.nc.Write(frame); err != nil {
		return nil, lost(err)
	}
	var head [8]byte
	if _, err := io.ReadFull(c.nc, head[:]); err != nil {
		return nil, lost(err)
	}
	size := int(int32(binary.BigEndian.Uint32(head[:])))
	if size < 4 || size > maxHello || int32(binary.BigEndian.Uint32(head[4:])) != correlation {
		return nil, &ProtocolError{Addr: c.addr, What: fmt.Sprintf("%q as an answer to %s", head[:], kmsg.NameForKey(req.Key()))}
	}
	body, err := readBody(c.nc, nil, size-4)
	if err != nil {
		return nil, lost(err)
	}
	resp := (&call{req: req}).response()
	if err := decode(resp, body); err != nil {
		return nil, &ProtocolError{Addr: c.addr, What: fmt.Sprintf("an answer to %s that cannot be read (%v)", kmsg.NameForKey(req.Key()), err)}
	}
	return resp, nil
}

// agree asks in the newest version, then in the one that a refusal names, then in the oldest.
func (c *Conn) agree(o Options) (*kmsg.ApiVersionsResponse, error) {
	for version := newestApiVersions; ; {
		resp, err := c.hello(o, version)
		if err != nil || resp.ErrorCode != int16(protocol.UnsupportedVersion) || version == 0 {
			return resp, err
		}
		version = min(version-1, fallback(resp))
	}
}

// fallback is the version to ask after a refusal, whose answer says what the broker has (KIP-511).
func fallback(resp *kmsg.ApiVersionsResponse) int16 {
	for _, k := range resp.ApiKeys {
		if k.ApiKey == apiVersionsKey && k.MinVersion >= 0 {
			return max(0, k.MaxVersion)
		}
	}
	return 0
}

func ranges(resp *kmsg.ApiVersionsResponse) versions {
	var v versions
	for _, k := range resp.ApiKeys {
		if k.ApiKey < 0 || k.ApiKey > 1000 {
			continue
		}
		for int(k.ApiKey) >= len(v) {
			v = append(v, versionRange{0, -1})
		}
		v[k.ApiKey] = versionRange{k.MinVersion, k.MaxVersion}
	}
	return v
}

// hello sends one ApiVersions request and reads its answer.
func (c *Conn) hello(o Options, version int16) (*kmsg.ApiVersionsResponse, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version = version
	req.ClientSoftwareName, req.ClientSoftwareVersion = "spoold", softwareVersion(o.SoftwareVersion)
	correlation := int32(-1) - int32(version) // differs from every later one
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID(o.ClientID)).AppendRequest(nil, req, correlation)
	if _, err := c.nc.Write(frame); err != nil {
		return nil, c.helloError(err, nil)
	}
	head := make([]byte, 8)
	n, err := io.ReadFull(c.nc, head)
	if err != nil {
		return nil, c.helloError(err, head[:n])
	}
	size := int(int32(binary.BigEndian.Uint32(head)))
	got := int32(binary.BigEndian.Uint32(head[4:]))
	if size < 6 || size > maxHello || got != correlation {
		more := make([]byte, 32)
		n, _ := c.nc.Read(more) // for the message only
		return nil, c.notKafka(append(head, more[:n]...))
	}
	body := make([]byte, size-4)
	if n, err := io.ReadFull(c.nc, body); err != nil {
		return nil, c.helloError(err, append(head, body[:n]...))
	}
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.Version = version
	if int16(binary.BigEndian.Uint16(body)) == int16(protocol.UnsupportedVersion) {
		resp.Version = 0 // such an answer is version 0, whatever was asked
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, &NotKafkaError{Addr: c.addr, What: "its answer to ApiVersions cannot be read", Err: err}
	}
	return resp, nil
}

// helloError says what silence means, or half an answer.
func (c *Conn) helloError(err error, got []byte) error {
	switch {
	case len(got) > 0:
		return c.notKafka(got)
	case c.encrypted && isAlert(err): // TLS 1.3 reports a client's certificate only after the handshake
		return tlsError(c.addr, err, nil)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &NotKafkaError{Addr: c.addr, Err: err,
			What: "it took the connection and says nothing. Does it speak Kafka, or wait for something else; is the broker overloaded?"}
	}
	what := "it closed the connection at the first request. Does it want TLS (security.protocol), is it another service, or a proxy with no broker behind it?"
	if c.encrypted {
		what = "it closed the encrypted connection at the first request. Is it another service, or a proxy with no broker behind it?"
	}
	return &NotKafkaError{Addr: c.addr, Err: err, What: what}
}

// notKafka guesses what speaks there from its first bytes.
func (c *Conn) notKafka(got []byte) error {
	what := "it answered " + strconv.Quote(string(got)) + ". Is this the port of another service?"
	switch {
	case len(got) >= 4 && string(got[:4]) == "HTTP":
		what = "it answered " + strconv.Quote(string(got)) + ": that is an HTTP server. Is this the port of another service?"
	case len(got) >= 2 && (got[0] == 0x15 || got[0] == 0x16) && got[1] == 3:
		what = "it answered with TLS: this port wants an encrypted connection (security.protocol)"
	}
	return &NotKafkaError{Addr: c.addr, What: what}
}

// softwareVersion makes s acceptable to a broker: letters, digits, dots and
// dashes, beginning and ending with a letter or digit.
func softwareVersion(s string) string {
	b := []byte(s)
	for i, ch := range b {
		if !alphanumeric(ch) && (i == 0 || i == len(b)-1 || ch != '-' && ch != '.') {
			b[i] = 'x'
		}
	}
	if len(b) == 0 {
		return "unknown"
	}
	return string(b)
}

func alphanumeric(ch byte) bool {
	return ch >= '0' && ch <= '9' || ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z'
}
