package httpin

import (
	"encoding/base64"
	"time"

	"github.com/spoold/spoold"
)

// sizesV3 is what an answer says of a record's key and value.
type sizesV3 struct {
	key, value dataV3
	timestamp  time.Time
}

// dataV3 is a key or value; kind "" stands for none.
type dataV3 struct {
	kind string
	size int
}

// recordV3 reads a record as v3 writes it and appends it to p.records. A batch's entry has an id beside it, which comes back
// as JSON.
func (p *parse) recordV3(topic string, raw []byte, now time.Time) (s sizesV3, id []byte, f *fault) {
	c := cursor{b: raw}
	if !c.take('{') {
		return s, nil, faultf(422, 42206, "Payload error. A record is not an object")
	}
	r := spoold.Record{Topic: topic}
	first := len(p.headers)
	seen := 0
	for {
		name, value, ok := c.member()
		if !ok {
			break
		}
		bit := 0
		switch string(name) {
		case `"id"`:
			bit, id = 1, value
		case `"partition_id"`:
			bit = hasPartition
			if !isNull(value) {
				n, err := number(value, maxPartition)
				if err != nil {
					return s, id, faultf(400, 40002, "Bad Request: partition_id is %s: it must be a number from 0 to %d", clip(string(value)), maxPartition)
				}
				r.Partition = spoold.ToPartition(int32(n))
			}
		case `"key"`:
			bit = hasKey << 8
			r.Key, s.key, f = p.dataV3(value, "key")
		case `"value"`:
			bit = hasValue << 8
			r.Value, s.value, f = p.dataV3(value, "value")
		case `"headers"`:
			bit = hasHeaders
			f = p.headersV3(value)
		case `"timestamp"`:
			bit = hasTimestamp
			r.Timestamp, f = timeV3(value)
		default:
			f = faultf(400, 40002, "Bad Request: unrecognized field %s", clip(string(name)))
		}
		if f != nil {
			return s, id, f
		}
		if seen&bit != 0 {
			return s, id, faultf(400, 40002, "Bad Request: %s is there twice", name)
		}
		seen |= bit
	}
	r.Headers = p.headers[first:len(p.headers):len(p.headers)]
	if s.timestamp = r.Timestamp; s.timestamp.IsZero() {
		s.timestamp = now // about; the record has none, so that it is the same one when it comes again
	}
	return s, id, p.push(r)
}

func timeV3(raw []byte) (time.Time, *fault) {
	if isNull(raw) {
		return time.Time{}, nil
	}
	in, ok := text(raw)
	if ok {
		if t, err := time.Parse(time.RFC3339Nano, string(in)); err == nil && t.UnixMilli() >= 0 && t.UnixMilli() <= maxTimestamp {
			return t, nil
		}
	}
	return time.Time{}, faultf(400, 40002, "Bad Request: timestamp is %s: it must be a time as 2026-02-05T19:14:42Z", clip(string(raw)))
}

// dataV3 reads {"type":…,"data":…}.
func (p *parse) dataV3(raw []byte, field string) (out []byte, d dataV3, f *fault) {
	if isNull(raw) {
		return nil, d, nil
	}
	c := cursor{b: raw}
	if !c.take('{') {
		return nil, d, faultf(400, 40002, `Bad Request: %s is not an object: send {"type":"JSON","data":…}`, field)
	}
	var data []byte
	for {
		name, value, ok := c.member()
		if !ok {
			break
		}
		switch string(name) {
		case `"type"`:
			kind, _ := text(value)
			d.kind = string(kind)
		case `"data"`:
			data = value
		case `"schema"`, `"schema_id"`, `"schema_version"`, `"subject"`, `"subject_name_strategy"`:
			if !isNull(value) {
				return nil, d, faultf(422, 422, "%s needs a schema registry, and none is configured: send type BINARY, JSON or STRING", field)
			}
		default:
			return nil, d, faultf(400, 40002, "Bad Request: unrecognized field %s in %s", clip(string(name)), field)
		}
	}
	return p.decodeV3(d, data, field)
}

func (p *parse) decodeV3(d dataV3, data []byte, field string) ([]byte, dataV3, *fault) {
	var out []byte
	switch d.kind {
	case "BINARY", "JSON", "STRING":
	case "":
		return nil, d, faultf(422, 422, "%s has no type: send BINARY, JSON or STRING (there is no schema registry to look it up in)", field)
	case "AVRO", "JSONSCHEMA", "PROTOBUF":
		return nil, d, faultf(422, 422, "%s is of type %s, which needs a schema registry, and none is configured: send BINARY, JSON or STRING", field, d.kind)
	default:
		return nil, d, faultf(400, 40002, "Bad Request: the type of %s is %q: it must be BINARY, JSON or STRING", field, clip(d.kind))
	}
	switch {
	case data == nil || isNull(data):
		return nil, d, nil
	case d.kind == "JSON":
		out, p.arena = compact(p.arena, data)
	case d.kind == "STRING":
		in, ok := text(data)
		if !ok {
			return nil, d, faultf(400, 40002, "Bad Request: data=%s is not a string.", clip(string(data)))
		}
		out = in
	default:
		in, ok := p.base64(data)
		if !ok {
			return nil, d, faultf(400, 40002, "Bad Request: data=%s is not a base64 string.", clip(string(data)))
		}
		out = in
	}
	d.size = len(out)
	return out, d, nil
}

// headersV3 reads [{"name":…,"value":…}].
func (p *parse) headersV3(raw []byte) *fault {
	if isNull(raw) {
		return nil
	}
	const bad = `Bad Request: headers must be [{"name":"…","value":"<base64>"}]`
	c := cursor{b: raw}
	if !c.take('[') {
		return faultf(400, 40002, bad)
	}
	for {
		value, ok := c.element()
		if !ok {
			return nil
		}
		e := cursor{b: value}
		if !e.take('{') {
			return faultf(400, 40002, bad)
		}
		var h spoold.Header
		named := false
		for {
			name, value, ok := e.member()
			if !ok {
				break
			}
			switch string(name) {
			case `"name"`:
				var key []byte
				if key, named = text(value); named {
					h.Key = string(key)
				}
			case `"value"`:
				if isNull(value) {
					continue
				}
				in, ok := text(value)
				if !ok {
					return faultf(400, 40002, bad)
				}
				var err error
				if h.Value, err = base64.StdEncoding.DecodeString(string(in)); err != nil {
					return faultf(400, 40002, bad)
				}
			default:
				return faultf(400, 40002, bad)
			}
		}
		if !named {
			return faultf(400, 40002, bad)
		}
		if f := p.pushHeader(h); f != nil {
			return f
		}
	}
}
