package httpin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/spoold/spoold"
)

// linesAnswer is what a body of lines is answered.
type linesAnswer struct {
	Lines    int    `json:"lines"`
	Records  int    `json:"records"`
	Repeated int    `json:"repeated"`
	Code     int    `json:"error_code"`
	Message  string `json:"message"`
}

const typeLines = "application/x-ndjson"

func answerOf(t *testing.T, w *httptest.ResponseRecorder) (a linesAnswer) {
	t.Helper()
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	return a
}

// taken are the values that a sink was given.
func (s *fakeSink) taken() (values []string) {
	for _, b := range s.batches {
		for _, r := range b.Records {
			values = append(values, string(r.Value))
		}
	}
	return values
}

func TestEachLineIsARecordByteForByte(t *testing.T) {
	h, sink, hooks := newTest(testConfig())
	w := post(h, "/topics/t", typeLines+"; charset=utf-8", "{\"a\": 1.50}\n\n[ 1,2]\r\n \"x\" \nnull\n7")
	if a := answerOf(t, w); w.Code != 200 || a.Lines != 6 || a.Records != 5 || a.Repeated != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	want := []string{`{"a": 1.50}`, `[ 1,2]`, ` "x" `, "null", "7"}
	if got := sink.taken(); strings.Join(got, "|") != strings.Join(want, "|") || hooks.spooled != 5 {
		t.Errorf("%q, want %q; %d counted", got, want, hooks.spooled)
	}
	h, sink, _ = newTest(testConfig())
	w = post(h, "/topics/t/partitions/2", "text/plain", "a b\n\n\xff\xfe\nlast")
	if got := sink.taken(); w.Code != 200 || strings.Join(got, "|") != "a b||\xff\xfe|last" || sink.batches[0].Records[0].Partition.Number() != 2 {
		t.Errorf("%d %s: %q", w.Code, w.Body, got)
	}
	h, sink, _ = newTest(testConfig())
	w = post(h, "/topics/t?lines=records", typeLines, `{"key":"k","value":{"n":1},"partition":1,"timestamp":5,"headers":[{"key":"h","value":"YQ=="}]}`+"\n"+`{"value":null}`)
	if w.Code != 200 || len(sink.batches) != 1 || len(sink.batches[0].Records) != 2 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if r := sink.batches[0].Records[0]; string(r.Key) != `"k"` || string(r.Value) != `{"n":1}` || r.Partition.Number() != 1 || r.Timestamp.UnixMilli() != 5 || string(r.Headers[0].Value) != "a" {
		t.Errorf("%+v", r)
	}
	if sink.batches[0].Records[1].Value != nil {
		t.Error("a null value is not null")
	}
}

func TestTheAnswerSaysWhichLineIsWrongAndHowManyAreDurable(t *testing.T) {
	good := strings.Repeat("{\"n\":1}\n", partLines)
	for _, tt := range []struct {
		query, body string
		code, lines int
		says        string
	}{
		{"", "", 422, 0, "no lines"},
		{"", "\n\r\n \n", 422, 0, "no lines"},
		{"", "{}\n{\n{}\n", 400, 0, "Line 2 is not JSON"},
		{"", good + "{}\nx\n", 400, partLines, fmt.Sprintf("Line %d is not JSON", partLines+2)},
		{"", good + good + "\"\xff\"\n", 400, 2 * partLines, "not valid UTF-8"},
		{"?lines=records", strings.Repeat("{\"value\":1}\n", partLines) + "{\"valeu\":1}\n", 400, partLines, fmt.Sprintf(`Line %d: Unrecognized field: "valeu" in the record`, partLines+1)},
		{"", good + "\"" + strings.Repeat("x", 2<<20) + "\"\n", 413, partLines, fmt.Sprintf("Line %d is larger than http.max.body.bytes", partLines+1)},
		{"?lines=x", "1", 400, 0, "values, or records"},
	} {
		cfg := testConfig()
		cfg.BodyBudget = 16 << 20
		h, sink, hooks := newTest(cfg)
		w := post(h, "/topics/t"+tt.query, typeLines, tt.body)
		a := answerOf(t, w)
		if want := tt.code; w.Code/100 != want/100 || w.Code != want && want != 400 || a.Lines != tt.lines || a.Records != tt.lines || !strings.Contains(a.Message, tt.says) {
			t.Errorf("%.30q: %d %.200s, want %d, %d lines, %s", tt.body, w.Code, w.Body, want, tt.lines, tt.says)
		}
		if len(sink.taken()) != tt.lines || hooks.spooled != tt.lines || h.budget.Load() != 0 || h.streams.Load() != 0 {
			t.Errorf("%.30q: %d taken, %d counted", tt.body, len(sink.taken()), hooks.spooled)
		}
	}
}

// A body that comes again is cut into the same parts, however its bytes arrive, and each part is recognised; the rest of one that
// broke off goes on where it broke off.
func TestARepeatOfABrokenStreamAddsOnlyWhatIsMissing(t *testing.T) {
	var body bytes.Buffer
	for i := range 3*partLines + 10 {
		fmt.Fprintf(&body, "{\"n\":%d,\"pad\":%q}\n", i, strings.Repeat("x", i%700))
	}
	h, sink, hooks := newTest(testConfig())
	send := func(in io.Reader) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/topics/t", in)
		r.Header.Set("Content-Type", typeLines)
		r.Header.Set("Idempotency-Key", "k")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	half := io.MultiReader(iotest.HalfReader(io.LimitReader(bytes.NewReader(body.Bytes()), int64(body.Len()/2))), iotest.ErrReader(io.ErrUnexpectedEOF))
	w := send(half)
	first := answerOf(t, w)
	if w.Code != 400 || first.Lines == 0 || first.Lines != first.Records || len(sink.taken()) != first.Records || !strings.Contains(first.Message, "broke off") {
		t.Fatalf("%d %s: %d taken", w.Code, w.Body, len(sink.taken()))
	}
	w = send(iotest.OneByteReader(bytes.NewReader(body.Bytes())))
	a := answerOf(t, w)
	if w.Code != 200 || a.Records != 3*partLines+10 || a.Repeated != first.Records || len(sink.taken()) != 3*partLines+10 || hooks.spooled != 3*partLines+10 {
		t.Errorf("%d %s: %d taken", w.Code, w.Body, len(sink.taken()))
	}
	if got := strings.Join(sink.taken(), "\n") + "\n"; got != body.String() {
		t.Error("what was taken is not what was sent")
	}
	seen := map[string]bool{}
	for _, b := range sink.batches {
		if seen[b.Key] || b.Key == "" {
			t.Errorf("key %q is there twice", b.Key)
		}
		seen[b.Key] = true
	}
}

// countingSink forgets what it is given.
type countingSink struct {
	fakeSink
	n int
}

func (s *countingSink) SendBatch(_ context.Context, b spoold.Batch) (Deliveries, error) {
	s.n += len(b.Records)
	return fakeDeliveries{&s.fakeSink, false}, nil
}

// manyLines makes lines as they are read.
type manyLines struct {
	left int
	buf  []byte
}

func (m *manyLines) Read(into []byte) (int, error) {
	if len(m.buf) == 0 {
		if m.left == 0 {
			return 0, io.EOF
		}
		m.left--
		m.buf = fmt.Appendf(m.buf[:0], "{\"line\":%d}\n", m.left)
	}
	n := copy(into, m.buf)
	m.buf = m.buf[n:]
	return n, nil
}

func TestAMillionLinesTakeNoMoreMemoryThanAFew(t *testing.T) {
	h, _, _ := newTest(testConfig())
	sink := &countingSink{}
	h.sink = sink
	r := httptest.NewRequest(http.MethodPost, "/topics/t", bufio.NewReaderSize(&manyLines{left: 1_000_000}, 64<<10))
	r.Header.Set("Content-Type", typeLines)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	runtime.ReadMemStats(&after)
	if a := answerOf(t, w); w.Code != 200 || a.Lines != 1_000_000 || sink.n != 1_000_000 {
		t.Errorf("%d %s, %d taken", w.Code, w.Body, sink.n)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<20*memoryFactor {
		t.Errorf("%d bytes were allocated in all", grown)
	}
}

// failingSink refuses from its n-th batch on.
type failingSink struct {
	fakeSink
	from int
	err  error
}

func (s *failingSink) SendBatch(ctx context.Context, b spoold.Batch) (Deliveries, error) {
	if len(s.batches) >= s.from {
		return nil, s.err
	}
	return s.fakeSink.SendBatch(ctx, b)
}

func TestASpoolThatFillsUpStopsAStreamWhereItSays(t *testing.T) {
	h, _, _ := newTest(testConfig())
	h.sink = &failingSink{from: 2, err: spoold.ErrFull}
	w := post(h, "/topics/t", typeLines, strings.Repeat("1\n", 5*partLines))
	if a := answerOf(t, w); w.Code != 429 || a.Code != 42901 || a.Lines != 2*partLines || a.Records != 2*partLines || w.Header().Get("Retry-After") != "7" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// unsureDeliveries are those of which the n-th is not known to be spooled.
type unsureSink struct {
	fakeSink
	from int
}

type unsure struct{ fakeDeliveries }

func (unsure) Spooled(context.Context) error { return spoold.ErrUnknown }

func (s *unsureSink) SendBatch(ctx context.Context, b spoold.Batch) (Deliveries, error) {
	d, err := s.fakeSink.SendBatch(ctx, b)
	if err == nil && len(s.batches) == s.from {
		return unsure{d.(fakeDeliveries)}, nil
	}
	return d, err
}

func TestLinesBehindAnUnknownPartAreNotCalledDurable(t *testing.T) {
	h, _, _ := newTest(testConfig())
	h.sink = &unsureSink{from: 2}
	w := post(h, "/topics/t", typeLines, strings.Repeat("1\n", 5*partLines))
	if a := answerOf(t, w); w.Code != 500 || a.Lines != partLines {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestLinesMayWaitForAcks(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	sink.acks = func(i int) (spoold.Ack, error) { return spoold.Ack{Offset: int64(i)}, nil }
	if w := post(h, "/topics/t?wait=acked", typeLines, "1\n2\n"); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	sink.acks = func(int) (spoold.Ack, error) { return spoold.Ack{}, errors.New("INVALID_RECORD") }
	if w := post(h, "/topics/t?wait=acked", typeLines, "1\n2\n"); w.Code != 502 || answerOf(t, w).Lines != 2 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	sink.acks = nil
	if w := post(h, "/topics/t?wait=acked", typeLines, "1\n2\n"); w.Code != 504 || answerOf(t, w).Lines != 2 || h.waiters.Load() != 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// slowPrincipal may send after it has waited a few times.
type slowPrincipal struct {
	mu    sync.Mutex
	waits int
	spent int
}

func (*slowPrincipal) Name() string                        { return "slow" }
func (*slowPrincipal) MaySend(t string) bool               { return t == "t" }
func (p *slowPrincipal) Spend(_ time.Time, n int, _ int64) { p.spent += n }
func (p *slowPrincipal) Wait(time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waits > 0 {
		p.waits--
		return time.Millisecond
	}
	return 0
}

func TestAStreamAboveItsRateIsHeldBackNotRefused(t *testing.T) {
	who := &slowPrincipal{waits: 3}
	cfg := testConfig()
	cfg.Enter = func(*http.Request) (Principal, *Denial) { return who, nil }
	h, sink, _ := newTest(cfg)
	if w := post(h, "/topics/t", typeLines, "1\n2\n"); w.Code != 200 || who.waits != 0 || who.spent != 2 || len(sink.taken()) != 2 {
		t.Errorf("%d %s, %+v", w.Code, w.Body, who)
	}
	who.waits = 1
	if w := post(h, "/topics/t", typeJSON, `{"records":[{"value":1}]}`); w.Code != 429 || !strings.Contains(w.Body.String(), "42907") {
		t.Errorf("a request above the rate: %d %s", w.Code, w.Body)
	}
	if w := post(h, "/topics/other", typeLines, "1\n"); w.Code != 403 {
		t.Errorf("another topic: %d %s", w.Code, w.Body)
	}
}

func TestStreamsAtATimeAreBounded(t *testing.T) {
	h, _, _ := newTest(testConfig())
	h.streams.Store(int64(h.cfg.MaxWaiters))
	for _, path := range []string{"/topics/t", "/v3/clusters/c/topics/t/records"} {
		ct := typeLines
		if strings.HasPrefix(path, "/v3") {
			ct = plainJSON
		}
		if w := post(h, path, ct, "1\n"); w.Code != 429 || !strings.Contains(w.Body.String(), "42902") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
