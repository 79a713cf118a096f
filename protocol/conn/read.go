package conn

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

func (c *Conn) read() {
	r := bufio.NewReaderSize(c.nc, 32<<10)
	var buf []byte
	var err error
	for err == nil {
		buf, err = c.readOne(r, buf)
	}
	c.shut(err)
	<-c.writerDone // nothing of any request is read from here on
	c.tellAll()
	close(c.done)
}

// readOne reads one answer and reports it to whoever waits for it. buf is reused for
// answers of which the decoder keeps nothing.
func (c *Conn) readOne(r *bufio.Reader, buf []byte) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(r, head[:4]); err != nil {
		return buf, c.readError("waiting for an answer", err)
	}
	size := int(int32(binary.BigEndian.Uint32(head[:])))
	if size < 4 || size > c.maxBytes {
		return buf, c.sizeError(r, head[:4], size)
	}
	if _, err := io.ReadFull(r, head[4:]); err != nil {
		return buf, c.readError("reading an answer", err)
	}
	q, err := c.oldest(int32(binary.BigEndian.Uint32(head[4:])))
	if err != nil {
		return buf, err
	}
	if buf, err = readBody(r, buf, size-4); err != nil {
		return nil, c.readError("reading an answer", err)
	}
	resp := q.response()
	if err := decode(resp, buf); err != nil {
		return nil, fmt.Errorf("broker %s: answer to %s version %d, %d bytes: %w",
			c.addr, kmsg.NameForKey(resp.Key()), resp.GetVersion(), size, err)
	}
	if err := c.answered(q); err != nil {
		return nil, err
	}
	q.done(resp, true, nil)
	if q.produce == nil || cap(buf) > keepBuf {
		buf = nil // a response may point into it (Fetch does)
	}
	return buf, nil
}

// oldest is the call that the next answer must belong to.
func (c *Conn) oldest(correlation int32) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, c.err
	}
	if len(c.flight) == 0 || !c.flight[0].begun {
		return nil, &ProtocolError{Addr: c.addr, What: fmt.Sprintf("an answer (correlation id %d) that nothing was asked for", correlation)}
	}
	q := c.flight[0]
	if q.correlation != correlation {
		return nil, &ProtocolError{Addr: c.addr, What: fmt.Sprintf("answer with correlation id %d, where %d was due", correlation, q.correlation)}
	}
	return q, nil
}

// answered takes q off what is in flight. The answer can be here before the writer
// goroutine has noticed that its write is over: wait for it, it still holds the bytes.
func (c *Conn) answered(q *call) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for q.writing {
		c.wrote.Wait()
	}
	if c.err != nil {
		return c.err // q stays in flight, and is answered with the others
	}
	c.flight = pop(c.flight)
	c.served = true
	c.setReadDeadline()
	return nil
}

// setReadDeadline makes the reader give up when the first of the requests in flight is
// due. Nothing in flight: wait for ever, to notice that the broker closes. mu is held.
func (c *Conn) setReadDeadline() {
	var first time.Time
	for _, q := range c.flight {
		if q.begun && (first.IsZero() || q.deadline.Before(first)) {
			first = q.deadline
		}
	}
	_ = c.nc.SetReadDeadline(first) // fails only on a closed connection, which the next read reports
}

// tellAll fails what is left, in order. The writer has ended.
func (c *Conn) tellAll() {
	c.mu.Lock()
	err, left := c.err, append(c.flight, c.queue...)
	c.flight, c.queue = nil, nil
	c.mu.Unlock()
	for _, q := range left {
		q.done(nil, q.begun, err)
	}
}

// readError says what a failed read means.
func (c *Conn) readError(doing string, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	lost := &LostError{Addr: c.addr, Doing: doing, Err: err}
	if !c.served && !c.identified {
		lost.Hint = "does this listener want SASL (security.protocol)?"
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		for _, q := range c.flight {
			lost.After = max(lost.After, q.timeout)
			if q.begun && !q.deadline.After(time.Now()) {
				lost.After = q.timeout
				break
			}
		}
	}
	return lost
}

func (c *Conn) sizeError(r *bufio.Reader, head []byte, size int) error {
	what := fmt.Sprintf("an answer of %d bytes, the limit is %d", size, c.maxBytes)
	if more, _ := r.Peek(min(r.Buffered(), 40)); size < 0 || !plausible(head) {
		what += fmt.Sprintf(" (%q)", append(head, more...))
	}
	return &ProtocolError{Addr: c.addr, What: what}
}

// plausible reports whether a length field could be one, and not text.
func plausible(head []byte) bool { return head[0] < ' ' }

// response is an empty response of the right kind and version.
func (q *call) response() kmsg.Response {
	if q.produce != nil {
		resp := kmsg.NewPtrProduceResponse()
		resp.Version = q.produce.Version
		return resp
	}
	resp := q.req.ResponseKind()
	resp.SetVersion(q.req.GetVersion())
	return resp
}

// readBody reads n bytes, into buf if they fit. It takes memory only as bytes
// arrive, so that a length field alone costs nothing.
func readBody(r io.Reader, buf []byte, n int) ([]byte, error) {
	const step = 1 << 20
	if cap(buf) < n {
		buf = make([]byte, 0, min(n, step))
	}
	buf = buf[:0]
	for len(buf) < n {
		have := len(buf)
		if have == cap(buf) {
			buf = append(make([]byte, 0, min(n, 2*have)), buf...)
		}
		buf = buf[:min(n, cap(buf))]
		if _, err := io.ReadFull(r, buf[have:]); err != nil {
			return nil, err
		}
	}
	return buf, nil
}

// decode reads a response after its correlation id.
func decode(resp kmsg.Response, b []byte) error {
	if resp.IsFlexible() && resp.Key() != apiVersionsKey { // whose header is version 0 always (KIP-511)
		var err error
		if b, err = protocol.SkipTags(b); err != nil {
			return err
		}
	}
	return resp.ReadFrom(b)
}
