package httpin

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// pack compresses a body. snappy-framed is snappy's other format.
func pack(t testing.TB, encoding string, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&out)
	case "zstd":
		var err error
		if w, err = zstd.NewWriter(&out); err != nil {
			t.Fatal(err)
		}
	case "snappy-framed":
		w = s2.NewWriter(&out, s2.WriterSnappyCompat())
	case "snappy":
		return s2.EncodeSnappy(nil, body)
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var packings = []string{"gzip", "zstd", "snappy", "snappy-framed"}

func header(packing string) string { return strings.TrimSuffix(packing, "-framed") }

func TestCompressedBodiesAreTakenOnEveryWayIn(t *testing.T) {
	for _, packing := range packings {
		for _, tt := range []struct{ path, contentType, body, want string }{
			{"/topics/t", typeJSON, `{"records":[{"value":"` + strings.Repeat("x", 40000) + `"},{"value":1}]}`, `"offset":-1`},
			{"/topics/t", "application/x-ndjson", "1\n2\n", `"records":2`},
			{"/v3/clusters/c/topics/t/records", "application/json", `{"value":{"type":"JSON","data":1}} {"value":{"type":"JSON","data":2}}`, `"error_code":200`},
			{"/v3/clusters/c/topics/t/records:batch", "application/json", `{"entries":[{"id":"1","value":{"type":"JSON","data":1}},{"id":"2"}]}`, `"successes":[{"id":"1"`},
		} {
			cfg := testConfig()
			cfg.BodyBudget = 4 << 20
			h, sink, _ := newTest(cfg)
			w := post(h, tt.path, tt.contentType, string(pack(t, packing, []byte(tt.body))), "Content-Encoding", header(packing))
			n := 0
			for _, b := range sink.batches {
				n += len(b.Records)
			}
			if w.Code/100 != 2 || !strings.Contains(w.Body.String(), tt.want) || n != 2 {
				t.Errorf("%s to %s: %d %s, %d records", packing, tt.path, w.Code, w.Body, n)
			}
			if left := h.budget.Load(); left != 0 {
				t.Errorf("%s to %s: %d bytes of the budget are not given back", packing, tt.path, left)
			}
		}
	}
}

func TestABombIsRefusedBeforeItTakesMemory(t *testing.T) {
	bomb := bytes.Repeat([]byte(" "), 24<<20)
	for _, packing := range packings {
		packed := string(pack(t, packing, bomb))
		if len(packed) > 4<<20 {
			t.Fatalf("%s: %d bytes are no bomb", packing, len(packed))
		}
		for _, path := range []string{"/topics/t", "/v3/clusters/c/topics/t/records:batch"} {
			cfg := testConfig()
			cfg.MaxBodyBytes, cfg.BodyBudget = 8<<20, 48<<20
			h, sink, _ := newTest(cfg)
			w := post(h, path, contentTypeOf(path), packed, "Content-Encoding", header(packing))
			if w.Code != 413 || len(sink.batches) != 0 || h.budget.Load() != 0 {
				t.Errorf("%s to %s: %d %s, %d in use", packing, path, w.Code, w.Body, h.budget.Load())
			}
		}
	}
}

func contentTypeOf(path string) string {
	if strings.HasPrefix(path, "/v3/") {
		return plainJSON
	}
	return typeJSON
}

func TestBodiesThatAreNotWhatTheirEncodingSaysAreRefused(t *testing.T) {
	body := []byte(`{"records":[{"value":1}]}`)
	for _, packing := range packings {
		whole := pack(t, packing, body)
		for name, broken := range map[string][]byte{"nonsense": []byte("nonsense that is long enough for any header"), "half": whole[:len(whole)/2], "empty": nil,
			"trailing": append(bytes.Clone(whole), "nonsense"...), "plain": body} {
			cfg := testConfig()
			cfg.BodyBudget = 4 << 20
			h, sink, _ := newTest(cfg)
			w := post(h, "/topics/t", typeJSON, string(broken), "Content-Encoding", header(packing))
			if w.Code/100 != 4 || len(sink.batches) != 0 || h.budget.Load() != 0 {
				t.Errorf("%s, %s: %d %s, %d in use", packing, name, w.Code, w.Body, h.budget.Load())
			}
		}
	}
	for _, encoding := range []string{"br", "gzip, zstd", "deflate"} {
		h, _, _ := newTest(testConfig())
		w := post(h, "/topics/t", typeJSON, string(body), "Content-Encoding", encoding)
		if w.Code != 415 || w.Header().Get("Accept-Encoding") != encodings {
			t.Errorf("%s: %d %s", encoding, w.Code, w.Body)
		}
	}
}

// A window of the largest size is one of the budget's large shares, and there are not many.
func TestDecodersTakeTheirMemoryFromTheBudget(t *testing.T) {
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(`{"records":[{"value":1}]}`)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil { // so that the frame does not say its size
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig()
	for budget, want := range map[int64]int{7 << 20: 413, 9 << 20: 200} {
		cfg.BodyBudget = budget
		h, _, _ := newTest(cfg)
		r := httptest.NewRequest(http.MethodPost, "/topics/t", bytes.NewReader(out.Bytes()))
		r.Header.Set("Content-Type", typeJSON)
		r.Header.Set("Content-Encoding", "zstd")
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		if answer.Code != want || h.budget.Load() != 0 {
			t.Errorf("budget %d: %d %s", budget, answer.Code, answer.Body)
		}
	}
}
