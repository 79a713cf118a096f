package httpin

import (
	"strings"
	"testing"
)

// A client that misspells wait=acked would take an answer after the spool for one of the cluster.
func TestMisspeltQueryParametersAreRefused(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	for _, query := range []string{"wiat=acked", "wait=spooled&wait=acked", "wait=spooled&x=1", "async=yes", "wait=%zz"} {
		w := post(h, "/topics/t?"+query, typeJSON, `{"records":[{"value":1}]}`)
		if w.Code != 400 || !strings.Contains(w.Body.String(), "40002") {
			t.Errorf("%s: %d %s, want 400", query, w.Code, w.Body)
		}
	}
	if len(sink.batches) != 0 {
		t.Errorf("%d batches were taken", len(sink.batches))
	}
	if w := post(h, "/topics/t?wait=spooled&async=false", typeJSON, `{"records":[{"value":1}]}`); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
