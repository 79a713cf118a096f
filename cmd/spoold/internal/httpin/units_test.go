package httpin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spoold/spoold"
)

func postUnit(t *testing.T, units bool, query, contentType, body string) (*httptest.ResponseRecorder, *fakeSink) {
	t.Helper()
	cfg := spoold.DefaultConfig()
	if units {
		cfg.TransactionalID = "id"
	}
	sink := &fakeSink{acks: func(int) (spoold.Ack, error) { return spoold.Ack{Partition: 1, Offset: 7}, nil }}
	h := New(DefaultConfig(&cfg, 1<<20, 100), sink, &fakeHooks{rejected: map[string]int{}})
	r := httptest.NewRequest(http.MethodPost, "/units"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Idempotency-Key", "k1")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w, sink
}

func TestAUnitIsOneBatchAcrossTopics(t *testing.T) {
	body := `{"topic":"a","key":"k","value":{"n": 1}}` + "\n\n" + `{"topic":"b","value":null,"partition":2}` + "\n"
	for _, query := range []string{"", "?wait=committed"} {
		w, sink := postUnit(t, true, query, "application/x-ndjson", body)
		if w.Code != 200 || len(sink.batches) != 1 {
			t.Fatalf("%d %s: %d batches", w.Code, w.Body, len(sink.batches))
		}
		b := sink.batches[0]
		if b.Key == "" || len(b.Records) != 2 || b.Records[0].Topic != "a" || string(b.Records[0].Value) != `{"n":1}` ||
			b.Records[1].Topic != "b" || b.Records[1].Value != nil || b.Records[1].Partition.Number() != 2 {
			t.Errorf("spooled %+v", b)
		}
		if query != "" && !strings.Contains(w.Body.String(), `"offset":7`) {
			t.Errorf("answer %s", w.Body)
		}
	}
}

func TestABadUnitIsRefusedWhole(t *testing.T) {
	good := `{"topic":"a","value":1}` + "\n"
	tests := []struct {
		name, query, contentType, body, want string
		units                                bool
		code                                 int
	}{
		{"without a transactional id", "", "", good, "set transactional.id", false, 409},
		{"waiting for commit without one", "?wait=committed", "", good, "set transactional.id", false, 400},
		{"a line without topic", "", "", good + `{"value":1}`, `records[1] has no`, true, 422},
		{"a bad topic", "", "", good + `{"topic":"a b","value":1}`, "records[1]", true, 400},
		{"half a line", "", "", good + `{"topic":"a","value":`, "line 2", true, 400},
		{"nothing", "", "", "\n\n", "empty", true, 422},
		{"another type", "", "text/plain", good, "application/x-ndjson", true, 415},
		{"a topic that is no string", "", "", `{"topic":1,"value":1}`, "not a string", true, 400},
	}
	for _, x := range tests {
		w, sink := postUnit(t, x.units, x.query, x.contentType, x.body)
		if w.Code != x.code || !strings.Contains(w.Body.String(), x.want) || len(sink.batches) != 0 {
			t.Errorf("%s: %d %s, %d batches", x.name, w.Code, w.Body, len(sink.batches))
		}
	}
}
