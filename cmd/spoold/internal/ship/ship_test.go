package ship

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// cut feeds input in chunks and returns the records; "<n>" is a skipped record of n bytes with delimiter.
func cut(t testing.TB, f Format, chunks ...string) (out []string, skipped int) {
	t.Helper()
	s := Splitter{Format: f}
	var held []byte
	gone := 0
	for i, c := range append(chunks, "") {
		held = append(held, c...)
		end := i == len(chunks)
		for step := 0; ; step++ {
			if step > 10000 {
				t.Fatalf("no end: %q", held)
			}
			if len(held) == 0 && !s.Skipping() {
				break
			}
			p := s.Next(held, end)
			if p.Kind == More {
				break
			}
			switch p.Kind {
			case Record:
				out = append(out, string(p.Value))
			case SkipEnd:
				gone += p.Bytes
				skipped++
				out = append(out, "<long>")
			case Skipped:
				gone += p.Bytes
			}
			held = held[p.Bytes:]
		}
	}
	if len(held) > 0 {
		t.Errorf("%q is in no record", held)
	}
	return out, skipped
}

func newline(max int) Format { return Format{Delim: []byte("\n"), Max: max, TrimCR: true} }

func TestLinesEndAtTheirDelimiter(t *testing.T) {
	stack := newline(20)
	stack.Starts = func(l []byte) bool { return !bytes.HasPrefix(l, []byte(" ")) }
	tests := []struct {
		name   string
		format Format
		in     []string
		want   []string
	}{
		{"whole lines", newline(9), []string{"a\n\nbc\n"}, []string{"a", "", "bc"}},
		{"CRLF, also across chunks", newline(9), []string{"a\r\nb\r", "\nc\rd\n"}, []string{"a", "b", "c\rd"}},
		{"no newline at the end", newline(9), []string{"a\nb"}, []string{"a", "b"}},
		{"NUL bytes are data", newline(9), []string{"a\x00b\n"}, []string{"a\x00b"}},
		{"as long as allowed", newline(3), []string{"abc\nabc\r\n"}, []string{"abc", "abc"}},
		{"too long", newline(3), []string{"abcd\nx\n"}, []string{"<long>", "x"}},
		{"too long in pieces", newline(3), []string{"abcdefg", "hijkl", "m\nx\n"}, []string{"<long>", "x"}},
		{"too long without an end", newline(3), []string{"abcdefg", "h"}, []string{"<long>"}},
		{"a delimiter of three bytes", Format{Delim: []byte("---"), Max: 4}, []string{"ab-", "-", "-cd--", "-abcde-", "--x"}, []string{"ab", "cd", "<long>", "x"}},
		{"records of several lines", stack, []string{"e1\n at x\n at", " y\ne2\ne3\n at z\n"}, []string{"e1\n at x\n at y", "e2", "e3\n at z"}},
		{"several lines, too long", stack, []string{"e1\n at xxxxxxxxxx\n at yyyyyyyyyyyy\n at z\ne2\n"}, []string{"<long>", "e2"}},
		{"several lines, one too long", stack, []string{"e1\n at xxxxxxxxxxyyyyyyyyyyyyy", "yyyyyyyyyyyyyyyyy\n z\ne2"}, []string{"<long>", "e2"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, _ := cut(t, tt.format, tt.in...); !slices.Equal(got, tt.want) {
				t.Errorf("%q gives %q, want %q", tt.in, got, tt.want)
			}
		})
	}
}

// Law: how the input is cut into chunks changes nothing, and no byte is left.
func FuzzChunksChangeNoRecord(f *testing.F) {
	f.Add([]byte("a\nbb\r\n cc\nddddddddd\n"), uint64(1), uint8(4), true)
	f.Add([]byte("aaaaaaaaaaaaaaaaaaaa\n b\n"), uint64(2), uint8(3), false)
	f.Fuzz(func(t *testing.T, in []byte, seed uint64, most uint8, several bool) {
		format := newline(int(most))
		if several {
			format.Starts = func(l []byte) bool { return len(l) == 0 || l[0] != ' ' }
		}
		whole, _ := cut(t, format, string(in))
		rng := rand.New(rand.NewPCG(seed, 0))
		var chunks []string
		for rest := in; len(rest) > 0; {
			n := 1 + rng.IntN(len(rest))
			chunks, rest = append(chunks, string(rest[:n])), rest[n:]
		}
		if pieces, _ := cut(t, format, chunks...); format.Starts == nil && !slices.Equal(whole, pieces) {
			t.Errorf("whole %q, in pieces %q", whole, pieces)
		}
	})
}

func TestAPositionSurvivesItsNote(t *testing.T) {
	p := &Position{ID: 7, FileID: FileID{1, 2}, Path: "/var/log/a", Gzip: true, MidLine: true}
	text := strings.Repeat("0123456789", 30)
	for at := 0; at < len(text); at += 25 {
		p.Advance([]byte(text[at : at+25]))
	}
	if string(p.Head) != text[:HeadSize] || string(p.Marker) != text[len(text)-MarkerSize:] || p.Offset != 300 {
		t.Errorf("head %q marker %q offset %d", p.Head, p.Marker, p.Offset)
	}
	got, err := DecodePosition(7, p.Encode())
	if err != nil || !reflect.DeepEqual(got, p) {
		t.Errorf("%+v, %v; want %+v", got, err, p)
	}
	long := &Position{Path: strings.Repeat("x", 5000)}
	if n := len(long.Encode()); n > 4096 {
		t.Errorf("a position of %d bytes does not fit in a note", n)
	}
}

// Law: what is not a position is an error, never a panic.
func FuzzDecodePosition(f *testing.F) {
	p := &Position{Path: "/a"}
	p.Advance([]byte("hello\n"))
	f.Add(p.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, err := DecodePosition(1, b); err == nil {
			if q, err := DecodePosition(1, p.Encode()); err != nil || !reflect.DeepEqual(p, q) {
				t.Errorf("%+v is read back as %+v, %v", p, q, err)
			}
		}
	})
}

func TestAnotherFileDoesNotFit(t *testing.T) {
	p := &Position{}
	p.Advance([]byte("hello\nworld\n"))
	for _, tt := range []struct {
		head, before string
		want         bool
	}{
		{"hello\nworld\nmore", "hello\nworld\n", true},
		{"hello\nwor", "hello\nwor", false},
		{"hello\nthere\nmore", "hello\nthere\n", false},
		{"", "", false},
	} {
		if got := p.Fits([]byte(tt.head), []byte(tt.before)); got != tt.want {
			t.Errorf("Fits(%q) = %t", tt.head, got)
		}
	}
}

func TestRotatedNamesBelongToTheirLog(t *testing.T) {
	for path, base := range map[string]string{
		"/l/app.log": "/l/app.log", "/l/app.log.1": "/l/app.log", "/l/app.log.12.gz": "/l/app.log", "/l/app.log-20261129": "/l/app.log",
		"/l/app.log.2026-11-29": "/l/app.log", "/l/app.log.old": "/l/app.log", "/l/app-2026-11-29T10-00-00.000.log": "/l/app.log",
		"/l/app-2026-11-29T10-00-00.000.log.gz": "/l/app.log", "/l/server-1.log": "/l/server-1.log", "/l/10": "/l/10", "/l/a.gz": "/l/a",
		"/l/app.log.bak": "/l/app.log.bak", "/l/x.1.2": "/l/x", "/l/.1": "/l/.1", "/l/v2.log": "/l/v2.log",
	} {
		if n := ParseName(path); n.Base != base {
			t.Errorf("%s belongs to %s, want %s", path, n.Base, base)
		}
	}
	for _, inOrder := range [][]string{
		{"a.log.10.gz", "a.log.2", "a.log.1", "a.log"},
		{"a.log-20261128", "a.log-20261129", "a.log"},
	} {
		names := make([]Name, len(inOrder))
		for i, p := range inOrder {
			names[len(names)-1-i] = ParseName(p)
		}
		slices.SortStableFunc(names, func(a, b Name) int { return Older(&a, &b) })
		for i, p := range inOrder {
			if names[i].Path != p {
				t.Errorf("place %d: %s, want %s", i, names[i].Path, p)
			}
		}
	}
}
