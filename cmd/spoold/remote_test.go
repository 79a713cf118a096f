package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// asked runs a command with an environment of its own.
func asked(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Main{}.Run(t.Context(), append([]string{"spoold"}, args...), strings.NewReader(""), &out, &errs, func(name string) string { return env[name] })
	return code, out.String(), errs.String()
}

func TestCommandsAskADaemonElsewhereWithCredentials(t *testing.T) {
	t.Parallel()
	g, _ := startGuarded(t)
	if code, text, _ := g.ask(t, "POST", g.http+"/topics/orders", `{"records":[{"value":1}]}`, "alice:right-password"); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	dir := t.TempDir()
	ca, secret, own := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "secret"), filepath.Join(dir, "own.pem")
	writeFile(t, ca, string(g.ca.PEM))
	writeFile(t, secret, "operator:right-password\n")
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte("operator:right-password\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	edge := g.ca.Issue(t, "edge-7", time.Hour)
	writeFile(t, own, string(edge.CertPEM)+string(edge.KeyPEM))
	operator := map[string]string{userEnv: "operator", passwordEnv: "right-password"}
	for _, tt := range []struct {
		env  map[string]string
		args string
		code int
		says string
	}{
		{operator, "status --json", statusDegraded, `"accepted":1`},
		{nil, "status --json --credentials " + secret, statusDegraded, `"accepted":1`},
		{nil, "status --json --client-certificate " + own, statusDegraded, `"accepted":1`},
		{operator, "ls", 0, "orders"},
		{operator, "peek orders", 0, "orders"},
		{operator, "dlq ls", 0, ""},
		{operator, "resolve orders:0 --resend", exitUsage, "not parked"},
		{nil, "peek orders --client-certificate " + own, 1, ""},
		{nil, "status", exitPermission, "needs a name and password"},
		{map[string]string{tokenEnv: "wrong"}, "status", exitPermission, "Wrong credentials"},
		{map[string]string{userEnv: "alice", passwordEnv: "right-password"}, "status", exitPermission, "admin: read"},
		{map[string]string{userEnv: "alice", tokenEnv: "x"}, "status", exitUsage, "both set"},
		{operator, "status --spool /x", exitUsage, "give one of them"},
		{nil, "status --credentials " + ca + "x", exitConfig, "--credentials"},
		{nil, "status --credentials " + open, exitConfig, "may be read by other users"},
	} {
		code, out, errs := asked(t, tt.env, append(strings.Fields(tt.args), "--url", g.admin, "--ca", ca)...)
		if code != tt.code && tt.code != 1 || tt.code == 1 && code == 0 || !strings.Contains(out+errs, tt.says) || strings.Contains(out+errs, "right-password") {
			t.Errorf("%s: code %d, %s%s; want %d, %s", tt.args, code, out, errs, tt.code, tt.says)
		}
	}
	for url, says := range map[string]string{"https://u:right-password@127.0.0.1:1": "list processes", "ftp://x": "want http", "http://192.0.2.1:9095": "in clear", g.admin: "certificate"} {
		code, out, errs := asked(t, operator, "status", "--url", url)
		if code == 0 || !strings.Contains(out+errs, says) || strings.Contains(out+errs, "right-password") {
			t.Errorf("%s: code %d, %s%s", url, code, out, errs)
		}
	}
}

// A mistake in --url once ended as a bug of spoold, or said of a daemon that runs that it does not.
func TestEachWayNotToReachADaemonHasItsOwnExitCode(t *testing.T) {
	t.Parallel()
	g, _ := startGuarded(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, ca, string(g.ca.PEM))
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer page.Close()
	for _, tt := range []struct {
		url          string
		code, status int
		says         string
	}{
		{"https://127.0.0.1:1", exitUnavailable, statusNotRunning, "nothing listens there"},
		{"http://127.0.0.1:1", exitUnavailable, statusNotRunning, "nothing listens there"},
		{g.admin, exitPermission, exitPermission, "needs a name and password"},
		{strings.Replace(g.admin, "https", "http", 1), exitUsage, exitUsage, "use " + g.admin},
		{strings.Replace(plain.URL, "http", "https", 1), exitUsage, exitUsage, "use " + plain.URL},
		{plain.URL, exitUsage, exitUsage, "not the admin listener"},
		{page.URL, exitUsage, exitUsage, "not the admin listener"},
	} {
		for _, cmd := range []string{"status", "ls", "peek", "export", "resolve t", "dlq ls", "txn describe"} {
			want := tt.code
			if cmd == "status" {
				want = tt.status
			}
			if code, out, errs := asked(t, nil, append(strings.Fields(cmd), "--url", tt.url, "--ca", ca)...); code != want || !strings.Contains(errs, tt.says) {
				t.Errorf("%s --url %s: code %d, %s%s; want %d, %s", cmd, tt.url, code, out, errs, want, tt.says)
			}
		}
	}
	if code, _, errs := asked(t, nil, "status", "--url", g.admin); code != exitConfig || !strings.Contains(errs, "--ca FILE") {
		t.Errorf("an authority that is not known: code %d, %s", code, errs)
	}
}
