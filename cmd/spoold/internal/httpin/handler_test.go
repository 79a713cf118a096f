package httpin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/poll"
)

// fakeSink keeps copies of what it is given.
type fakeSink struct {
	mu      sync.Mutex
	batches []spoold.Batch
	keys    map[string]bool
	err     error
	acks    func(i int) (spoold.Ack, error) // nil: never acked
	waits   string
	count   int32 // of the partitions of every topic
}

func (s *fakeSink) Partitions(context.Context, string) int32 { return s.count }
func (s *fakeSink) RetryAfter() int                          { return 7 }
func (s *fakeSink) Waits(string) string                      { return s.waits }
func (s *fakeSink) Cluster() string                          { return "cluster-1" }
func (s *fakeSink) Topics() []Topic                          { return []Topic{{"audit", 1}, {"orders", 3}} }

func (s *fakeSink) SendBatch(_ context.Context, b spoold.Batch) (Deliveries, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if b.Key != "" && s.keys[b.Key] {
		return fakeDeliveries{s, true}, nil
	}
	if s.keys == nil {
		s.keys = map[string]bool{}
	}
	s.keys[b.Key] = true
	kept := spoold.Batch{Key: b.Key}
	for _, r := range b.Records {
		r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
		var headers []spoold.Header
		for _, h := range r.Headers {
			headers = append(headers, spoold.Header{Key: h.Key, Value: bytes.Clone(h.Value)})
		}
		r.Headers = headers
		kept.Records = append(kept.Records, r)
	}
	s.batches = append(s.batches, kept)
	return fakeDeliveries{s, false}, nil
}

type fakeDeliveries struct {
	s         *fakeSink
	duplicate bool
}

func (d fakeDeliveries) Spooled(context.Context) error { return nil }
func (d fakeDeliveries) Duplicate() bool               { return d.duplicate }
func (d fakeDeliveries) Acked(ctx context.Context, i int) (spoold.Ack, error) {
	if d.s.acks != nil {
		return d.s.acks(i)
	}
	<-ctx.Done()
	return spoold.Ack{}, ctx.Err()
}

type fakeHooks struct {
	mu                  sync.Mutex
	spooled, duplicates int
	rejected            map[string]int
}

func (h *fakeHooks) Spooled(_ string, n int) { h.mu.Lock(); h.spooled += n; h.mu.Unlock() }
func (h *fakeHooks) Duplicate()              { h.mu.Lock(); h.duplicates++; h.mu.Unlock() }
func (h *fakeHooks) Rejected(reason string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rejected == nil {
		h.rejected = map[string]int{}
	}
	h.rejected[reason] += n
}

func testConfig() Config {
	return Config{MaxBodyBytes: 1 << 16, AckTimeout: 50 * time.Millisecond, AdmitTimeout: time.Second, StreamTimeout: time.Second, MaxWaiters: 2, BodyBudget: 1 << 20}
}

func newTest(cfg Config) (*Handler, *fakeSink, *fakeHooks) {
	sink, hooks := &fakeSink{}, &fakeHooks{}
	return New(cfg, sink, hooks), sink, hooks
}

func post(h http.Handler, path, contentType, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return serve(h, r)
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestJSONBecomesCompactBytesWithEveryDigitAndMemberOrder(t *testing.T) {
	h, sink, hooks := newTest(testConfig())
	w := post(h, "/topics/orders", typeJSON, ` { "key_schema" : null , "records" : [
		{ "key" : "k 1", "value" : { "z" : 1.10000000000000000000001, "a" : [ 1 , "x y\" z" , { } ] } , "partition" : 2 },
		{ "value" : null }, { }, { "value" : "" , "key":null}, {"value":12345678901234567890} ] } `)
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	want := `{"offsets":[{"partition":2,"offset":-1,"error_code":null,"error":null}` + strings.Repeat(`,{"partition":-1,"offset":-1,"error_code":null,"error":null}`, 4) +
		`],"key_schema_id":null,"value_schema_id":null}` + "\n"
	if got := w.Body.String(); got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
	if got := w.Header().Get("Content-Type"); got != "application/vnd.kafka.v2+json" {
		t.Errorf("Content-Type %s", got)
	}
	records := sink.batches[0].Records
	values := []string{`{"z":1.10000000000000000000001,"a":[1,"x y\" z",{}]}`, "<nil>", "<nil>", `""`, "12345678901234567890"}
	for i, r := range records {
		if got := show(r.Value); got != values[i] {
			t.Errorf("record %d: value %s, want %s", i, got, values[i])
		}
	}
	if show(records[0].Key) != `"k 1"` || records[0].Partition.Number() != 2 || records[1].Partition.Number() != -1 || records[3].Key != nil {
		t.Errorf("keys or partitions are wrong: %+v", records)
	}
	if hooks.spooled != 5 {
		t.Errorf("counted %d records, want 5", hooks.spooled)
	}
}

func show(b []byte) string {
	if b == nil {
		return "<nil>"
	}
	return string(b)
}

func TestBinaryIsBase64AndStrimzisTimestampAndHeadersAreTaken(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	w := post(h, "/topics/orders/partitions/1", typeBinary+"; charset=utf-8",
		`{"records":[{"key":"a2V5","value":"\/\/8=","timestamp":1700000000123,"headers":[{"key":"h","value":"AQI="},{"key":"n","value":null}]},{"value":""}]}`)
	if w.Code != 200 {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	r := sink.batches[0].Records[0]
	if string(r.Key) != "key" || !bytes.Equal(r.Value, []byte{255, 255}) || r.Timestamp.UnixMilli() != 1700000000123 || r.Partition.Number() != 1 {
		t.Errorf("record %+v", r)
	}
	if len(r.Headers) != 2 || r.Headers[0].Key != "h" || !bytes.Equal(r.Headers[0].Value, []byte{1, 2}) || r.Headers[1].Value != nil {
		t.Errorf("headers %+v", r.Headers)
	}
	if empty := sink.batches[0].Records[1].Value; empty == nil || len(empty) != 0 {
		t.Errorf("an empty string is an empty value, not null: %v", empty)
	}
}

func TestWhatTheSenderDidWrongIsSaidAndNothingIsSpooled(t *testing.T) {
	long := strings.Repeat("a", 1<<16)
	tests := []struct {
		name, path, contentType, body string
		status, code                  int
		says                          string
	}{
		{"malformed JSON", "/topics/t", typeJSON, `{"records":[{"value":1},]}`, 400, 40002, "malformed JSON at byte 25"},
		{"cut-off JSON", "/topics/t", typeJSON, `{"records":[{"value":"x`, 400, 40002, "malformed JSON"},
		{"not UTF-8", "/topics/t", typeJSON, "{\"records\":[{\"value\":\"\xff\"}]}", 400, 40002, "UTF-8"},
		{"malformed base64", "/topics/t", typeBinary, `{"records":[{"value":"YQ=="},{"value":"!!!!"}]}`, 400, 40002, "records[1].value is not a base64 string"},
		{"unpadded base64", "/topics/t", typeBinary, `{"records":[{"value":"YQ"}]}`, 400, 40002, "padded"},
		{"base64 with line ends", "/topics/t", typeBinary, `{"records":[{"value":"YW\nI="}]}`, 400, 40002, "base64"},
		{"number as base64", "/topics/t", typeBinary, `{"records":[{"key":1}]}`, 400, 40002, "records[0].key"},
		{"unknown content type", "/topics/t", "application/json", `{"records":[{"value":1}]}`, 415, 415, "application/vnd.kafka.json.v2+json"},
		{"no content type", "/topics/t", "", `{"records":[{"value":1}]}`, 415, 415, "missing"},
		{"avro", "/topics/t", "application/vnd.kafka.avro.v2+json", `{}`, 415, 415, "schema registry"},
		{"empty body", "/topics/t", typeJSON, "", 422, 42206, "empty"},
		{"no records", "/topics/t", typeJSON, `{"records":[]}`, 422, 42206, "records"},
		{"records not an array", "/topics/t", typeJSON, `{"records":{}}`, 422, 42206, "not an array"},
		{"body not an object", "/topics/t", typeJSON, `[1]`, 422, 42206, "not an object"},
		{"record not an object", "/topics/t", typeJSON, `{"records":[1]}`, 422, 42206, "records[0]"},
		{"misspelt field", "/topics/t", typeJSON, `{"records":[{"valeu":1}]}`, 422, 422, `"valeu" in records[0]`},
		{"misspelt top field", "/topics/t", typeJSON, `{"record":[{"value":1}]}`, 422, 422, `"record"`},
		{"header's field twice", "/topics/t", typeJSON, `{"records":[{"value":1,"headers":[{"key":"h","value":"YQ==","value":null}]}]}`, 422, 422, "twice"},
		{"partition below zero in the path", "/topics/t/partitions/-0", typeJSON, `{"records":[{"value":1}]}`, 404, 40402, "not a number"},
		{"field twice", "/topics/t", typeJSON, `{"records":[{"value":1,"value":2}]}`, 400, 40002, "twice"},
		{"partition in path and body", "/topics/t/partitions/1", typeJSON, `{"records":[{"value":1,"partition":2}]}`, 422, 422, "the path says 1"},
		{"negative partition", "/topics/t", typeJSON, `{"records":[{"value":1,"partition":-1}]}`, 422, 422, "records[0].partition is -1"},
		{"a partition that no topic can have", "/topics/t", typeJSON, `{"records":[{"value":1,"partition":131072}]}`, 422, 422, "records[0].partition is 131072: it must be a number from 0 to 131071"},
		{"such a partition in the path", "/topics/t/partitions/131072", typeJSON, `{"records":[{"value":1}]}`, 404, 40402, "from 0 to 131071"},
		{"partition in quotes", "/topics/t", typeJSON, `{"records":[{"value":1,"partition":"1"}]}`, 422, 422, "partition"},
		{"timestamp in seconds with fraction", "/topics/t", typeJSON, `{"records":[{"value":1,"timestamp":1.5}]}`, 422, 422, "milliseconds"},
		{"header without key", "/topics/t", typeJSON, `{"records":[{"value":1,"headers":[{"value":"YQ=="}]}]}`, 422, 422, "has no key"},
		{"bad partition in path", "/topics/t/partitions/x", typeJSON, `{}`, 404, 40402, "Partition"},
		{"bad topic", "/topics/a%20b", typeJSON, `{}`, 400, 40002, "Topic name"},
		{"no topic", "/topics/", typeJSON, `{}`, 400, 40002, "Topic name"},
		{"unknown path", "/v3/x", typeJSON, `{}`, 404, 404, "POST /topics/{topic}"},
		{"body over the limit", "/topics/t", typeJSON, `{"records":[{"value":"` + long + `"}]}`, 413, 413, "http.max.body.bytes"},
		{"unknown wait", "/topics/t?wait=forever", typeJSON, `{"records":[{"value":1}]}`, 400, 40002, "wait=forever"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, sink, hooks := newTest(testConfig())
			w := post(h, tt.path, tt.contentType, tt.body)
			var answer struct {
				Code    int    `json:"error_code"`
				Message string `json:"message"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
				t.Fatalf("answer %q: %v", w.Body, err)
			}
			if w.Code != tt.status || answer.Code != tt.code || !strings.Contains(answer.Message, tt.says) {
				t.Errorf("got %d, %d, %q; want %d, %d, …%s…", w.Code, answer.Code, answer.Message, tt.status, tt.code, tt.says)
			}
			if strings.Contains(answer.Message, "\n") {
				t.Errorf("more than one line: %q", answer.Message)
			}
			if len(sink.batches) != 0 {
				t.Errorf("%d batches were spooled", len(sink.batches))
			}
			if len(hooks.rejected) != 1 {
				t.Errorf("rejections counted: %v", hooks.rejected)
			}
			if h.budget.Load() != 0 {
				t.Errorf("%d bytes of the budget are not given back", h.budget.Load())
			}
		})
	}
}

func TestSinkErrorsBecomeTheirStatus(t *testing.T) {
	tests := []struct {
		err    error
		status int
		retry  bool
		says   string
	}{
		{spoold.ErrFull, 429, true, "full"},
		{spoold.ErrKeyWindow, 429, true, "keys"},
		{spoold.ErrTooManyTopics, 429, true, "topic"},
		{spoold.ErrKeyReused, 422, false, "other records"},
		{spoold.ErrTooLarge, 413, false, "Nothing was spooled"},
		{spoold.ErrInvalidRecord, 400, false, "nothing was spooled"},
		{spoold.ErrClosed, 503, true, "stopping"},
		{spoold.ErrUnknown, 500, false, "not known"},
		{errors.New("boom"), 500, false, "boom"},
	}
	for _, tt := range tests {
		h, sink, _ := newTest(testConfig())
		sink.err = fmt.Errorf("wrapped: %w", tt.err)
		w := post(h, "/topics/t", typeJSON, `{"records":[{"value":1}]}`)
		if w.Code != tt.status || (w.Header().Get("Retry-After") != "") != tt.retry || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%v: status %d, Retry-After %q, body %s", tt.err, w.Code, w.Header().Get("Retry-After"), w.Body)
		}
	}
}

func TestTheScopeOfAKeyIsPathAndKey(t *testing.T) {
	h, sink, hooks := newTest(testConfig())
	const body = `{"records":[{"value":1}]}`
	for _, path := range []string{"/topics/a", "/topics/a", "/topics/b", "/topics/a/partitions/0"} {
		if w := post(h, path, typeJSON, body, "Idempotency-Key", "k1"); w.Code != 200 {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if len(sink.batches) != 3 || hooks.duplicates != 1 || hooks.spooled != 3 {
		t.Errorf("%d batches, %d duplicates, %d spooled; want 3, 1, 3", len(sink.batches), hooks.duplicates, hooks.spooled)
	}
	if w := post(h, "/topics/a", typeJSON, body, "Idempotency-Key", strings.Repeat("k", 256)); w.Code != 400 {
		t.Errorf("a key of 256 bytes: status %d, want 400", w.Code)
	}
}

func TestWaitAckedAnswersWithOffsetsAndRefusalsPerRecord(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	sink.acks = func(i int) (spoold.Ack, error) {
		if i == 1 {
			return spoold.Ack{}, errors.New("MESSAGE_TOO_LARGE: refused")
		}
		return spoold.Ack{Partition: 2, Offset: int64(100 + i)}, nil
	}
	w := post(h, "/topics/t?wait=acked", typeJSON, `{"records":[{"value":1},{"value":2}]}`)
	want := `{"offsets":[{"partition":2,"offset":100,"error_code":null,"error":null},{"partition":null,"offset":null,"error_code":50002,"error":"MESSAGE_TOO_LARGE: refused"}],"key_schema_id":null,"value_schema_id":null}` + "\n"
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAWaitThatTimesOutSaysThatTheRecordsAreSpooled(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	w := post(h, "/topics/t?wait=acked", typeJSON, `{"records":[{"value":1}]}`)
	if w.Code != 504 || !strings.Contains(w.Body.String(), "50003") || !strings.Contains(w.Body.String(), "the records are spooled") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if len(sink.batches) != 1 {
		t.Errorf("%d batches", len(sink.batches))
	}
}

func TestWaitersAreBounded(t *testing.T) {
	cfg := testConfig()
	cfg.AckTimeout = time.Minute
	h, _, _ := newTest(cfg)
	var wg sync.WaitGroup
	for range cfg.MaxWaiters {
		wg.Go(func() { post(h, "/topics/t?wait=acked", typeJSON, `{"records":[{"value":1}]}`) })
	}
	until(t, func() bool { return h.waiters.Load() == int64(cfg.MaxWaiters) })
	if w := post(h, "/topics/t?wait=acked", typeJSON, `{"records":[{"value":1}]}`); w.Code != 429 {
		t.Errorf("status %d, want 429: %s", w.Code, w.Body)
	}
	h.Close()
	wg.Wait()
	if w := post(h, "/topics/t", typeJSON, `{"records":[{"value":1}]}`); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("after Close: status %d, want 503 with Retry-After", w.Code)
	}
}

func until(t *testing.T, ok func() bool) {
	t.Helper()
	if !poll.Until(ok) {
		t.Fatalf("it did not come true in %v", poll.Patience)
	}
}

func TestStrimzisAsyncIs204WhenSpooled(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	w := post(h, "/topics/t?async=true", typeJSON, `{"records":[{"value":1}]}`)
	if w.Code != 204 || w.Body.Len() != 0 || len(sink.batches) != 1 {
		t.Errorf("%d %q, %d batches", w.Code, w.Body, len(sink.batches))
	}
}

func TestPostsFromWebPagesOfAnotherOriginAreRefused(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	w := post(h, "/topics/t", typeJSON, `{"records":[{"value":1}]}`, "Origin", "https://evil.example")
	if w.Code != 403 || len(sink.batches) != 0 {
		t.Errorf("status %d, %d batches; want 403, none", w.Code, len(sink.batches))
	}
}

func TestOtherMethodsAreRefusedWithThoseThatAreThere(t *testing.T) {
	h, _, _ := newTest(testConfig())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/topics/t", nil))
	if w.Code != 405 || w.Header().Get("Allow") != "GET, POST" {
		t.Errorf("status %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func BenchmarkServeOneRecord(b *testing.B) {
	h, _, _ := newTest(testConfig())
	h.sink = nullSink{}
	body := []byte(`{"records":[{"key":"user-17","value":{"id":123456,"name":"somebody","tags":["a","b"]}}]}`)
	r := httptest.NewRequest(http.MethodPost, "/topics/orders", nil)
	r.Header.Set("Content-Type", typeJSON)
	w := discard{http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
		h.ServeHTTP(w, r)
	}
}

type nullSink struct{}

func (nullSink) Partitions(context.Context, string) int32 { return 0 }
func (nullSink) RetryAfter() int                          { return 1 }
func (nullSink) Waits(string) string                      { return "" }
func (nullSink) Cluster() string                          { return "" }
func (nullSink) Topics() []Topic                          { return nil }
func (nullSink) SendBatch(context.Context, spoold.Batch) (Deliveries, error) {
	return fakeDeliveries{}, nil
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}
