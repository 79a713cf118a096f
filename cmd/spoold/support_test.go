package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unpacked is the whole text of a tar.gz.
func unpacked(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "== %s\n", h.Name)
		if _, err := io.Copy(&all, r); err != nil {
			t.Fatal(err)
		}
	}
}

// Secrets are planted where an operator has them, and records with keys and headers are in the spool.
func TestSupportBundleHasNeitherSecretsNorRecords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, secret, log := filepath.Join(dir, "spoold.yaml"), filepath.Join(dir, "secret"), filepath.Join(dir, "spoold.log")
	writeFile(t, secret, "planted-in-a-file\n")
	writeFile(t, log, "sasl.password=planted-elsewhere\nsent planted-in-jaas to the broker\nauthorization: Bearer planted-token-0123456789\n")
	writeFile(t, file, "bootstrap.servers: 127.0.0.1:1\nspool.path: "+filepath.Join(dir, "spool")+"\nspool.min.free.bytes: 1MiB\nlog.level: info\n"+
		"security.protocol: SASL_SSL\nsasl.mechanism: PLAIN\nssl.key.password: ${file:"+secret+"}\nhttp.listen: 127.0.0.1:0\nadmin.listen: 127.0.0.1:0\n"+
		"sasl.jaas.config: org.apache.kafka.common.security.plain.PlainLoginModule required username=\"anna\" password=\"planted-in-jaas\";\n"+
		"otel.exporter.otlp.headers: authorization=Bearer planted-header\n")
	d := startChild(t, filepath.Join(dir, "spool"), "-c", file, "-X", "otel.exporter.otlp.headers=")
	if code, text := d.post(t, "/topics/orders", "planted-idempotency", `{"records":[{"key":"planted-key","value":"planted-value"}]}`); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	out := filepath.Join(dir, "b.tar.gz")
	if code, _, errs := run(t, "", "support-bundle", "-c", file, "--log", log, "-o", out); code != 0 {
		t.Fatalf("code %d: %s", code, errs)
	}
	text := unpacked(t, out)
	for _, want := range []string{"spoold_accepted_records_total", `"pending": 1`, "sasl.mechanism", "spoold-00000001.db", "MemTotal", `"findings"`, "sasl.password=[hidden]", "sent [hidden] to"} {
		if !strings.Contains(text, want) {
			t.Errorf("the bundle lacks %s", want)
		}
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "planted") {
			t.Errorf("a secret or a record: %s", line)
		}
	}
	if code, _, errs := run(t, "", "support-bundle", "-c", file, "-o", out); code != exitCannotCreate || !strings.Contains(errs, "is there already") {
		t.Errorf("a second one under the same name: code %d: %s", code, errs)
	}

	// The same when it is down, with a configuration that has a fault.
	d.kill(t)
	writeFile(t, file, "bootstrap.servers: 127.0.0.1:1\nspool.path: "+filepath.Join(dir, "spool")+"\nlinger.ms: planned\n")
	out = filepath.Join(dir, "c.tar.gz")
	code, _, errs := run(t, "", "support-bundle", "-c", file, "--log", filepath.Join(dir, "none"), "-o", out, "--no-link")
	if code != 0 || !strings.Contains(errs, "not in the bundle: log.txt: ") {
		t.Errorf("code %d: %s", code, errs)
	}
	if text := unpacked(t, out); !strings.Contains(text, `"pending": 1`) || !strings.Contains(text, "linger.ms") || strings.Contains(text, "planted") {
		t.Errorf("the bundle of a daemon that is down: %s", text)
	}
}
