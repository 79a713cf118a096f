package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
	"github.com/spoold/spoold/cmd/spoold/internal/doctor"
	"github.com/spoold/spoold/integration/poll"
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

// Of a daemon that hangs, which is when somebody makes a bundle, all that does not come from itself is in it, and what its process is.
func TestABundleOfADaemonThatHangsHasAllElse(t *testing.T) {
	spool := filepath.Join(t.TempDir(), "spool")
	d := startChild(t, spool, "-b", "127.0.0.1:1")
	if err := d.process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.process.Signal(syscall.SIGCONT) }()
	awaitStopped(t, d.process.Pid)
	s := &settings{cfg: spoold.DefaultConfig(), own: defaultDaemonConfig()}
	s.cfg.SpoolPath = spool
	b := &bundle{s: s, wait: 50 * time.Millisecond}
	if _, pid, err := b.look(t.Context()); pid != d.process.Pid || !errors.Is(err, admin.ErrSilent) {
		t.Errorf("process %d, %v; want %d, and that it does not answer", pid, err, d.process.Pid)
	}
	for _, item := range b.items() {
		if item.Name == "host.txt" {
			if text, err := item.Text(t.Context()); err != nil || !strings.Contains(string(text), "(stopped)") {
				t.Errorf("%v: %s, want the state of the process", err, text)
			}
		}
	}
	st, host := s.found(b.look(t.Context()))
	if r := s.examine(t.Context(), st, host, nil, false); r.Worst() != doctor.Fault || !slices.ContainsFunc(r.Findings, func(f doctor.Finding) bool {
		return f.Check == "daemon" && strings.Contains(f.What, "has not answered")
	}) {
		t.Errorf("the report has %+v", r.Findings)
	}
}

// awaitStopped waits until every thread of a process has stopped: SIGSTOP does not wait for that.
func awaitStopped(t *testing.T, pid int) {
	t.Helper()
	stopped := func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		for _, path := range threads {
			text, _ := os.ReadFile(path)
			if _, state, ok := strings.Cut(string(text), ") "); ok && !strings.HasPrefix(state, "T") {
				return false
			}
		}
		return err == nil && len(threads) > 0
	}
	if !poll.Until(stopped) {
		t.Fatalf("process %d goes on after SIGSTOP", pid)
	}
}
