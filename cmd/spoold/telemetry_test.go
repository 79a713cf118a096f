package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
)

// A trace that began at an HTTP client goes on in what the daemon exports, and metrics come beside it.
func TestTheDaemonExportsToAnOTLPReceiver(t *testing.T) {
	var mu sync.Mutex
	received := map[string][]byte{}
	r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		if req.Header.Get("x-token") != "hidden" {
			t.Errorf("headers %v", req.Header)
		}
		mu.Lock()
		defer mu.Unlock()
		received[req.URL.Path] = append(received[req.URL.Path], body...)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	defer r.Close()
	d := startDaemon(t, t.TempDir(), "--dev", "-b", "127.0.0.1:0", "-X", "otel.exporter.otlp.endpoint="+r.URL, "-X", "otel.exporter.otlp.headers=x-token=hidden")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.http+"/topics/orders?wait=acked", strings.NewReader(`{"records":[{"value":1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/vnd.kafka.json.v2+json")
	req.Header.Set("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if code, text := answer(t, req); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	if code := d.stop(t); code != 0 {
		t.Fatalf("exit code %d: %s", code, d.log)
	}
	if strings.Contains(d.log.String(), "hidden") {
		t.Errorf("the log has the secret header: %s", d.log)
	}
	mu.Lock()
	defer mu.Unlock()
	traceID := []byte("\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c")
	for _, want := range []string{"create orders", "send orders", "commit", string(traceID)} {
		if !bytes.Contains(received["/v1/traces"], []byte(want)) {
			t.Errorf("spans lack %q", want)
		}
	}
	if !bytes.Contains(received["/v1/metrics"], []byte("spoold.acked.records")) {
		t.Error("metrics lack spoold.acked.records")
	}
}

// A receiver that is away costs nothing but a line in the log.
func TestAnOTLPReceiverThatIsAwayHoldsNothingUp(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_TRACES_SAMPLER", "always_on")
	d := startDaemonEnv(t, os.Getenv, t.TempDir(), "--dev", "-b", "127.0.0.1:0")
	if code, text := d.post(t, "/topics/orders?wait=acked", "", `{"records":[{"value":1}]}`); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	if code := d.stop(t); code != 0 || d.log.event("otlp.failed") == nil {
		t.Errorf("exit code %d: %s", code, d.log)
	}
}

func TestTelemetryKeysThatCannotWorkAreRefused(t *testing.T) {
	for _, x := range []string{"otel.exporter.otlp.endpoint=localhost:4318", "otel.exporter.otlp.headers=hidden", "otel.exporter.otlp.protocol=http/json",
		"otel.traces.per.thousand=1001"} {
		code, _, errs := run(t, "", "serve", "--dev", "-b", "127.0.0.1:0", "--spool", t.TempDir(), "--http", "off", "--admin", "off", "-X", x)
		if code != exitConfig || strings.Contains(errs, "hidden") {
			t.Errorf("%s: code %d, %s", x, code, errs)
		}
	}
}
