package httpin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spoold/spoold"
)

// lineKind is what a line of a body is.
type lineKind uint8

const (
	lineJSON   lineKind = iota + 1 // any JSON: the record's value, as it is
	lineText                       // any bytes: the record's value
	lineRecord                     // an object with key, value, partition, timestamp and headers
)

// linesOf reads a Content-Type; 0: the body is not one of lines.
func linesOf(contentType string) lineKind {
	switch mediaType(contentType) {
	case "application/x-ndjson", "application/jsonl", "application/x-jsonlines":
		return lineJSON
	case "text/plain":
		return lineText
	}
	return 0
}

// mediaType is a Content-Type without its parameters.
func mediaType(contentType string) string {
	if strings.IndexByte(contentType, ';') >= 0 {
		if m, _, err := mime.ParseMediaType(contentType); err == nil {
			return m
		}
	}
	return contentType
}

// A body of lines is spooled in parts, each in one commit: a part ends behind the line with which it has so many lines or
// bytes. So the same body always has the same parts, and a part is the same record of keys when the body comes again. Who
// changes them has a repeat of a body from before refused, with the code of a key that came with other records.
const (
	partLines = 1000
	partBytes = 256 << 10
	partsOut  = 16 // parts whose commit is waited for at a time
)

// lineBody is a body of lines on its way.
type lineBody struct {
	h    *Handler
	p    *parse
	r    *http.Request
	t    target
	how  manner
	kind lineKind

	in       io.Reader
	ended    bool  // the body is whole
	from     int   // in p.body: where the part begins
	scanned  int   // in p.body: no line end before
	ends     []int // in p.body: where the part's lines end
	part     int   // number of the part
	line     int   // number of the last line before the part
	out      []outPart
	durable  durable
	lost     bool    // what became of a part is not known, or it is not durable: those behind it do not count
	answered durable // of parts that came again
}

// outPart is a part whose commit is waited for.
type outPart struct {
	d       Deliveries
	records int
	lines   int // from the beginning
}

// durable counts from the beginning of the body.
type durable struct{ lines, records int }

// lines takes a body of one record a line. It is answered once, when all of it is durable or something is wrong: then the
// answer says how many lines are durable.
func (h *Handler) lines(p *parse, w http.ResponseWriter, r *http.Request, t target, how manner, kind lineKind) *fault {
	switch q := r.URL.Query().Get("lines"); {
	case q == "records" && kind == lineJSON:
		kind = lineRecord
	case q != "" && q != "values":
		return faultf(400, 40002, "Bad Request: lines=%s: it must be values, or records with application/x-ndjson", clip(q))
	}
	leave, f := h.enterStream(how)
	if f != nil {
		return f
	}
	defer leave()
	b := &lineBody{h: h, p: p, r: r, t: t, how: how, kind: kind}
	body, done := h.patient(w, r)
	defer done()
	if b.in, f = h.open(p, r, body); f != nil {
		return f
	}
	defer h.unread(p)
	defer p.source.close()
	f = b.run()
	for len(b.out) > 0 && !b.lost { // what was handed on is waited for in any case
		if f2 := b.settle(); f == nil {
			f = f2
		}
	}
	p.records = p.records[:0] // they are counted already
	if f == nil && b.durable.records == 0 {
		f = faultf(422, 42206, "Payload error. The body has no lines: send one record a line")
	}
	if f != nil && b.durable.lines > 0 {
		f = f.partly(fmt.Sprintf("nothing behind line %d was spooled", b.durable.lines))
	}
	if f != nil {
		f.more = fmt.Sprintf(`,"lines":%d,"records":%d`, b.durable.lines, b.durable.records)
		return f.closing()
	}
	if how.async {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	out := append(p.answer[:0], `{"lines":`...)
	out = strconv.AppendInt(out, int64(b.line), 10)
	out = append(out, `,"records":`...)
	out = strconv.AppendInt(out, int64(b.durable.records), 10)
	out = append(out, `,"repeated":`...)
	out = strconv.AppendInt(out, int64(b.answered.records), 10)
	p.answer = append(out, `,"error_code":null,"error":null}`+"\n"...)
	reply(w, p.answer)
	return nil
}

// run reads the body to its end, or to what is wrong with it.
func (b *lineBody) run() *fault {
	for {
		full, f := b.fill()
		if f != nil {
			return f
		}
		if len(b.ends) > 0 {
			if f := b.send(); f != nil {
				return f
			}
		}
		if !full {
			break
		}
	}
	return nil
}

// fill finds the lines of the next part. full: there may be a further part.
func (b *lineBody) fill() (full bool, f *fault) {
	for {
		for b.scanned < len(b.p.body) {
			i := bytes.IndexByte(b.p.body[b.scanned:], '\n')
			if i < 0 {
				b.scanned = len(b.p.body)
				break
			}
			b.scanned += i + 1
			b.ends = append(b.ends, b.scanned)
			if len(b.ends) >= partLines || b.scanned-b.from >= partBytes {
				return true, nil
			}
		}
		if b.ended {
			if last := len(b.p.body); last > b.from && (len(b.ends) == 0 || b.ends[len(b.ends)-1] < last) {
				b.ends = append(b.ends, last) // the last line may lack its end
			}
			return false, nil
		}
		if f := b.more(); f != nil {
			return false, f
		}
	}
}

// more reads what comes next. What was sent already makes room.
func (b *lineBody) more() *fault {
	if b.from > 0 {
		n := copy(b.p.body, b.p.body[b.from:])
		b.p.body = b.p.body[:n]
		for i := range b.ends {
			b.ends[i] -= b.from
		}
		b.scanned -= b.from
		b.from = 0
	}
	if len(b.p.body) == cap(b.p.body) {
		last := 0
		if len(b.ends) > 0 {
			last = b.ends[len(b.ends)-1]
		}
		if int64(len(b.p.body)-last) > b.h.maxBody.Load() {
			return faultf(413, 413, "Line %d is larger than http.max.body.bytes (%d)", b.line+len(b.ends)+1, b.h.maxBody.Load())
		}
		if f := b.h.grow(b.p, b.h.maxBody.Load()+partBytes); f != nil {
			return f
		}
	}
	n, err := b.in.Read(b.p.body[len(b.p.body):cap(b.p.body)])
	b.p.body = b.p.body[:len(b.p.body)+n]
	b.p.size += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		b.ended = true
	case err != nil:
		return b.h.brokeOff(err, b.p)
	}
	return nil
}

// send hands the part on. With a fault in it nothing of it is.
func (b *lineBody) send() *fault {
	b.p.records, b.p.headers, b.p.arena = b.p.records[:0], b.p.headers[:0], b.p.arena[:0]
	if size := b.ends[len(b.ends)-1] - b.from; b.kind == lineRecord && cap(b.p.arena) < size {
		b.p.arena = make([]byte, 0, size)
	}
	start := b.from
	for i, end := range b.ends {
		line := bytes.TrimSuffix(bytes.TrimSuffix(b.p.body[start:end], []byte("\n")), []byte("\r"))
		if f := b.record(line, b.line+i+1); f != nil {
			return f
		}
		start = end
	}
	b.line += len(b.ends)
	b.from, b.ends = start, b.ends[:0]
	b.part++
	if len(b.p.records) == 0 {
		return nil // blank lines
	}
	if f := b.h.pause(b.p, b.r); f != nil {
		return f
	}
	key := ""
	if b.how.key != "" {
		key = b.how.key + "\n" + strconv.Itoa(b.part)
	}
	d, f := b.h.hand(b.p, b.r, b.t, key, b.h.cfg.StreamTimeout)
	if f != nil {
		f.message = fmt.Sprintf("Lines up to %d: %s", b.line, f.message)
		return f
	}
	b.out = append(b.out, outPart{d, len(b.p.records), b.line})
	if len(b.out) == partsOut {
		return b.settle()
	}
	return nil
}

// record reads a line.
func (b *lineBody) record(line []byte, number int) *fault {
	blank := len(bytes.TrimSpace(line)) == 0
	switch {
	case b.kind == lineText:
		b.p.records = append(b.p.records, spoold.Record{Topic: b.t.topic, Partition: b.t.partition, Value: line})
		return nil
	case blank:
		return nil
	case !utf8.Valid(line):
		return faultf(400, 40002, "Line %d is not valid UTF-8", number)
	case !json.Valid(line):
		return faultf(400, 40002, "Line %d is not JSON", number)
	case b.kind == lineJSON:
		b.p.records = append(b.p.records, spoold.Record{Topic: b.t.topic, Partition: b.t.partition, Value: line})
		return nil
	}
	at := fmt.Sprintf("records[%d]", len(b.p.records))
	f := b.p.record(b.t, formatJSON, bytes.TrimSpace(line))
	if f != nil {
		f.message = fmt.Sprintf("Line %d: %s", number, strings.ReplaceAll(f.message, at, "the record"))
	}
	return f
}

// settle waits for the oldest part that is on its way.
func (b *lineBody) settle() *fault {
	o := b.out[0]
	b.out = b.out[1:]
	// Not the request's context: it ends when the body breaks off, and what was handed on counts all the same.
	if err := o.d.Spooled(context.WithoutCancel(b.r.Context())); err != nil {
		b.lost = true
		return sendFault(err)
	}
	b.durable = durable{o.lines, b.durable.records + o.records}
	if o.d.Duplicate() {
		b.answered.records += o.records
		b.h.hooks.Duplicate()
	} else {
		b.h.hooks.Spooled(b.t.topic, o.records)
	}
	if !b.how.acked {
		return nil
	}
	ctx, cancel := context.WithTimeout(b.h.base, b.h.cfg.AckTimeout)
	defer cancel()
	defer context.AfterFunc(b.r.Context(), cancel)()
	for i := range o.records {
		if _, err := o.d.Acked(ctx, i); err != nil {
			if ctx.Err() != nil {
				return b.h.notAcked(b.r, b.t.topic)
			}
			return faultf(502, refusal(err), "Of the lines up to %d, record %d was refused by the cluster for good: %v", o.lines, i+1, err)
		}
	}
	return nil
}
