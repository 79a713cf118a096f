package httpin

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
)

// say sends text as it is and gives everything that comes back.
func say(t *testing.T, s *Server, text string) string {
	t.Helper()
	c := dial(t, s)
	if _, err := io.WriteString(c, text); err != nil {
		return "" // it was closed before all was sent
	}
	_ = c.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(c) // a reset counts as what came before it
	return string(answer)
}

const small = `{"records":[{"value":1}]}`

func request(path string, headers ...string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Type: " + typeJSON + "\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

// A proxy in front and we must agree where a request ends: what is ambiguous is refused, and nothing behind it is taken for a request.
func TestSmuggledRequestsAreNotTaken(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	s := startServer(t, h, 100)
	inner := request("/topics/smuggled", fmt.Sprintf("Content-Length: %d", len(small))) + small
	for name, text := range map[string]string{
		"both lengths":           request("/topics/t", "Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n" + inner,
		"two lengths":            request("/topics/t", "Content-Length: 0", fmt.Sprintf("Content-Length: %d", len(inner))) + inner,
		"a list of lengths":      request("/topics/t", "Content-Length: 0, 25") + inner,
		"a signed length":        request("/topics/t", "Content-Length: +0") + inner,
		"a negative length":      request("/topics/t", "Content-Length: -1") + inner,
		"a hidden encoding":      request("/topics/t", "Transfer-Encoding: xchunked") + "0\r\n\r\n" + inner,
		"two encodings":          request("/topics/t", "Transfer-Encoding: chunked", "Transfer-Encoding: identity") + "0\r\n\r\n" + inner,
		"a space in the name":    request("/topics/t", "Transfer-Encoding : chunked") + "0\r\n\r\n" + inner,
		"a bad chunk's size":     request("/topics/t", "Transfer-Encoding: chunked") + "0x0\r\n\r\n" + inner,
		"a chunk without an end": request("/topics/t", "Transfer-Encoding: chunked") + "1\r\nxx\r\n" + inner,
		"two hosts":              "POST /topics/t HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + inner,
		"a line end in a header": request("/topics/t", "X: a\rb", "Content-Length: 0") + inner,
		"version 0.9":            "POST /topics/t\r\n" + inner,
		"version 2 in clear":     "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + inner,
	} {
		before := len(sink.batches)
		answer := say(t, s, text)
		if len(sink.batches) != before && !strings.HasPrefix(answer, "HTTP/1.1 4") {
			t.Errorf("%s: something was taken, and the answer begins %.60q", name, answer)
		}
		for _, b := range sink.batches[before:] {
			t.Errorf("%s: %s was taken: %.200q", name, b.Records[0].Topic, answer)
		}
	}
}

func TestPathTricksReachNoOtherTopic(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	s := startServer(t, h, 100)
	for _, path := range []string{"/topics/..", "/topics/.", "/topics/%2e%2e", "/topics/a%2fb", "/topics/a%2Fpartitions%2F0", "/topics/a/../b", "//topics/a", "/topics//a", "/topics/a/", "/topics/a%00",
		"/topics/a%0d%0aX:1", "/topics/a;b", "/topics/\xff", "/topics/a%c0%ae", "/TOPICS/a", "/topics/a/partitions/0/", "/topics/a/partitions/00", "/topics/a/partitions/+1",
		"/topics/a/partitions/4294967296", "/v3/clusters/../topics/a/records", "/v3/clusters/c/topics/../records", "/v3/clusters/c/topics/a%2f..%2fb/records", "/kafka/topics/a", "/kafka/kafka/v3/clusters/c/topics/a/records",
		"/v3/clusters/c/topics/a/records/", "/v3/clusters//topics/a/records", "http://other/topics/../a", "*", "/topics/" + strings.Repeat("a", 250)} {
		answer := say(t, s, request(path, fmt.Sprintf("Content-Length: %d", len(small)), "Connection: close")+small)
		if !strings.HasPrefix(answer, "HTTP/1.1 4") {
			t.Errorf("%q: %.80q", path, answer)
		}
	}
	if len(sink.batches) != 0 {
		t.Errorf("%d batches were taken", len(sink.batches))
	}
}

func TestOversizedRequestsAreRefusedBeforeTheyAreRead(t *testing.T) {
	t.Parallel()
	h, sink, _ := newTest(testConfig())
	s := startServer(t, h, 100)
	for name, tt := range map[string]struct{ text, want string }{
		"a body that is announced": {request("/topics/t", "Content-Length: 99999999999") + "x", "HTTP/1.1 413"},
		"a body in chunks":         {request("/topics/t", "Transfer-Encoding: chunked") + strings.Repeat("4000\r\n"+strings.Repeat("x", 0x4000)+"\r\n", 8), "HTTP/1.1 413"},
		"a header":                 {request("/topics/t", "X: "+strings.Repeat("x", 64<<10)), "HTTP/1.1 431"},
		"many headers":             {request("/topics/t", strings.Repeat("X: y\r\n", 8<<10)+"Z: 1"), "HTTP/1.1 431"},
		"a path":                   {request("/topics/" + strings.Repeat("x", 64<<10)), "HTTP/1.1 431"},
		"a chunk's extension":      {request("/topics/t", "Transfer-Encoding: chunked") + "1;" + strings.Repeat("x", 64<<10) + "\r\n1\r\n0\r\n\r\n", "HTTP/1.1 4"},
		"a key":                    {request("/topics/t", "Idempotency-Key: "+strings.Repeat("x", 256), "Content-Length: 25") + small, "HTTP/1.1 400"},
	} {
		if answer := say(t, s, tt.text); !strings.HasPrefix(answer, tt.want) && answer != "" { // it may be closed while the rest is sent
			t.Errorf("%s: %.100q, want %s", name, answer, tt.want)
		}
	}
	if len(sink.batches) != 0 || h.budget.Load() != 0 {
		t.Errorf("%d batches were taken, %d bytes are in use", len(sink.batches), h.budget.Load())
	}
}

func TestJSONBombsAreRefusedWithBoundedMemory(t *testing.T) {
	cfg := testConfig()
	cfg.MaxBodyBytes, cfg.BodyBudget = 8<<20, 32<<20
	const most = 1 << 17
	for name, body := range map[string]string{
		"depth":        `{"records":[{"value":` + strings.Repeat("[", most) + strings.Repeat("]", most) + `}]}`,
		"open":         strings.Repeat("[", most),
		"objects":      strings.Repeat(`{"a":`, most/2),
		"many records": `{"records":[` + strings.Repeat(`{},`, most) + `1]}`,
		"many members": `{"records":[{` + strings.Repeat(`"a":1,`, most/2) + `"b":1}]}`,
		"many headers": `{"records":[{"headers":[` + strings.Repeat(`{"key":""},`, most/4) + `1]}]}`,
		"long number":  `{"records":[{"partition":` + strings.Repeat("9", most) + `}]}`,
		"long string":  `{"records":[{"valeu":"` + strings.Repeat("x", most) + `"}]}`,
	} {
		for _, path := range []string{"/topics/t", pathV3, pathV3 + ":batch", "/topics/t?lines=records"} {
			h, sink, _ := newTest(cfg)
			contentType := contentTypeOf(path)
			if strings.Contains(path, "lines") {
				contentType = typeLines
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			w := post(h, path, contentType, body)
			runtime.ReadMemStats(&after)
			if w.Code/100 != 4 || len(sink.batches) != 0 || w.Body.Len() > 1000 {
				t.Errorf("%s to %s: %d %.200s", name, path, w.Code, w.Body)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 96<<20*memoryFactor {
				t.Errorf("%s to %s: %d MiB were allocated", name, path, grown>>20)
			}
		}
	}
}

func TestALargeBodyOfOrdinaryRecordsFitsTheBudget(t *testing.T) {
	c := spoold.DefaultConfig()
	h, sink, _ := newTest(DefaultConfig(&c, 10<<20, 1024))
	record := `{"key":"user-17","value":{"id":123456,"name":"somebody","tags":["a","b"]}},`
	n := (10<<20 - 100) / len(record)
	body := `{"records":[` + strings.Repeat(record, n)
	if w := post(h, "/topics/t", typeJSON, body[:len(body)-1]+"]}"); w.Code != 200 || len(sink.batches[0].Records) != n || h.budget.Load() != 0 {
		t.Errorf("%d records: %d %.200s", n, w.Code, w.Body)
	}
}

// A client that sends its body byte by byte, or nothing, is ended by the server's own times; here they are looked at, not waited for.
func TestSlowClientsHaveTheirTimes(t *testing.T) {
	h, _, _ := newTest(testConfig())
	s := startServer(t, h, 100, func(s *Server) { s.http.ReadTimeout = 50 * time.Millisecond })
	if s.http.ReadHeaderTimeout <= 0 || s.http.ReadTimeout <= 0 || s.http.IdleTimeout <= 0 || s.http.MaxHeaderBytes <= 0 || s.http.MaxHeaderBytes > 64<<10 {
		t.Errorf("%+v", &s.http)
	}
	c := dial(t, s)
	fmt.Fprint(c, request("/topics/t", "Content-Length: 100")+"{")
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != 408 || !res.Close {
		t.Errorf("%v, %v", res, err)
	}
}

// clock of a body that falls silent: its deadline is set anew only when something comes.
type deadlines struct {
	http.ResponseWriter
	set []time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.set = append(d.set, t); return nil }

func TestAStreamsDeadlineMovesOnlyWhileItIsRead(t *testing.T) {
	h, _, _ := newTest(testConfig())
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", io.MultiReader(strings.NewReader("a"), strings.NewReader("b")))
	if err != nil {
		t.Fatal(err)
	}
	d := &deadlines{}
	b, done := h.patient(d, r)
	defer done()
	if _, err := b.Read(make([]byte, 1)); err != nil || len(d.set) != 1 || time.Until(d.set[0]) > bodyTimeout {
		t.Errorf("%v, %v", d.set, err)
	}
	b.until = time.Now().Add(bodyTimeout - 2*time.Second)
	if _, err := b.Read(make([]byte, 1)); err != nil || len(d.set) != 2 {
		t.Errorf("%v, %v", d.set, err)
	}
}

func TestAStreamThatBreaksOffLeavesOnlyWholePartsAndNoWaste(t *testing.T) {
	h, sink, hooks := newTest(testConfig())
	s := startServer(t, h, 100)
	c := dial(t, s)
	fmt.Fprintf(c, "POST /topics/t HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 1000000\r\n\r\n%s", typeLines, strings.Repeat("1\n", 2*partLines+7))
	_ = c.(*net.TCPConn).CloseWrite() // half closed: the answer can still be read
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(res.Body)
	if want := fmt.Sprintf(`"lines":%d`, 2*partLines); res.StatusCode != 400 || !bytes.Contains(text, []byte(want)) {
		t.Errorf("%d %s, want %s", res.StatusCode, text, want)
	}
	gone := dial(t, s)
	fmt.Fprintf(gone, "POST /topics/t HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n%s\r\n", typeLines, strings.Repeat("1\n", partLines))
	until(t, func() bool { sink.mu.Lock(); defer sink.mu.Unlock(); return len(sink.batches) == 3 })
	_ = gone.(*net.TCPConn).SetLinger(0)
	_ = gone.Close() // reset
	until(t, func() bool { return h.streams.Load() == 0 && h.budget.Load() == 0 })
	hooks.mu.Lock()
	defer hooks.mu.Unlock()
	if hooks.spooled != 3*partLines {
		t.Errorf("%d records are counted, want %d", hooks.spooled, 3*partLines)
	}
}

// Whoever sends v3 records and reads no reports is held back by the connection, and does not fill our memory.
func TestAClientThatReadsNoReportsIsHeldBack(t *testing.T) {
	h, _, _ := newTest(testConfig())
	s := startServer(t, h, 100)
	c := dial(t, s)
	_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", pathV3, plainJSON)
	record := `{"value":{"type":"JSON","data":1}}`
	part := fmt.Sprintf("%x\r\n%s\r\n", len(record)*100, strings.Repeat(record, 100))
	_ = c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
	sent := 0
	for sent < 1<<30 {
		n, err := io.WriteString(c, part)
		if sent += n; err != nil {
			break
		}
	}
	if sent >= 256<<20 {
		t.Errorf("%d bytes were read without a reader of reports", sent)
	}
	_ = c.Close()
	until(t, func() bool { return h.streams.Load() == 0 })
}

func TestPagesThatANameLeadsHereMayNotPost(t *testing.T) {
	cfg := testConfig()
	cfg.Origins = []string{"https://app.example.com"}
	h, sink, _ := newTest(cfg)
	for _, tt := range []struct {
		host, origin string
		want         int
	}{
		{"evil.example:8082", "http://evil.example:8082", 403},
		{"127.0.0.1:8082", "http://127.0.0.1:8082", 200},
		{"127.0.0.1:8082", "http://127.0.0.1:9999", 403},
		{"localhost:8082", "http://localhost:8082", 200},
		{"127.0.0.1:8082", "https://app.example.com", 200},
		{"127.0.0.1:8082", "null", 403},
		{"127.0.0.1:8082", "", 200},
	} {
		before := len(sink.batches)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+tt.host+"/topics/t", strings.NewReader(small))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", typeJSON)
		if tt.origin != "" {
			r.Header.Set("Origin", tt.origin)
		}
		w := serve(h, r)
		if w.Code != tt.want || len(sink.batches)-before != (tt.want/200)%2 || (w.Header().Get("Access-Control-Allow-Origin") != "") != (tt.origin == cfg.Origins[0]) {
			t.Errorf("%s from %s: %d %s", tt.host, tt.origin, w.Code, w.Body)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, "/topics/t", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", cfg.Origins[0])
	r.Header.Set("Access-Control-Request-Method", "POST")
	if w := serve(h, r); w.Code != 204 || !strings.Contains(w.Header().Get("Access-Control-Allow-Headers"), "Idempotency-Key") {
		t.Errorf("the question before: %d %v", w.Code, w.Header())
	}
	r.Header.Set("Origin", "https://evil.example")
	if w := serve(h, r); w.Code != 405 || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a stranger's: %d %v", w.Code, w.Header())
	}
}
