package main

import (
	"bytes"
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
		{nil, "status", statusNotRunning, "needs a name and password"},
		{map[string]string{tokenEnv: "wrong"}, "status", statusNotRunning, "Wrong credentials"},
		{map[string]string{userEnv: "alice", passwordEnv: "right-password"}, "status", statusNotRunning, "admin: read"},
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
