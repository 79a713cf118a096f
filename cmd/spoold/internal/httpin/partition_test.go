package httpin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

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

// A unit has records of several topics: each topic has its own count.
func TestEachTopicOfAUnitHasItsOwnPartitions(t *testing.T) {
	cfg := testConfig()
	cfg.Units = true
	h, sink, _ := newTest(cfg)
	h.sink = counts{sink, map[string]int32{"one": 1, "ten": 10}}
	for body, status := range map[string]int{
		"{\"topic\":\"ten\",\"value\":1,\"partition\":9}\n{\"topic\":\"one\",\"value\":1,\"partition\":0}": 200,
		"{\"topic\":\"ten\",\"value\":1,\"partition\":9}\n{\"topic\":\"one\",\"value\":1,\"partition\":1}": 404,
	} {
		if w := post(h, "/units", "application/x-ndjson", body); w.Code != status {
			t.Errorf("%s: status %d, want %d, %s", body, w.Code, status, w.Body)
		}
	}
}

type counts struct {
	Sink
	of map[string]int32
}

func (c counts) Partitions(_ context.Context, topic string) int32 { return c.of[topic] }

// A busy spool may not even look at a request before its time is up. It says what ended the wait, not that a deadline has passed.
func TestASpoolThatIsTooBusyIsAnswered429(t *testing.T) {
	cfg := testConfig()
	cfg.AdmitTimeout = time.Millisecond
	h, _, _ := newTest(cfg)
	h.sink = lateSink{h.sink}
	w := post(h, "/topics/t", typeJSON, `{"records":[{"value":1}]}`)
	if w.Code != 429 || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "did not take the records within 1ms: nothing was spooled") {
		t.Errorf("status %d, %s", w.Code, w.Body)
	}
}

// lateSink takes nothing before the time is up.
type lateSink struct{ Sink }

func (lateSink) SendBatch(ctx context.Context, _ spoold.Batch) (Deliveries, error) {
	<-ctx.Done()
	return nil, context.Cause(ctx)
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
