package httpin

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spoold/spoold"
)

// errSlow is why the slow reader takes no body; which reason it is does not matter.
var errSlow = errors.New("not a body of ours")

// slowBody reads a body as anybody would who has encoding/json and no hurry: every value is taken
// apart by a decoder of its own.
func slowBody(body []byte, t target, f format) ([]spoold.Record, error) {
	if !json.Valid(body) || !utf8.Valid(body) {
		return nil, errSlow
	}
	top, err := slowMembers(body)
	if err != nil {
		return nil, err
	}
	var records []spoold.Record
	for name, value := range top {
		switch name {
		case `"records"`:
			list, err := slowElements(value)
			if err != nil {
				return nil, err
			}
			for _, raw := range list {
				r, err := slowRecord(raw, t, f)
				if err != nil {
					return nil, err
				}
				records = append(records, r)
			}
		case `"key_schema"`, `"key_schema_id"`, `"value_schema"`, `"value_schema_id"`:
		default:
			return nil, errSlow
		}
	}
	if len(records) == 0 {
		return nil, errSlow
	}
	return records, nil
}

func slowRecord(raw []byte, t target, f format) (r spoold.Record, err error) {
	r = spoold.Record{Topic: t.topic, Partition: t.partition}
	members, err := slowMembers(raw)
	if err != nil {
		return r, err
	}
	for name, value := range members {
		null := string(value) == "null"
		switch name {
		case `"key"`:
			r.Key, err = slowBytes(value, f)
		case `"value"`:
			r.Value, err = slowBytes(value, f)
		case `"partition"`:
			var n int64
			if n, err = slowNumber(value, slowPartitions); err == nil && !null {
				r.Partition = spoold.ToPartition(int32(n))
				if t.partition != (spoold.Partition{}) && r.Partition != t.partition {
					err = errSlow
				}
			}
		case `"timestamp"`:
			var n int64
			if n, err = slowNumber(value, time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC).UnixMilli()); err == nil && !null {
				r.Timestamp = time.UnixMilli(n)
			}
		case `"headers"`:
			if !null {
				r.Headers, err = slowHeaders(value)
			}
		default:
			err = errSlow
		}
		if err != nil {
			return r, err
		}
	}
	return r, nil
}

func slowHeaders(raw []byte) ([]spoold.Header, error) {
	list, err := slowElements(raw)
	if err != nil {
		return nil, err
	}
	var headers []spoold.Header
	for _, raw := range list {
		members, err := slowMembers(raw)
		if err != nil || members[`"key"`] == nil {
			return nil, errSlow
		}
		var h spoold.Header
		for name, value := range members {
			switch name {
			case `"key"`:
				if value[0] != '"' || json.Unmarshal(value, &h.Key) != nil {
					return nil, errSlow
				}
			case `"value"`:
				if h.Value, err = slowBytes(value, formatBinary); err != nil {
					return nil, err
				}
			default:
				return nil, errSlow
			}
		}
		headers = append(headers, h)
	}
	return headers, nil
}

// slowBytes is a key or a value: null, text without spaces, or base64.
func slowBytes(raw []byte, f format) ([]byte, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	if f == formatJSON {
		var b bytes.Buffer
		if err := json.Compact(&b, raw); err != nil {
			return nil, err
		}
		return b.Bytes(), nil
	}
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil || strings.ContainsAny(s, "\r\n") {
		return nil, errSlow
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if b == nil && err == nil {
		b = []byte{}
	}
	return b, err
}

func slowNumber(raw []byte, limit int64) (int64, error) {
	if string(raw) == "null" {
		return 0, nil
	}
	n, ok := new(big.Int).SetString(string(raw), 10)
	if !ok || n.Sign() < 0 || n.Cmp(big.NewInt(limit)) > 0 {
		return 0, errSlow
	}
	return n.Int64(), nil
}

// slowMembers are an object's members, names as they are written. One that is there twice is an error.
func slowMembers(raw []byte) (map[string][]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, errSlow
	}
	members := map[string][]byte{}
	for dec.More() {
		before := dec.InputOffset()
		if _, err := dec.Token(); err != nil {
			return nil, err
		}
		name := strings.TrimLeft(string(raw[before:dec.InputOffset()]), ", \t\r\n")
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		if members[name] != nil && !strings.Contains(name, "_schema") { // these are read by nobody
			return nil, errSlow
		}
		members[name] = value
	}
	return members, nil
}

func slowElements(raw []byte) ([][]byte, error) {
	if raw[0] != '[' {
		return nil, errSlow
	}
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	out := make([][]byte, len(list))
	for i := range list {
		out[i] = list[i]
	}
	return out, nil
}

// slowPartitions is the highest partition that may be asked for.
const slowPartitions = 131071

var slowPath = regexp.MustCompile(`^/topics/([a-zA-Z0-9._-]{1,249})(?:/partitions/(0|[1-9][0-9]{0,9}))?$`)

// slowTarget is what a path names, or false.
func slowTarget(path string) (target, bool) {
	m := slowPath.FindStringSubmatch(path)
	if m == nil || m[1] == "." || m[1] == ".." {
		return target{}, false
	}
	t := target{topic: m[1], path: path}
	if m[2] != "" {
		n, err := strconv.ParseInt(m[2], 10, 32)
		if err != nil || n > slowPartitions {
			return target{}, false
		}
		t.partition = spoold.ToPartition(int32(n))
	}
	return t, true
}
