package httpin

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/program"
)

// FuzzABodyIsReadAsEncodingJSONReadsIt reads its input as a body, or as decisions of which one is written:
// mostly one of ours, with odd spaces, escapes, numbers and repetitions, and now and then with something
// that does not belong there.
//
// Law: our reader takes a path and a body exactly where a slow one takes them that is made of encoding/json
// and a regular expression; and of each record it gives the same key, value, partition, timestamp and
// headers, null and empty apart, still when all of the body was read.
func FuzzABodyIsReadAsEncodingJSONReadsIt(f *testing.F) {
	f.Add([]byte(`{"records":[{"key":"k","value":{"a":[1,2.50,"x\\\" y"]},"partition":1,"timestamp":5,"headers":[{"key":"h","value":"YQ=="}]}]}`))
	f.Add([]byte(`{"records":[{"value":" \u0022 "},{"value":null}] , "value_schema":null}`))
	f.Add([]byte{0, 1, 2, 1, 1, 3, 2, 0, 1, 1, 4, 1, 2, 7, 2, 9, 3, 3, 5, 1, 1, 0, 2, 4, 4, 4, 4, 1, 0})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 1<<11 {
			return
		}
		p := program.New(script)
		w := writer{p: p}
		kind := p.Byte()
		path := "/topics/t"
		if kind == '{' {
			w.out = script
		} else {
			path = w.path()
			w.out = w.out[:0]
			w.body()
		}
		to, fault := targetOf(path)
		want, ok := slowTarget(path)
		if ok != (fault == nil) || ok && to != want {
			t.Fatalf("path %q is %+v (%v), want %+v (%v)", path, to, fault, want, ok)
		}
		if fault != nil {
			to = target{topic: "t"}
		}
		for _, f := range []format{formatJSON, formatBinary} {
			check(t, w.out, to, f)
		}
	})
}

func check(t *testing.T, body []byte, to target, f format) {
	p := &parse{body: bytes.Clone(body)}
	fault := p.run(to, f)
	want, err := slowBody(body, to, f)
	if (fault == nil) != (err == nil) {
		t.Fatalf("format %d: %q: we say %v, the slow reader %v", f, body, fault, err)
	}
	if err != nil {
		return
	}
	if len(p.records) != len(want) {
		t.Fatalf("format %d: %q: %d records, want %d", f, body, len(p.records), len(want))
	}
	same := func(a, b []byte) bool { return bytes.Equal(a, b) && (a == nil) == (b == nil) }
	for i, r := range p.records {
		x := want[i]
		if r.Topic != x.Topic || r.Partition != x.Partition || !r.Timestamp.Equal(x.Timestamp) || !same(r.Key, x.Key) || !same(r.Value, x.Value) || len(r.Headers) != len(x.Headers) {
			t.Fatalf("format %d: %q: record %d is %s, want %s", f, body, i, tell(r), tell(x))
		}
		for k, h := range r.Headers {
			if h.Key != x.Headers[k].Key || !same(h.Value, x.Headers[k].Value) {
				t.Fatalf("format %d: %q: record %d is %s, want %s", f, body, i, tell(r), tell(x))
			}
		}
	}
}

func tell(r spoold.Record) string {
	var b strings.Builder
	b.WriteString(show(r.Key) + "=" + show(r.Value) + " at " + r.Timestamp.String())
	for _, h := range r.Headers {
		b.WriteString(", " + h.Key + "=" + show(h.Value))
	}
	return b.String()
}

// writer writes JSON as the program decides.
type writer struct {
	p   *program.Program
	out []byte
}

func (w *writer) put(s string) { w.out = append(w.out, s...) }

func (w *writer) space() { w.put([]string{"", "", "", "", " ", "\n", "\t\r ", "  "}[w.p.Below(8)]) }

func (w *writer) path() string {
	w.put([]string{"/topics/", "/topics/", "/topics/", "/topics", "/"}[w.p.Below(5)])
	switch w.p.Below(6) {
	case 0:
		w.put(strings.Repeat("t", 247+w.p.Below(4)))
	case 1:
		w.put([]string{"", ".", "..", "a.b", "a/b", "ä", "a b"}[w.p.Below(7)])
	default:
		w.put("orders")
	}
	switch w.p.Below(4) {
	case 0:
		w.put("/partitions/")
		w.put([]string{"0", "1", "131071", "131072", "", "-1", "-0", "+1", "01", "1/", "1x", "9999999999"}[w.p.Below(12)])
	case 1:
		w.put([]string{"/", "/partitions", "/partition/1"}[w.p.Below(3)])
	}
	return string(w.out)
}

func (w *writer) body() {
	w.space()
	n := 1 + w.p.Below(3)
	w.list('{', n, '}', func(i int) {
		if i == 0 || w.p.Below(6) == 0 {
			w.member("records")
			w.list('[', w.p.Below(4), ']', func(int) { w.record() })
			return
		}
		w.member([]string{"key_schema", "key_schema_id", "value_schema", "value_schema_id", "Records", "other"}[w.p.Below(6)])
		w.value(2)
	})
	w.space()
	if w.p.Below(16) == 15 {
		w.put(string(w.p.Bytes(4)))
	}
}

// list writes n elements between two brackets.
func (w *writer) list(open byte, n int, end byte, element func(int)) {
	w.out = append(w.out, open)
	for i := range n {
		if i > 0 {
			w.put(",")
		}
		w.space()
		element(i)
		w.space()
	}
	w.out = append(w.out, end)
}

// member writes a name, now and then with an escape in it.
func (w *writer) member(name string) {
	if w.p.Below(32) == 31 {
		name = strings.Replace(name, "e", `\u0065`, 1)
	}
	w.put(`"` + name + `"`)
	w.space()
	w.put(":")
	w.space()
}

func (w *writer) record() {
	if w.p.Below(16) == 15 {
		w.value(2)
		return
	}
	fields := []string{"key", "value", "partition", "timestamp", "headers"}
	first := w.p.Below(5)
	w.list('{', w.p.Below(7), '}', func(i int) {
		if w.p.Below(24) == 23 {
			w.member("Value")
			w.value(1)
			return
		}
		switch name := fields[(first+i)%5]; name {
		case "partition", "timestamp":
			w.member(name)
			w.number()
		case "headers":
			w.member(name)
			w.headers()
		default:
			w.member(name)
			w.value(3)
		}
	})
}

func (w *writer) headers() {
	if w.p.Below(4) == 3 {
		w.value(1)
		return
	}
	w.list('[', w.p.Below(3), ']', func(int) {
		w.list('{', w.p.Below(4), '}', func(i int) {
			w.member([]string{"key", "value", "key", "value", "key", "other"}[(i+w.p.Below(4))%6])
			if w.p.Below(4) == 3 {
				w.value(1)
			} else {
				w.text()
			}
		})
	})
}

func (w *writer) number() {
	w.put([]string{"0", "1", "7", "131071", "131072", "253402300799999", "253402300800000", "9223372036854775807", "9223372036854775808",
		"-1", "-0", "1.0", "1e3", "null", `"5"`, "00", "1700000000000"}[w.p.Below(17)])
}

// text is a string: base64 mostly.
func (w *writer) text() {
	w.put([]string{`"YQ=="`, `"AQI="`, `""`, `"\/\/8="`, `"YQ"`, `"YQ=\n="`, `"YR=="`, `"\u0059Q=="`, `"a b"`, `"\ud800"`, `"\\"`, `"\"}"`, "\"\u00e4\"", "\"\xff\""}[w.p.Below(14)])
}

func (w *writer) value(depth int) {
	switch n := w.p.Below(8); {
	case n == 0:
		w.put([]string{"null", "true", "false", "nul"}[w.p.Below(4)])
	case n == 1:
		w.number()
	case n == 2 && depth > 0:
		w.list('[', w.p.Below(4), ']', func(int) { w.value(depth - 1) })
	case n == 3 && depth > 0:
		w.list('{', w.p.Below(4), '}', func(i int) {
			w.member([]string{"a", "key", "records"}[i%3])
			w.value(depth - 1)
		})
	case n == 4:
		w.put(string(w.p.Bytes(6)))
	default:
		w.text()
	}
}
