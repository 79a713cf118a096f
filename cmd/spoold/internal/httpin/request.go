package httpin

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spoold/spoold"
)

// target is what a path names.
type target struct {
	topic     string
	partition spoold.Partition
	path      string // in one spelling: half of an idempotency key's scope
	unit      bool   // POST /units: each record names its topic
}

// targetOf reads /topics/{topic} and /topics/{topic}/partitions/{partition}.
func targetOf(path string) (target, *fault) {
	if path == unitsPath {
		return target{path: path, unit: true}, nil
	}
	rest, ok := strings.CutPrefix(path, "/topics/")
	if !ok {
		return target{}, faultf(404, 404, "HTTP 404 Not Found: records go to POST /topics/{topic}")
	}
	topic, tail, deeper := strings.Cut(rest, "/")
	t := target{topic: topic, path: path}
	if deeper {
		n, ok := strings.CutPrefix(tail, "partitions/")
		if !ok || strings.Contains(n, "/") {
			return target{}, faultf(404, 404, "HTTP 404 Not Found: records go to POST /topics/{topic}/partitions/{partition}")
		}
		p, err := number([]byte(n), maxPartition)
		if err != nil || n[0] < '0' || n[0] > '9' || (n[0] == '0' && len(n) > 1) {
			return target{}, faultf(404, 40402, "Partition %q is not a number from 0 to %d", clip(n), maxPartition)
		}
		t.partition = spoold.ToPartition(int32(p))
	}
	if why := badTopic(topic); why != "" {
		return target{}, faultf(400, 40002, "Topic name %q %s", clip(topic), why)
	}
	return t, nil
}

// badTopic says what is wrong with a topic's name by Kafka's rule, or "".
func badTopic(topic string) string {
	switch {
	case topic == "":
		return "is empty: give one in the path"
	case topic == "." || topic == "..":
		return "is not allowed: choose another"
	case len(topic) > 249:
		return fmt.Sprintf("has %d characters: Kafka allows 249", len(topic))
	}
	for i := 0; i < len(topic); i++ {
		b := topic[i]
		if (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') && (b < '0' || b > '9') && b != '.' && b != '_' && b != '-' {
			return "is not allowed: only letters, digits, '.', '_' and '-' are"
		}
	}
	return ""
}

// parse is the scratch of one request. Records point into body and arena, which
// must stay as they are until the Sink has returned.
type parse struct {
	body    []byte
	arena   []byte
	records []spoold.Record
	headers []spoold.Header
	answer  []byte
	charged int64 // bytes of the handler's budget
	grown   int64 // those of them that body and arena take
	source  source
	h       *Handler // whose budget it is; nil: nobody counts

	who  Principal // nil: anybody
	vars [maxVars]string
	size int64 // bytes of the body that are not charged to who yet
}

// run reads p.body. arena gets the capacity of body first, and what is appended to
// it (decoded base64, compacted JSON) is never longer than its source: so it never moves.
func (p *parse) run(t target, f format) *fault {
	if len(bytes.TrimSpace(p.body)) == 0 {
		return faultf(422, 42206, "Payload error. Request body is empty. Data is required.")
	}
	if !json.Valid(p.body) {
		return malformed(p.body)
	}
	if !utf8.Valid(p.body) {
		return faultf(400, 40002, "Bad Request: the body is not valid UTF-8")
	}
	if cap(p.arena) < len(p.body) {
		p.arena = make([]byte, 0, cap(p.body))
	}
	c := cursor{b: p.body}
	if !c.take('{') {
		return faultf(422, 42206, `Payload error. The body is not an object: send {"records":[{"value":…}]}`)
	}
	seen := false
	for {
		name, value, ok := c.member()
		if !ok {
			break
		}
		switch string(name) {
		case `"records"`:
			if seen {
				return faultf(400, 40002, `Bad Request: "records" is there twice`)
			}
			seen = true
			if err := p.list(t, f, value); err != nil {
				return err
			}
		case `"key_schema"`, `"key_schema_id"`, `"value_schema"`, `"value_schema_id"`:
			// Confluent's clients may send them with any format; only schema formats read them.
		default:
			return faultf(422, 422, "Unrecognized field: %s", clip(string(name)))
		}
	}
	if len(p.records) == 0 {
		return faultf(422, 42206, `Payload error. "records" is empty or missing: send {"records":[{"value":…}]}`)
	}
	return nil
}

func (p *parse) list(t target, f format, raw []byte) *fault {
	c := cursor{b: raw}
	if !c.take('[') {
		return faultf(422, 42206, `Payload error. "records" is not an array`)
	}
	for {
		value, ok := c.element()
		if !ok {
			return nil
		}
		if err := p.record(t, f, value); err != nil {
			return err
		}
	}
}

// Members of a record, and of a header, as bits: one that is there twice is refused.
const (
	hasKey = 1 << iota
	hasValue
	hasPartition
	hasTimestamp
	hasHeaders
	hasTopic
)

func (p *parse) record(t target, f format, raw []byte) *fault {
	at := len(p.records)
	c := cursor{b: raw}
	if !c.take('{') {
		return faultf(422, 42206, "Payload error. records[%d] is not an object", at)
	}
	r := spoold.Record{Topic: t.topic, Partition: t.partition}
	seen := 0
	for {
		name, value, ok := c.member()
		if !ok {
			break
		}
		bit := 0
		var err *fault
		switch string(name) {
		case `"key"`:
			bit = hasKey
			r.Key, err = p.bytes(f, value, at, "key")
		case `"value"`:
			bit = hasValue
			r.Value, err = p.bytes(f, value, at, "value")
		case `"partition"`:
			bit = hasPartition
			r.Partition, err = partitionOf(t, value, at)
		case `"timestamp"`:
			bit = hasTimestamp
			r.Timestamp, err = timestampOf(value, at)
		case `"headers"`:
			bit = hasHeaders
			r.Headers, err = p.headersOf(value, at)
		case `"topic"`:
			bit = hasTopic
			r.Topic, err = topicOf(t, value, at)
		default:
			err = faultf(422, 422, "Unrecognized field: %s in records[%d]", clip(string(name)), at)
		}
		if err != nil {
			return err
		}
		if seen&bit != 0 {
			return faultf(400, 40002, "Bad Request: %s is twice in records[%d]", name, at)
		}
		seen |= bit
	}
	if t.unit && seen&hasTopic == 0 {
		return faultf(422, 42206, `Payload error. records[%d] has no "topic"`, at)
	}
	return p.push(r)
}

// bytes is what a key or value means: null is null, which is not empty.
func (p *parse) bytes(f format, raw []byte, at int, field string) ([]byte, *fault) {
	if isNull(raw) {
		return nil, nil
	}
	switch f {
	case formatJSON:
		var out []byte
		out, p.arena = compact(p.arena, raw)
		return out, nil
	case formatText:
		out, ok := text(raw)
		if !ok {
			return nil, faultf(422, 422, "records[%d].%s is not a string: send %s for other values", at, field, typeJSON)
		}
		return out, nil
	}
	out, ok := p.base64(raw)
	if !ok {
		return nil, faultf(400, 40002, "Bad Request: records[%d].%s is not a base64 string (standard alphabet, padded)", at, field)
	}
	return out, nil
}

func (p *parse) base64(raw []byte) ([]byte, bool) {
	in, ok := text(raw)
	if !ok || bytes.ContainsAny(in, "\r\n") { // the decoder would let line ends pass
		return nil, false
	}
	start := len(p.arena)
	arena, err := base64.StdEncoding.AppendDecode(p.arena, in)
	if err != nil {
		return nil, false
	}
	p.arena = arena
	return arena[start:len(arena):len(arena)], true
}

func partitionOf(t target, raw []byte, at int) (spoold.Partition, *fault) {
	if isNull(raw) {
		return t.partition, nil
	}
	n, err := number(raw, maxPartition)
	if err != nil {
		return t.partition, faultf(422, 422, "records[%d].partition is %s: it must be a number from 0 to %d", at, clip(string(raw)), maxPartition)
	}
	asked := spoold.ToPartition(int32(n))
	if t.partition != (spoold.Partition{}) && t.partition != asked {
		return t.partition, faultf(422, 422, "records[%d].partition is %d and the path says %d: give it in one place", at, n, t.partition.Number())
	}
	return asked, nil
}

func timestampOf(raw []byte, at int) (time.Time, *fault) {
	if isNull(raw) {
		return time.Time{}, nil
	}
	ms, err := number(raw, maxTimestamp)
	if err != nil {
		return time.Time{}, faultf(422, 422, "records[%d].timestamp is %s: it must be milliseconds since 1970, a whole number", at, clip(string(raw)))
	}
	return time.UnixMilli(ms), nil
}

func (p *parse) headersOf(raw []byte, at int) ([]spoold.Header, *fault) {
	if isNull(raw) {
		return nil, nil
	}
	bad := func(i int, why string) *fault {
		return faultf(422, 422, `records[%d].headers[%d] %s: send [{"key":"name","value":"<base64>"}]`, at, i, why)
	}
	c := cursor{b: raw}
	if !c.take('[') {
		return nil, faultf(422, 422, `records[%d].headers is not an array: send [{"key":"name","value":"<base64>"}]`, at)
	}
	first := len(p.headers)
	for i := 0; ; i++ {
		value, ok := c.element()
		if !ok {
			return p.headers[first:len(p.headers):len(p.headers)], nil
		}
		e := cursor{b: value}
		if !e.take('{') {
			return nil, bad(i, "is not an object")
		}
		var h spoold.Header
		seen := 0
		for {
			name, value, ok := e.member()
			if !ok {
				break
			}
			bit := 0
			switch string(name) {
			case `"key"`:
				bit = hasKey
				key, ok := text(value)
				if !ok {
					return nil, bad(i, "has a key that is not a string")
				}
				h.Key = string(key)
			case `"value"`:
				bit = hasValue
				if h.Value, ok = nil, true; !isNull(value) {
					h.Value, ok = p.base64(value)
				}
				if !ok {
					return nil, bad(i, "has a value that is not base64")
				}
			default:
				return nil, bad(i, "has an unrecognized field")
			}
			if seen&bit != 0 {
				return nil, bad(i, "has a field twice")
			}
			seen |= bit
		}
		if seen&hasKey == 0 {
			return nil, bad(i, "has no key")
		}
		if f := p.pushHeader(h); f != nil {
			return nil, f
		}
	}
}

// malformed says where JSON breaks off.
func malformed(body []byte) *fault {
	var any json.RawMessage
	err := json.Unmarshal(body, &any)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return faultf(400, 40002, "Bad Request: malformed JSON at byte %d: %s", syntax.Offset, syntax.Error())
	}
	return faultf(400, 40002, "Bad Request: malformed JSON: %v", err)
}

// clip keeps outside text in an answer short.
func clip(s string) string {
	if len(s) > 80 {
		return s[:77] + "…"
	}
	return s
}
