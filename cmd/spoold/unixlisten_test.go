package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Clients send records over a socket whose mode says who may; it is there while the daemon runs, and in its place after a
// kill, but nothing else is removed for it.
func TestHTTPOverASocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "http.sock")
	start := func() *running {
		t.Helper()
		return startChild(t, filepath.Join(dir, "spool"), "-b", "127.0.0.1:1", "--http", "unix:"+path, "-X", "http.socket.mode=0660")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	send := func() {
		t.Helper()
		resp, err := client.Post("http://spoold/topics/orders", "application/vnd.kafka.json.v2+json", strings.NewReader(`{"records":[{"value":1}]}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if text, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 {
			t.Errorf("%d %s", resp.StatusCode, text)
		}
	}
	d := start()
	send()
	if info, err := os.Lstat(path); err != nil || info.Mode() != 0o660|os.ModeSocket {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	d.kill(t)
	d = start() // the dead one's socket is in the way
	send()
	if _, err := listenOn(t.Context(), "unix:"+path, "0600"); err == nil || !strings.Contains(err.Error(), "another process listens on "+path) {
		t.Errorf("a socket that is in use: %v", err)
	}
	if err := d.process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	d.exited(t)
	if left, _ := filepath.Glob(filepath.Join(dir, "*s*")); len(left) != 1 {
		t.Errorf("%v is left, want the spool alone", left)
	}
	writeFile(t, path, "somebody's")
	if _, err := listenOn(t.Context(), "unix:"+path, "0600"); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file that is there: %v", err)
	}
}

func TestSocketsThatCannotBeAreRefused(t *testing.T) {
	for addr, want := range map[string]string{
		"unix:relative":                           "absolute path",
		"unix:/" + strings.Repeat("x", 120):       "too long",
		"unix:/" + strings.Repeat("x", 90) + "/s": "too long",
		"nonsense":                   "must be host:port, or off, or unix:PATH",
		"unix:/run/spoold/http.sock": "",
	} {
		if err := checkHTTPListen(addr); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", addr, err, want)
		}
	}
	for text, ok := range map[string]bool{"0660": true, "600": true, "0888": false, "1777": false, "rw": false, "": false} {
		if _, err := fileMode(text); (err == nil) != ok {
			t.Errorf("mode %q: %v", text, err)
		}
	}
}
