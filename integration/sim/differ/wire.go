package differ

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// wire is a connection to a broker: a request, its answer, the next one. It knows nothing of versions, retries or leaders.
type wire struct {
	conn net.Conn
	last int32 // correlation id
}

const (
	dialTimeout   = 5 * time.Second
	answerTimeout = 60 * time.Second
	maxAnswer     = 64 << 20
)

func dial(addr string) (*wire, error) {
	conn, err := net.DialTimeout("tcp", addr, dialTimeout) //nolint:noctx // a test's connection, with a deadline of its own
	if err != nil {
		return nil, fmt.Errorf("differ: %w", err)
	}
	return &wire{conn: conn}, nil
}

func (w *wire) ask(req kmsg.Request) (kmsg.Response, error) {
	if err := w.send(req); err != nil {
		return nil, err
	}
	return w.receive(req)
}

func (w *wire) send(req kmsg.Request) error {
	w.last++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("differ")).AppendRequest(nil, req, w.last)
	if err := w.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return fmt.Errorf("differ: %w", err)
	}
	if _, err := w.conn.Write(frame); err != nil {
		return fmt.Errorf("differ: send %s: %w", kmsg.NameForKey(req.Key()), err)
	}
	return nil
}

func (w *wire) receive(req kmsg.Request) (kmsg.Response, error) {
	name := kmsg.NameForKey(req.Key())
	var head [8]byte
	if _, err := io.ReadFull(w.conn, head[:]); err != nil {
		return nil, fmt.Errorf("differ: answer to %s v%d: %w", name, req.GetVersion(), err)
	}
	size := int(binary.BigEndian.Uint32(head[:]))
	if size < 4 || size > maxAnswer {
		return nil, fmt.Errorf("differ: answer to %s of %d bytes", name, size)
	}
	body := make([]byte, size-4)
	if _, err := io.ReadFull(w.conn, body); err != nil {
		return nil, fmt.Errorf("differ: answer to %s: %w", name, err)
	}
	resp := req.ResponseKind()
	if resp.IsFlexible() { // the header's tags, of which there are none
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("differ: answer to %s v%d: %w", name, req.GetVersion(), err)
	}
	return resp, nil
}
