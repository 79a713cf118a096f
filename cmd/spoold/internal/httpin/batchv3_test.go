package httpin

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/spoold/spoold"
)

// pickySink refuses a batch for its first record with the value "large" or "early".
type pickySink struct{ *fakeSink }

func (s pickySink) SendBatch(ctx context.Context, b spoold.Batch) (Deliveries, error) {
	for i, r := range b.Records {
		switch string(r.Value) {
		case "large":
			return nil, &spoold.RecordError{Index: i, Of: len(b.Records), Err: fmt.Errorf("%w: 9 bytes", spoold.ErrTooLarge)}
		case "early":
			return nil, &spoold.RecordError{Index: i, Of: len(b.Records), Err: fmt.Errorf("%w: its timestamp", spoold.ErrInvalidRecord)}
		}
	}
	return s.fakeSink.SendBatch(ctx, b)
}

func TestABatchIsTakenWithoutTheEntriesThatCannotBe(t *testing.T) {
	h, sink, hooks := newTest(testConfig())
	sink.count = 2
	h.sink = pickySink{sink}
	entry := func(id, value, more string) string {
		return fmt.Sprintf(`{"id":%q,"value":{"type":"STRING","data":%q}%s}`, id, value, more)
	}
	body := `{"entries":[` + strings.Join([]string{
		entry("large1", "large", ""), entry("a", "x", ""), entry("bad", "x", `,"x":1`), entry("far", "x", `,"partition_id":7`), entry("b", "y", `,"partition_id":1`),
		entry("early", "early", ""), entry("c", "z", ""), entry("large2", "large", ""),
	}, ",") + `]}`
	w := post(h, pathV3+":batch", plainJSON, body)
	var answer struct {
		Successes []struct{ ID string }
		Failures  []struct {
			ID      string
			Code    int `json:"error_code"`
			Message string
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 207 {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if got := fmt.Sprint(answer.Successes); got != "[{a} {b} {c}]" {
		t.Errorf("taken: %s", got)
	}
	codes := ""
	for _, f := range answer.Failures {
		codes += fmt.Sprintf("%s=%d ", f.ID, f.Code)
		if strings.Contains(strings.ToLower(f.Message), "nothing was spooled") {
			t.Errorf("%s: %s", f.ID, f.Message)
		}
	}
	if codes != "large1=413 bad=40002 far=40402 early=40002 large2=413 " {
		t.Errorf("refused: %s", codes)
	}
	if got := strings.Join(sink.taken(), " "); got != "x y z" || len(sink.batches) != 1 {
		t.Errorf("%d batches with %s", len(sink.batches), got)
	}
	if n := hooks.rejected["bad_format"] + hooks.rejected["too_large"]; n != 5 {
		t.Errorf("%d rejected: %v", n, hooks.rejected)
	}

	// A key stands for the same records whenever it comes: what the cluster or the clock says today must not choose them.
	for value, want := range map[string]int{entry("far", "x", `,"partition_id":7`): 404, entry("early", "early", ""): 400, entry("large", "large", ""): 207} {
		w := post(h, pathV3+":batch", plainJSON, `{"entries":[`+entry("a", "x", "")+`,`+value+`]}`, "Idempotency-Key", "k-"+value[:9])
		if w.Code != want {
			t.Errorf("%s with a key: %d %s", value, w.Code, w.Body)
		}
	}
	if w := post(h, pathV3+":batch", plainJSON, `{"entries":[`+entry("l", "large", "")+`]}`); w.Code != 207 || !strings.Contains(w.Body.String(), `{"successes":[],"failures":[{"id":"l","error_code":413,`) {
		t.Errorf("nothing is taken: %d %s", w.Code, w.Body)
	}
}

func TestAFaultInsideAStreamSpeaksOfItsRecordAlone(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	sink.count = 2
	const good, far = `{"value":{"type":"JSON","data":1}}`, `{"partition_id":7}`
	if w := post(h, pathV3, plainJSON, good+far+good); len(sink.batches) != 2 || !strings.Contains(w.Body.String(), "this record was not spooled") || strings.Contains(w.Body.String(), "nothing was spooled") {
		t.Errorf("%d batches: %s", len(sink.batches), w.Body)
	}
	if w := post(h, pathV3, plainJSON, far); w.Code != 404 || !strings.Contains(w.Body.String(), "nothing was spooled") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	h, sink, _ = newTest(testConfig())
	sink.count = 2
	lines := strings.Repeat("{\"value\":1}\n", partLines) + `{"value":1,"partition":7}`
	if w := post(h, "/topics/t?lines=records", typeLines, lines); w.Code != 404 || !strings.Contains(w.Body.String(), fmt.Sprintf("nothing behind line %d was spooled", partLines)) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
