package httpin

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/spoold/spoold"
)

func TestAPartitionThatTheTopicDoesNotHaveIsNotFound(t *testing.T) {
	for _, tt := range []struct {
		count         int32
		path, body    string
		status, sends int
		says          string
	}{
		{2, "/topics/t", `{"records":[{"value":1,"partition":1},{"value":2,"partition":99}]}`, 404, 0, `"error_code":40402,"message":"Partition 99 not found: topic t has 2`},
		{2, "/topics/t/partitions/2", `{"records":[{"value":1}]}`, 404, 0, `"error_code":40402`},
		{2, "/topics/t/partitions/1", `{"records":[{"value":1}]}`, 200, 1, ""},
		{2, "/topics/t", `{"records":[{"value":1}]}`, 200, 1, ""},
		{0, "/topics/t", `{"records":[{"value":1,"partition":99}]}`, 200, 1, ""}, // not known: the record is taken
	} {
		h, sink, hooks := newTest(testConfig())
		sink.count = tt.count
		w := post(h, tt.path, typeJSON, tt.body)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) || len(sink.batches) != tt.sends {
			t.Errorf("%s %s: status %d, %d batches, %s", tt.path, tt.body, w.Code, len(sink.batches), w.Body)
		}
		if n := hooks.rejected["bad_format"]; n > 0 != (tt.status == 404) {
			t.Errorf("%s %s: counted %d times", tt.path, tt.body, n)
		}
	}
}

func TestAFullSpoolSaysWhyAndWhenToAskAgain(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	sink.err = fmt.Errorf("%w: %w: %w", spoold.ErrFull, errors.New("the spool holds 9 bytes, its limit is 8 (spool.max.bytes)"), errNoRoom)
	w := post(h, "/topics/t", typeJSON, `{"records":[{"value":1}]}`)
	want := `{"error_code":42901,"message":"The spool is full: nothing was spooled, send again later: the spool holds 9 bytes, its limit is 8 (spool.max.bytes)"}` + "\n"
	if w.Code != 429 || w.Header().Get("Retry-After") != "7" || w.Body.String() != want {
		t.Errorf("status %d, Retry-After %q, %s", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
}
