package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/pki"
)

// guarded is a daemon with TLS, users and client certificates on both listeners, as a process of its own.
type guarded struct {
	*running
	users string
	ca    *pki.Authority
	roots *x509.CertPool
}

const usersText = `alice:
  password: %s
  topics: [orders]
sensor:
  tokens: %s
  topics: ["telemetry.*"]
  records.per.second: 5
operator:
  password: %s
  topics: orders
  admin: operate
edge:
  certificates: CN=edge-7
  topics: orders
  admin: read
`

func startGuarded(t *testing.T) (g *guarded, token string) {
	t.Helper()
	dir := t.TempDir()
	g = &guarded{users: filepath.Join(dir, "users.yaml"), ca: pki.New(t, "authority"), roots: x509.NewCertPool()}
	g.roots.AddCert(g.ca.Cert)
	pair := g.ca.Issue(t, "spoold", time.Hour, "127.0.0.1")
	pem, ca := filepath.Join(dir, "spoold.pem"), filepath.Join(dir, "ca.pem")
	writeFile(t, pem, string(pair.CertPEM)+string(pair.KeyPEM))
	writeFile(t, ca, string(g.ca.PEM))
	_, hash, _ := run(t, "right-password\n", "hash-password")
	code, token, tokenHash := run(t, "", "hash-token")
	tokenHash, ok := strings.CutPrefix(tokenHash, "for the users file: ")
	if code != 0 || !ok {
		t.Fatalf("hash-token: %d %q %q", code, token, tokenHash)
	}
	writeFile(t, g.users, fmt.Sprintf(usersText, strings.TrimSpace(hash), strings.TrimSpace(tokenHash), strings.TrimSpace(hash)))
	config := filepath.Join(dir, "spoold.yaml")
	listener := fmt.Sprintf("{users: %s, tls: {certificate: %s, client: {ca: %s}}}\n", g.users, pem, ca)
	writeFile(t, config, "bootstrap.servers: 127.0.0.1:1\nhttp: "+listener+"admin: "+listener)
	g.running = startChild(t, filepath.Join(dir, "spool"), "-c", config)
	g.http, g.admin = strings.Replace(g.http, "http:", "https:", 1), strings.Replace(g.admin, "http:", "https:", 1)
	return g, strings.TrimSpace(token)
}

// ask sends a request. who is nil, a certificate, or the value of Authorization as name:password or a token.
func (g *guarded) ask(t *testing.T, method, url, body string, who any) (int, string, http.Header) {
	t.Helper()
	c := &tls.Config{RootCAs: g.roots}
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/vnd.kafka.json.v2+json")
	switch who := who.(type) {
	case *pki.Pair:
		c.Certificates = []tls.Certificate{who.TLS()}
	case string:
		if name, password, ok := strings.Cut(who, ":"); ok {
			req.SetBasicAuth(name, password)
		} else {
			req.Header.Set("Authorization", "Bearer "+who)
		}
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

func TestOnlyUsersGetInAndEachOnlyWhereTheyMay(t *testing.T) {
	t.Parallel()
	g, token := startGuarded(t)
	edge, stranger := g.ca.Issue(t, "edge-7", time.Hour), g.ca.Issue(t, "edge-8", time.Hour)
	const one = `{"records":[{"value":1}]}`
	shown := ""
	for _, tt := range []struct {
		who               any
		method, url, body string
		want              int
		says              string
	}{
		{nil, "POST", g.http + "/topics/orders", one, 401, `"error_code":40101`},
		{"alice:right-password", "POST", g.http + "/topics/orders", one, 200, `"offset":-1`},
		{"alice:right-password", "POST", g.http + "/topics/telemetry.x", one, 403, `"error_code":40301`},
		{"alice:wrong-password", "POST", g.http + "/topics/orders", one, 401, `"error_code":40101`},
		{token, "POST", g.http + "/topics/telemetry.x", one, 200, `"offset":-1`},
		{token, "POST", g.http + "/topics/orders", one, 403, "may not send to topic"},
		{edge, "POST", g.http + "/topics/orders", one, 200, `"offset":-1`},
		{stranger, "POST", g.http + "/topics/orders", one, 403, "CN=edge-8"},
		{nil, "GET", g.http + "/topics/../v3/clusters", "", 401, ""},
		{nil, "GET", g.http + "/nothing/such", "", 401, ""},
		{nil, "GET", g.http + "/healthy", "", 200, ""},
		{nil, "GET", g.http + "/ready", "", 200, ""},
		{"alice:right-password", "GET", g.http + "/topics", "", 200, `["orders"]`},

		{nil, "GET", g.admin + "/healthz", "", 200, "ok"},
		{nil, "GET", g.admin + "/readyz", "", 200, "ok"},
		{nil, "GET", g.admin + "/readyz/../api/status", "", 401, ""},
		{nil, "GET", g.admin + "/", "", 401, ""},
		{nil, "GET", g.admin + "/events", "", 401, ""},
		{nil, "GET", g.admin + "/api/config", "", 401, ""},
		{nil, "GET", g.admin + "/metrics", "", 401, ""},
		{nil, "GET", g.admin + "/assets/page.js", "", 401, ""},
		{"alice:right-password", "GET", g.admin + "/api/status", "", 403, "admin: read"},
		{edge, "GET", g.admin + "/api/status", "", 200, `"accepted":`},
		{edge, "GET", g.admin + "/", "", 200, "<html"},
		{edge, "POST", g.admin + "/api/resolve", `{"topic":"orders","partition":0,"choice":"resend"}`, 404, ""},
		{"operator:right-password", "GET", g.admin + "/metrics", "", 200, "spoold_link_up"},
		{"operator:right-password", "GET", g.admin + "/api/config", "", 200, g.users},
		{"operator:right-password", "POST", g.admin + "/api/resolve", `{"topic":"orders","partition":0,"choice":"resend"}`, 409, "not parked"},
	} {
		code, text, header := g.ask(t, tt.method, tt.url, tt.body, tt.who)
		if code != tt.want || !strings.Contains(text, tt.says) {
			by := tt.who
			if pair, ok := by.(*pki.Pair); ok {
				by = pair.Cert.Subject
			}
			t.Errorf("%s %s as %v: %d %s, want %d %s", tt.method, tt.url, by, code, text, tt.want, tt.says)
		}
		if challenge := header["Www-Authenticate"]; (code == 401) != (len(challenge) == 2) {
			t.Errorf("%s: %d with the challenge %q", tt.url, code, challenge)
		}
		shown += text
	}
	// The rate: what is owed must be paid before the next request.
	var records []string
	for range 20 {
		records = append(records, `{"value":1}`)
	}
	if code, text, _ := g.ask(t, "POST", g.http+"/topics/telemetry.x", `{"records":[`+strings.Join(records, ",")+`]}`, token); code != 200 {
		t.Errorf("%d %s", code, text)
	}
	if code, text, header := g.ask(t, "POST", g.http+"/topics/telemetry.x", one, token); code != 429 || !strings.Contains(text, `"error_code":42907`) || header.Get("Retry-After") == "" {
		t.Errorf("above the rate: %d %s", code, text)
	}
	shown += g.log.String()
	hashes, err := os.ReadFile(g.users)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range append(strings.Fields(string(hashes)), "right-password", "wrong-password", token) {
		if len(secret) > 30 && strings.Contains(shown, secret) || strings.HasSuffix(secret, "-password") && strings.Contains(shown, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
	// A user who is taken out of the file is out.
	writeFile(t, g.users, strings.Replace(string(hashes), "alice:", "bob:", 1))
	if err := g.process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return g.log.event("config.reload") != nil })
	if code, _, _ := g.ask(t, "POST", g.http+"/topics/orders", one, "alice:right-password"); code != 401 {
		t.Errorf("a user who is gone: %d", code)
	}
	writeFile(t, g.users, "nonsense")
	if err := g.process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return g.log.event("config.fault") != nil })
	if code, _, _ := g.ask(t, "POST", g.http+"/topics/orders", one, "bob:right-password"); code != 200 {
		t.Errorf("after a faulty file: %d", code)
	}
}

func TestAListenerOpenToOtherHostsNeedsInsecureAndWarns(t *testing.T) {
	t.Parallel()
	spool := filepath.Join(t.TempDir(), "spool")
	code, _, errs := run(t, "", "serve", "-b", "127.0.0.1:1", "--spool", spool, "--http", "0.0.0.0:0")
	if code != exitConfig || !strings.Contains(errs, "http.insecure: true") || !strings.Contains(errs, "--http") {
		t.Errorf("code %d: %s", code, errs)
	}
	d := startDaemon(t, spool, "-b", "127.0.0.1:1", "--http", "0.0.0.0:0", "-X", "http.insecure=true")
	if warning := d.log.logged(t, "config.insecure"); warning["level"] != "WARN" {
		t.Errorf("no warning: %s", d.log)
	}
}

func TestARequestIsNamedInItsAnswerAndInTheLog(t *testing.T) {
	t.Parallel()
	d := startDaemon(t, filepath.Join(t.TempDir(), "spool"), "-b", "127.0.0.1:1", "-X", "log.level=debug")
	send := func(id string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.http+"/topics/orders", strings.NewReader(`{"records":[{"value":1}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/vnd.kafka.json.v2+json")
		req.Header.Set("X-Request-Id", id)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res.Header.Get("X-Request-Id")
	}
	if got := send("abc-1"); got != "abc-1" {
		t.Errorf("abc-1 came back as %q", got)
	}
	if got := send(strings.Repeat("x", 200)); len(got) == 0 || len(got) > 40 {
		t.Errorf("a long one came back as %q", got)
	}
	await(t, func() bool {
		line := d.log.event("http.request")
		return line != nil && line["request_id"] == "abc-1" && line["path"] == "/topics/orders" && line["records"] == 1.0
	})
}

func TestConfigurationOfListenersIsCheckedWithoutOpeningThem(t *testing.T) {
	for args, want := range map[string]string{
		"http.listen=:8082":                       "can be reached from other hosts",
		"admin.listen=[::]:9095":                  "can be reached from other hosts",
		"http.tls.key=x":                          "http.tls.certificate",
		"http.cors.origins=https://a.example/app": "must be scheme, host and port",
	} {
		code, _, errs := run(t, "", "config", "print", "-b", "127.0.0.1:1", "-X", args)
		if code != exitConfig || !strings.Contains(errs, want) {
			t.Errorf("%s: code %d, %s", args, code, errs)
		}
	}
	code, _, errs := run(t, "", "serve", "-b", "127.0.0.1:1", "--spool", filepath.Join(t.TempDir(), "spool"), "--http", "127.0.0.1:0", "--admin", "off", "-X", "http.users=/nowhere/users")
	if code != exitConfig || !strings.Contains(errs, "/nowhere/users") {
		t.Errorf("code %d, %s", code, errs)
	}
	var keys []map[string]any
	if _, out, _ := run(t, "", "config", "print", "-b", "127.0.0.1:1", "-X", "http.insecure=true", "-X", "http.listen=0.0.0.0:1", "--json"); json.Unmarshal([]byte(out), &keys) != nil || len(keys) < 3 {
		t.Errorf("config print: %s", out)
	}
}
