package main

import (
	"crypto/tls"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/pki"
)

// secureBroker wants TLS and alice's password.
func secureBroker(t *testing.T) (addr, ca string) {
	t.Helper()
	authority := pki.New(t, "authority")
	own := authority.Issue(t, "broker", time.Hour, "127.0.0.1")
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "alice", "right-password"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{own.TLS()}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, ca, string(authority.PEM))
	return c.ListenAddrs()[0], ca
}

func (d *running) get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAWrongPasswordIsSaidAndMendedWithoutARestart(t *testing.T) {
	t.Parallel()
	addr, ca := secureBroker(t)
	file := filepath.Join(t.TempDir(), "spoold.yaml")
	config := func(password string) {
		writeFile(t, file, "kafka:\n  bootstrap.servers: "+addr+"\n  security.protocol: SASL_SSL\n  ssl.ca.location: "+ca+
			"\n  sasl.mechanism: SCRAM-SHA-512\n  sasl.username: alice\n  sasl.password: "+password+"\n")
	}
	config("wrong-password")
	d := startChild(t, filepath.Join(t.TempDir(), "spool"), "-c", file)
	if code, text := d.post(t, "/topics/orders", "", `{"records":[{"value":1}]}`); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	await(t, func() bool { return strings.Contains(d.get(t, d.admin+"/api/status"), "SCRAM-SHA-512, user alice") })
	if down := d.log.logged(t, "link.down"); !strings.Contains(down["err"].(string), "are the credentials right?") {
		t.Errorf("the log says %v", down)
	}
	shown := d.get(t, d.admin+"/api/status") + d.get(t, d.admin+"/metrics")
	config("right-password")
	if err := d.process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return strings.Contains(d.get(t, d.admin+"/api/status"), `"acked":1`) })
	if reload := d.log.logged(t, "config.reload"); !strings.Contains(d.log.String(), `"taken":["sasl.password"]`) {
		t.Errorf("the log says %v", reload)
	}
	shown += d.get(t, d.admin+"/api/status") + d.get(t, d.admin+"/metrics") + d.log.String()
	for _, secret := range []string{"wrong-password", "right-password"} {
		if strings.Contains(shown, secret) {
			t.Errorf("%s is shown", secret)
		}
	}
}

func TestTheClusterIsAskedForItsIDWithCredentials(t *testing.T) {
	t.Parallel()
	addr, ca := secureBroker(t)
	cfg := spoold.DefaultConfig()
	for k, v := range map[string]string{"bootstrap.servers": addr, "security.protocol": "SASL_SSL", "ssl.ca.location": ca, "sasl.mechanism": "SCRAM-SHA-512",
		"sasl.username": "alice", "sasl.password": "right-password"} {
		if err := cfg.Set(k, v); err != nil {
			t.Fatal(err)
		}
	}
	if id, err := spoold.ClusterID(t.Context(), cfg); err != nil || id == "" {
		t.Errorf("ClusterID = %q, %v", id, err)
	}
	cfg.SASL.Password = "${env:NOT_SET_ANYWHERE}"
	if _, err := spoold.ClusterID(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "NOT_SET_ANYWHERE") {
		t.Errorf("ClusterID = %v", err)
	}
}

func TestProduceSaysWhyNothingIsDelivered(t *testing.T) {
	t.Parallel()
	addr, ca := secureBroker(t)
	dir := t.TempDir()
	produce := func(timeout string, set ...string) (string, int) {
		t.Helper()
		args := []string{"produce", "-b", addr, "-t", "orders", "--spool", filepath.Join(dir, "spool"), "--timeout", timeout, "-X", "spool.min.free.bytes=1MiB"}
		for _, s := range set {
			args = append(args, "-X", s)
		}
		cmd := exec.Command("spoold", args...) //nolint:gosec // ourselves
		cmd.Stdin = strings.NewReader("one\n")
		out, _ := cmd.CombinedOutput() // the exit code says it
		return string(out), cmd.ProcessState.ExitCode()
	}
	user := []string{"security.protocol=SASL_SSL", "ssl.ca.location=" + ca, "sasl.mechanism=SCRAM-SHA-512", "sasl.username=alice"}
	for _, tt := range []struct {
		set  []string
		want string
	}{
		{nil, "Does it want TLS (security.protocol)"},
		{[]string{"security.protocol=SSL"}, "issued by an authority that is not trusted here"},
		{append(user[:len(user):len(user)], "sasl.password=wrong-password"), "are the credentials right?"},
	} {
		out, code := "", 0
		for _, timeout := range []string{"500ms", "2s", "20s"} { // a busy machine needs longer to find out
			if out, code = produce(timeout, tt.set...); strings.Contains(out, tt.want) {
				break
			}
		}
		if code != exitUnavailable || !strings.Contains(out, tt.want) || strings.Contains(out, "wrong-password") {
			t.Errorf("%q: exit %d, %s", tt.set, code, out)
		}
	}
	if out, code := produce("20s", append(user, "sasl.password=right-password")...); code != 0 {
		t.Errorf("exit %d, %s", code, out)
	}
}
