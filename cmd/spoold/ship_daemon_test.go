package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestDaemonFollowsFilesOfItsConfigurationOnce(t *testing.T) {
	t.Parallel()
	broker := startBroker(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "app.log")
	write := func(text string) {
		f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	conf := filepath.Join(dir, "spoold.yaml")
	if err := os.WriteFile(conf, []byte("ship:\n  audit:\n    files: ["+filepath.Join(dir, "*.log")+"]\n    header.file: true\n    poll: 100ms\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	write("one\ntwo\n")
	spool := filepath.Join(dir, "spool")
	d := startDaemon(t, spool, "-b", broker, "-c", conf)
	values(t, broker, "audit", 2)
	write("three\n")
	values(t, broker, "audit", 3)
	if code := d.stop(t); code != 0 {
		t.Fatalf("code %d: %s", code, d.log)
	}
	write("four\n")
	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	write("five\n")
	startDaemon(t, spool, "-b", broker, "-c", conf)
	if got := strings.Join(values(t, broker, "audit", 5), " "); got != "one two three four five" {
		t.Errorf("got %s", got)
	}
}

func TestFaultsOfShipSectionsAreSaidTogether(t *testing.T) {
	t.Parallel()
	conf := filepath.Join(t.TempDir(), "spoold.yaml")
	text := "bootstrap.servers: x:1\nship:\n  audit: {topic: audit}\n  b: {files: /x, wrong: 1}\n  c: {files: /x, multiline.start: '[', topc: t}\n  d: {files: /x, topic: 'a b'}\n" +
		"  e: {}\n  f: {files: /x, key.file: tru}\n  g: {files: /x, keep.cr: TRUE, poll: 5}\n  h: {files: /x, remember: x}\n  i: {files: ['/x/a,b.log']}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs := run(t, "", "serve", "-c", conf)
	for _, want := range []string{"spoold.yaml:4: ship.b.wrong: unknown option", "spoold.yaml:5: ship.c.multiline.start", "ship.c.topc: unknown option of a ship section; did you mean topic?",
		"spoold.yaml:7: ship.e has no options", `ship.f.key.file: "tru": must be true or false`, `ship.g.poll: "5": it must be a duration of at least 10ms`, `ship.h.remember: "x": it must be a whole number above 0`,
		`spoold.yaml:11: ship.i.files: "/x/a,b.log": a comma parts two files: write ? in its place`} {
		if code != exitConfig || !strings.Contains(errs, want) {
			t.Errorf("code %d, want %q in:\n%s", code, want, errs)
		}
	}
	if err := os.WriteFile(conf, []byte(strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(text, ", wrong: 1", ""), ", topc: t", ""), "'['", "x"), "  e: {}\n  f: {files: /x, key.file: tru}\n  g: {files: /x, keep.cr: TRUE, poll: 5}\n  h: {files: /x, remember: x}\n  i: {files: ['/x/a,b.log']}\n", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errs = run(t, "", "serve", "-c", conf)
	for _, want := range []string{"ship.audit: no files are given", "ship.d: invalid: topic"} {
		if code != exitConfig || !strings.Contains(errs, want) {
			t.Errorf("code %d, want %q in:\n%s", code, want, errs)
		}
	}
}
