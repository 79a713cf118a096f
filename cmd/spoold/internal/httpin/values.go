package httpin

import (
	"errors"
	"io"
)

// values cuts a body into JSON values that stand one behind the other, and keeps no more of it than one value and what
// was read behind it.
type values struct {
	h  *Handler
	p  *parse
	in io.Reader

	from, scanned int // in p.body: the value's beginning, and where the scan has come to
	depth         int
	quoted        bool
	escaped       bool
	ended         bool
}

// next is the next value; nil: there is none. Its text stays as it is until the next call. It is not looked at further than to find
// its end, which must be that of an object.
func (v *values) next() ([]byte, *fault) {
	for {
		for v.scanned < len(v.p.body) {
			b := v.p.body[v.scanned]
			v.scanned++
			if v.depth == 0 {
				switch b {
				case ' ', '\t', '\r', '\n':
					v.from = v.scanned
					continue
				case '{':
				default:
					return nil, faultf(400, 40002, "Bad Request: the body must be JSON objects, one behind the other, but there is %q", clip(string(v.p.body[v.scanned-1:v.scanned])))
				}
			}
			if v.step(b) {
				value := v.p.body[v.from:v.scanned]
				v.from = v.scanned
				return value, nil
			}
		}
		if v.ended {
			if v.depth > 0 {
				return nil, faultf(400, 40002, "Bad Request: the body ends within a JSON object")
			}
			return nil, nil
		}
		if f := v.more(); f != nil {
			return nil, f
		}
	}
}

// step follows one byte of a value, and reports whether it is the last one.
func (v *values) step(b byte) bool {
	switch {
	case v.escaped:
		v.escaped = false
	case v.quoted:
		v.escaped, v.quoted = b == '\\', b != '"'
	case b == '"':
		v.quoted = true
	case b == '{' || b == '[':
		v.depth++
	case b == '}' || b == ']':
		v.depth--
		return v.depth == 0
	}
	return false
}

func (v *values) more() *fault {
	if v.from > 0 {
		n := copy(v.p.body, v.p.body[v.from:])
		v.p.body = v.p.body[:n]
		v.scanned -= v.from
		v.from = 0
	}
	limit := v.h.maxBody.Load()
	if int64(len(v.p.body)) > limit {
		return faultf(413, 413, "A record is larger than http.max.body.bytes (%d)", limit)
	}
	if len(v.p.body) == cap(v.p.body) {
		if f := v.h.grow(v.p, limit); f != nil {
			return f
		}
	}
	n, err := v.in.Read(v.p.body[len(v.p.body):cap(v.p.body)])
	v.p.body = v.p.body[:len(v.p.body)+n]
	v.p.size += int64(n)
	if errors.Is(err, io.EOF) {
		v.ended = true
		return nil
	}
	if err != nil {
		return v.h.brokeOff(err, v.p)
	}
	return nil
}
