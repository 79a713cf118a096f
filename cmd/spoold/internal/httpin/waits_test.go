package httpin

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spoold/spoold"
)

// Who has waited in vain learns what status says of the topic, however the records came.
func TestAnAnswerThatNothingLeavesSaysWhy(t *testing.T) {
	const why = "UNKNOWN_TOPIC_OR_PARTITION: the topic does not exist"
	h, sink, _ := newTest(testConfig())
	sink.waits = why
	for _, c := range []struct{ path, kind, body string }{
		{"/topics/t?wait=acked", typeJSON, `{"records":[{"value":1}]}`},
		{"/topics/t?wait=acked", typeLines, "1\n2\n"},
		{"/v3/clusters/cluster-1/topics/t/records?wait=acked", "application/json", `{"value":{"type":"JSON","data":1}}`},
	} {
		if w := post(h, c.path, c.kind, c.body); !strings.Contains(w.Body.String(), why) || !strings.Contains(w.Body.String(), "the records are spooled and will be delivered, unless they expire first (delivery.timeout.ms)") {
			t.Errorf("%s %s: %d %s", c.path, c.kind, w.Code, w.Body)
		}
	}
	sink.err = fmt.Errorf("%w: 160 MiB of 160 MiB", spoold.ErrFull)
	w := post(h, "/topics/t", typeJSON, `{"records":[{"value":1}]}`)
	if w.Code != 429 || w.Header().Get("Retry-After") != "7" || !strings.Contains(w.Body.String(), "160 MiB of 160 MiB") || !strings.Contains(w.Body.String(), why) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
