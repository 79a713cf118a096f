package httpin

import (
	"bytes"
	"encoding/json"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/spoold/spoold"
)

// FuzzAStreamOfObjectsIsCutAsEncodingJSONCutsIt reads its input as a body of v3's.
//
// Law: as long as encoding/json finds objects one behind the other, ours are the same bytes, however they arrive; where it
// finds something else, ours is a fault, or something that is no JSON. A record is read or refused without a panic, and what is
// read of it has no more bytes than were sent.
func FuzzAStreamOfObjectsIsCutAsEncodingJSONCutsIt(f *testing.F) {
	f.Add([]byte(`{"value":{"type":"JSON","data":"}{\\\""}} {} ` + "\n" + `{"a":[{}]}`))
	f.Add([]byte(`{"headers":[{"name":"a","value":"YQ=="}],"timestamp":"2021-02-05T19:14:42Z","partition_id":1}{"key":{"type":"BINARY","data":"YQ=="}}`))
	f.Add([]byte(`{"a":1}]`))
	f.Add([]byte(`{"a":"\`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 1<<12 {
			return
		}
		h, _, _ := newTest(testConfig())
		p := &parse{h: h}
		ours := &values{h: h, p: p, in: iotest.OneByteReader(bytes.NewReader(body))}
		theirs := json.NewDecoder(bytes.NewReader(body))
		for {
			var want json.RawMessage
			err := theirs.Decode(&want)
			got, fault := ours.next()
			if err == nil && len(want) > 0 && want[0] == '{' {
				if fault != nil || !bytes.Equal(got, want) {
					t.Fatalf("%q: %q, %v, want %q", body, got, fault, want)
				}
				readV3(t, got)
				continue
			}
			if fault == nil && got != nil && json.Valid(got) && err != nil {
				t.Fatalf("%q: %q, where encoding/json says %v", body, got, err)
			}
			if fault == nil && got == nil && len(bytes.TrimSpace(body)) > 0 && err != nil && err.Error() != "EOF" {
				t.Fatalf("%q ends, where encoding/json says %v", body, err)
			}
			return
		}
	})
}

func readV3(t *testing.T, raw []byte) {
	if !utf8.Valid(raw) {
		return
	}
	q := &parse{arena: make([]byte, 0, len(raw))}
	_, _, fault := q.recordV3("t", raw, spoold.Record{}.Timestamp)
	if (fault == nil) != (len(q.records) == 1) {
		t.Fatalf("%q: %v and %d records", raw, fault, len(q.records))
	}
	if fault == nil {
		if r := q.records[0]; len(r.Key)+len(r.Value) > len(raw) {
			t.Fatalf("%q: key %q, value %q", raw, r.Key, r.Value)
		}
	}
}
