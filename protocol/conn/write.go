package conn

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// writer is what the writer goroutine owns.
type writer struct {
	c           *Conn
	correlation int32
	formatter   *kmsg.RequestFormatter
	produce     protocol.ProduceEncoder
	partitions  []protocol.ProducePartition
	buf         []byte        // a control request
	single      [1][]byte     // it, as pieces
	joined      *bufio.Writer // nil on plain TCP, which takes many slices in one call
}

// keepBuf is the largest buffer that is kept for the next request.
const keepBuf = 64 << 10

func (c *Conn) write(clientID string) {
	defer close(c.writerDone)
	w := writer{c: c, formatter: kmsg.NewRequestFormatter(kmsg.FormatterClientID(clientID))}
	w.produce.ClientID = clientID
	if _, plain := c.nc.(*net.TCPConn); !plain {
		w.joined = bufio.NewWriterSize(c.nc, keepBuf)
	}
	for {
		q, ok := w.next()
		if !ok {
			return
		}
		w.send(q)
	}
}

// next takes the oldest request of the queue, or waits for one.
func (w *writer) next() (*call, bool) {
	c := w.c
	for {
		c.mu.Lock()
		if c.err != nil {
			c.mu.Unlock()
			return nil, false
		}
		if len(c.queue) > 0 && !c.renewAt.IsZero() && !time.Now().Before(c.renewAt) {
			c.mu.Unlock()
			if err := w.relogin(); err != nil {
				c.shut(err)
			}
			continue
		}
		if len(c.queue) > 0 {
			q := c.queue[0]
			c.queue = pop(c.queue)
			w.launch(q)
			c.mu.Unlock()
			return q, true
		}
		c.mu.Unlock()
		select {
		case <-c.wake:
		case <-c.closing:
			return nil, false
		}
	}
}

// launch puts q behind what is in flight, not begun: it is answered in its turn if the connection ends here. mu is held.
func (w *writer) launch(q *call) {
	w.c.flight = append(w.c.flight, q)
	q.writing = true
	w.correlation = (w.correlation + 1) & (1<<31 - 1)
	q.correlation = w.correlation
}

// send encodes and writes one request.
func (w *writer) send(q *call) {
	c := w.c
	pieces, size, err := w.encode(q)
	now := time.Now()
	c.mu.Lock()
	if err != nil || c.err != nil {
		q.writing = false
		if err != nil && c.err == nil {
			c.flight = c.flight[:len(c.flight)-1] // the newest: nobody else appends
		} else {
			err = nil // the reader reports it, with the others
		}
		c.wrote.Broadcast()
		c.mu.Unlock()
		if err != nil {
			q.done(nil, false, err)
		}
		return
	}
	q.begun = true
	q.deadline = now.Add(q.timeout)
	c.setReadDeadline()
	c.mu.Unlock()

	// The reader's deadline ends a write that hangs, too; but not when the reader
	// waits for it, with an answer that came too early.
	if err = c.nc.SetWriteDeadline(q.deadline); err == nil {
		err = w.put(pieces, size)
	}
	if err != nil {
		c.shut(&LostError{Addr: c.addr, Doing: "writing a request", After: q.timeout, Err: err})
	}
	clear(pieces) // the batches are their owner's again: hold on to none of them
	clear(w.partitions)
	c.mu.Lock()
	q.writing = false
	c.wrote.Broadcast()
	c.mu.Unlock()
}

// encode returns the request in slices and its size. They are reused by the next.
func (w *writer) encode(q *call) ([][]byte, int, error) {
	if q.produce == nil {
		if cap(w.buf) > keepBuf {
			w.buf = nil
		}
		w.buf = w.formatter.AppendRequest(w.buf[:0], q.req, q.correlation)
		w.single[0] = w.buf
		return w.single[:], len(w.buf), nil
	}
	partitions, err := q.produce.Encode(w.partitions[:0])
	if err != nil {
		return nil, 0, fmt.Errorf("Produce request for %s: %w", w.c.addr, err)
	}
	w.partitions = partitions
	w.produce.TransactionalID = q.produce.TransactionalID
	return w.produce.Encode(q.produce.Version, q.correlation, q.produce.TimeoutMillis, partitions)
}

// put writes all pieces, in one system call where that is possible.
func (w *writer) put(pieces [][]byte, size int) error {
	if w.joined == nil {
		buffers := net.Buffers(pieces)
		n, err := buffers.WriteTo(w.c.nc)
		if err == nil && n != int64(size) {
			err = io.ErrShortWrite
		}
		return err
	}
	for _, p := range pieces {
		if _, err := w.joined.Write(p); err != nil {
			return err
		}
	}
	return w.joined.Flush()
}

// pop removes the first call and keeps the rest where the slice begins, so that
// it does not wander through memory.
func pop(calls []*call) []*call {
	n := copy(calls, calls[1:])
	calls[n] = nil
	return calls[:n]
}
