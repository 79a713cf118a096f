package httpin

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"unsafe"

	"github.com/spoold/spoold"
)

const (
	firstRead  = 4 << 10
	freeOfCost = 16 << 10 // bodies up to this take nothing of the budget
	keepAtMost = 256 << 10
)

// read takes the whole body into p.body. Memory grows with what has arrived, not
// with what was announced.
func (h *Handler) read(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	limit := h.maxBody.Load()
	if r.ContentLength > limit {
		return tooLarge(limit)
	}
	body, f := h.open(p, r, r.Body)
	if f != nil {
		return f
	}
	defer p.source.close()
	for {
		if len(p.body) == cap(p.body) {
			if f := h.grow(p, limit); f != nil {
				return f
			}
		}
		n, err := body.Read(p.body[len(p.body):cap(p.body)])
		p.body = p.body[:len(p.body)+n]
		if int64(len(p.body)) > limit {
			h.unread(p)
			return tooLarge(limit)
		}
		p.size = int64(len(p.body))
		if err == io.EOF {
			return nil
		}
		if err != nil {
			h.unread(p)
			return bodyFault(err, p.source.encoding)
		}
	}
}

func tooLarge(limit int64) *fault {
	return faultf(413, 413, "The body is larger than http.max.body.bytes (%d): send fewer records at a time", limit).closing()
}

// grow doubles p.body, inside the budget.
func (h *Handler) grow(p *parse, limit int64) *fault {
	size := max(firstRead, 2*cap(p.body))
	size = min(size, int(limit)+1)
	if size > freeOfCost {
		// Twice: the arena may become as large as the body.
		want := 2*int64(size) - p.grown
		if f := h.charge(p, want); f != nil {
			return f
		}
		p.grown += want
	}
	body := make([]byte, len(p.body), size)
	copy(body, p.body)
	p.body = body
	return nil
}

// charge takes so much of the budget.
func (h *Handler) charge(p *parse, n int64) *fault {
	if p.charged+n > h.cfg.BodyBudget {
		h.unread(p)
		return faultf(413, 413, "The request would take more memory than all large ones together may: send fewer records or headers at a time, or one record a line").closing()
	}
	if h.budget.Add(n) > h.cfg.BodyBudget {
		h.budget.Add(-n)
		h.unread(p)
		return faultf(429, 42904, "Too many large bodies at a time: nothing was spooled, send again later").retryAfter(1).closing()
	}
	p.charged += n
	return nil
}

// What one more record or header takes: its place in memory, and in an answer. A few are free.
const (
	recordCost  = int64(unsafe.Sizeof(spoold.Record{})) + 64
	headerCost  = int64(unsafe.Sizeof(spoold.Header{}))
	freeRecords = 4096
)

// push appends a record.
func (p *parse) push(r spoold.Record) (f *fault) {
	p.records, f = grow(p, p.records, recordCost)
	if f == nil {
		p.records = append(p.records, r)
	}
	return f
}

// pushHeader appends a header.
func (p *parse) pushHeader(h spoold.Header) (f *fault) {
	p.headers, f = grow(p, p.headers, headerCost)
	if f == nil {
		p.headers = append(p.headers, h)
	}
	return f
}

// grow makes room in a list that is full, and charges for it: so many small ones fit into a body that their places take far more
// than their bytes.
func grow[E any](p *parse, list []E, cost int64) ([]E, *fault) {
	n := len(list)
	if n < cap(list) || n < freeRecords || p.h == nil {
		return list, nil
	}
	if f := p.h.charge(p, int64(n/4)*cost); f != nil {
		return list, f
	}
	return slices.Grow(list, n/4), nil
}

// unread gives the budget back.
func (h *Handler) unread(p *parse) {
	h.budget.Add(-p.charged)
	p.charged, p.grown = 0, 0
}

// bodyFault says why a body did not arrive whole. None of it is kept.
func bodyFault(err error, encoding string) *fault {
	var timeout net.Error
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return faultf(408, 408, "The body did not arrive in time: nothing was spooled").closing()
	}
	if encoding != "" && !errors.Is(err, io.ErrUnexpectedEOF) {
		return faultf(400, 40002, "Bad Request: the body cannot be read as %s, nothing was spooled: %v", encoding, err).closing()
	}
	return faultf(400, 40002, "Bad Request: the body broke off, nothing was spooled: %v", err).closing()
}

// parses are scratches, used again.
var parses = sync.Pool{New: func() any { return &parse{body: make([]byte, 0, firstRead)} }}

// free puts p back, without what a large request made of it.
func (p *parse) free() {
	if cap(p.body) > keepAtMost || cap(p.arena) > keepAtMost || cap(p.answer) > keepAtMost || cap(p.records) > freeRecords || cap(p.headers) > freeRecords {
		return
	}
	clear(p.records)
	clear(p.headers)
	*p = parse{body: p.body[:0], arena: p.arena[:0], records: p.records[:0], headers: p.headers[:0], answer: p.answer[:0]}
	parses.Put(p)
}
