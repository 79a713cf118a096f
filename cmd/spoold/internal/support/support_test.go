package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecretsAreHiddenInEverySpelling(t *testing.T) {
	s := NewScrubber([]string{
		`org.apache.kafka.common.security.plain.PlainLoginModule required username="anna" password="pw \"quoted\"&more";`,
		"authorization=Bearer tok-1234,x-api-key=key-5678", "-----BEGIN KEY-----\nMIIEvQIBADAN\n-----END KEY-----", "abc", "",
	})
	for _, text := range []string{
		`pw \"quoted\"&more`, `{"v":"pw \\\"quoted\\\"\u0026more"}`, "tok-1234", "key-5678", "a line MIIEvQIBADAN of a key",
		"Authorization: Basic YW5uYTpwYXNzd29yZA==", "https://anna:hunter2@host/x", "sasl.password=hunter2", `"client_secret": "hunter2"`,
		"eyJhbGciOiJIUzI1.eyJzdWIiOiIx.c2lnbmF0dXJl", "-----BEGIN RSA PRIVATE KEY-----\nxyz\n-----END RSA PRIVATE KEY-----", "dG9rLTEyMzQ=",
	} {
		got := string(s.Clean([]byte(text)))
		for _, secret := range []string{"quoted", "tok-1234", "key-5678", "MIIE", "hunter2", "YW5uYT", "eyJ", "xyz", "dG9r"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s became %s", text, got)
			}
		}
	}
	for _, harmless := range []string{"topic abc of anna", "12,000 records pending", "host:9092", "event=link.down"} {
		if got := string(s.Clean([]byte(harmless))); got != harmless {
			t.Errorf("%s became %s", harmless, got)
		}
	}
}

func item(name, text string, err error) Item {
	return Item{name, "says " + name, func(context.Context) ([]byte, error) { return []byte(text), err }}
}

func TestArchiveHoldsWhatCouldBeCollectedAndNamesTheRest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "b.tar.gz")
	items := []Item{item("a.txt", "with planted in it", nil), item("b.txt", "", errors.New("no b, because of planted")), item("c.txt", strings.Repeat("x", itemBytes+1), nil)}
	failed, err := Write(t.Context(), file, items, NewScrubber([]string{"planted"}))
	if err != nil || len(failed) != 1 || failed[0] != "b.txt: no b, because of [hidden]" {
		t.Fatalf("%v, %v", failed, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	files := unpack(t, file)
	if files["a.txt"] != "with [hidden] in it" || !strings.HasSuffix(files["c.txt"], "[cut off here]\n") {
		t.Errorf("a.txt %q, c.txt of %d bytes", files["a.txt"], len(files["c.txt"]))
	}
	if _, there := files["b.txt"]; there || !strings.Contains(files["CONTENTS.txt"], "NOT COLLECTED: no b, because of [hidden]") {
		t.Errorf("contents: %s", files["CONTENTS.txt"])
	}
	if _, err := Write(t.Context(), file, items, NewScrubber(nil)); err == nil || !strings.Contains(err.Error(), "there already") {
		t.Errorf("a second one: %v", err)
	}
	if left, _ := filepath.Glob(file + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Write(ctx, file+"2", items, NewScrubber(nil)); err == nil {
		t.Error("an interrupted run made an archive")
	}
	if left, _ := filepath.Glob(file + "2*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(h.Name)] = string(body)
	}
}

func TestTailBeginsWithALine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte("first\nsecond\nthird\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Tail(file, 9); err != nil || string(got) != "third\n" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := Tail(file, 900); err != nil || !strings.HasPrefix(string(got), "first\n") {
		t.Errorf("%q, %v", got, err)
	}
}

// Law: what is cleaned holds no secret.
func FuzzNoSecretIsLeft(f *testing.F) {
	f.Add("secret", "a secret in a line")
	f.Add("aaaa", "aaaaaaaa")
	f.Add("hidden", "what is hidden is [hidden]")
	f.Add(`a"b\c`, `{"x":"a\"b\\c"}`)
	f.Fuzz(func(t *testing.T, secret, text string) {
		s := NewScrubber([]string{secret})
		got := s.Clean([]byte(text))
		if len(strings.TrimSpace(secret)) >= shortest && !strings.Contains(hidden, secret) &&
			bytes.Contains(bytes.ReplaceAll(got, []byte(hidden), nil), []byte(secret)) && bytes.Contains(got, []byte(secret)) {
			t.Errorf("%q is left in %q", secret, got)
		}
	})
}
