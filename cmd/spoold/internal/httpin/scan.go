package httpin

import (
	"encoding/json"
	"errors"
	"strconv"

	"github.com/spoold/spoold"
)

// cursor walks JSON that json.Valid has accepted: so it needs no error for
// syntax, and only finds where values begin and end. It must not be given anything else.
type cursor struct {
	b []byte
	i int
}

func (c *cursor) space() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ' ', '\t', '\n', '\r':
			c.i++
		default:
			return
		}
	}
}

// peek is the first byte of the next value, or 0 at the end.
func (c *cursor) peek() byte {
	c.space()
	if c.i == len(c.b) {
		return 0
	}
	return c.b[c.i]
}

// take steps over b if it is next.
func (c *cursor) take(b byte) bool {
	if c.peek() != b {
		return false
	}
	c.i++
	return true
}

// value is the next value's text, without the space around it.
func (c *cursor) value() []byte {
	first := c.peek()
	start := c.i
	switch first {
	case '"':
		c.str()
	case '{', '[':
		c.nested()
	default:
		c.bare()
	}
	return c.b[start:c.i]
}

// str steps over a string, from quote to quote.
func (c *cursor) str() {
	for c.i++; c.i < len(c.b); c.i++ {
		switch c.b[c.i] {
		case '\\':
			c.i++
		case '"':
			c.i++
			return
		}
	}
}

// nested steps over an object or array.
func (c *cursor) nested() {
	depth := 0
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case '"':
			c.str()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				c.i++
				return
			}
		}
		c.i++
	}
}

// bare steps over a number, true, false or null.
func (c *cursor) bare() {
	for c.i < len(c.b) {
		switch c.b[c.i] {
		case ',', '}', ']', ' ', '\t', '\n', '\r':
			return
		}
		c.i++
	}
}

// member is the next name and value of an object whose brace was taken. ok is
// false at its end.
func (c *cursor) member() (name, value []byte, ok bool) {
	if c.take('}') {
		return nil, nil, false
	}
	c.take(',')
	name = c.value()
	c.take(':')
	return name, c.value(), true
}

// element is the next value of an array whose bracket was taken. ok is false at
// its end.
func (c *cursor) element() (value []byte, ok bool) {
	if c.take(']') {
		return nil, false
	}
	c.take(',')
	return c.value(), true
}

func isNull(raw []byte) bool { return len(raw) == 4 && raw[0] == 'n' }

// text is what a JSON string says. The result may point into raw.
func text(raw []byte) ([]byte, bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return nil, false
	}
	in := raw[1 : len(raw)-1]
	for _, b := range in {
		if b == '\\' {
			var s string
			if json.Unmarshal(raw, &s) != nil {
				return nil, false
			}
			return []byte(s), true
		}
	}
	return in, true
}

var errNumber = errors.New("not a whole number")

// number reads a whole number in [0, limit].
func number(raw []byte, limit int64) (int64, error) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err != nil || n < 0 || n > limit {
		return 0, errNumber
	}
	return n, nil
}

const (
	maxPartition = spoold.MaxPartition
	// maxTimestamp is the last ms of the year 9999: what is above is a unit
	// mistaken, and such a record would never be deleted by retention.
	maxTimestamp = 253402300799999
)

// compact appends raw to arena without the space between its tokens; it changes
// nothing else: numbers keep their digits, members their order. When there is no such space, the
// result is raw itself.
func compact(arena, raw []byte) (out, rest []byte) {
	first := spaceOutside(raw)
	if first < 0 {
		return raw, arena
	}
	start := len(arena)
	arena = append(arena, raw[:first]...)
	quoted := false
	for i := first; i < len(raw); i++ {
		b := raw[i]
		switch {
		case quoted:
			arena = append(arena, b)
			if b == '\\' {
				i++
				arena = append(arena, raw[i])
			} else if b == '"' {
				quoted = false
			}
		case b == ' ' || b == '\t' || b == '\n' || b == '\r':
		default:
			quoted = b == '"'
			arena = append(arena, b)
		}
	}
	return arena[start:len(arena):len(arena)], arena
}

// spaceOutside is where the first space outside a string is, or -1.
func spaceOutside(raw []byte) int {
	quoted := false
	for i := 0; i < len(raw); i++ {
		switch b := raw[i]; {
		case quoted:
			if b == '\\' {
				i++
			} else if b == '"' {
				quoted = false
			}
		case b == '"':
			quoted = true
		case b == ' ' || b == '\t' || b == '\n' || b == '\r':
			return i
		}
	}
	return -1
}
