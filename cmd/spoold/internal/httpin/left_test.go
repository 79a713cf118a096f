package httpin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// It was put down as the cluster's fault, after a wait that had not been.
func TestAClientThatLeavesWhileItWaitsIsNotTheClustersFault(t *testing.T) {
	cfg := testConfig()
	cfg.AckTimeout = time.Minute
	h, _, _ := newTest(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for path, content := range map[string]string{"/topics/t?wait=acked": typeJSON, "/topics/t?lines=values&wait=acked": typeLines} {
		body := map[string]string{typeJSON: `{"records":[{"value":1}]}`, typeLines: "1\n"}[content]
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", content)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 499 || !strings.Contains(w.Body.String(), "the records are spooled") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
