package main

import (
	"crypto/tls"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold/integration/pki"
)

// expiring is a configuration whose certificates expire soon, at a broker whose own does: listener is valid for so long.
func expiring(t *testing.T, client, listener time.Duration) (config string) {
	t.Helper()
	dir, ca := t.TempDir(), pki.New(t, "authority")
	put := func(name string, p *pki.Pair) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, string(p.CertPEM)+string(p.KeyPEM))
		return path
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{ca.Issue(t, "broker", 7*time.Hour, "127.0.0.1").TLS()}}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	authority, pair := filepath.Join(dir, "ca.pem"), put("http.pem", ca.Issue(t, "listener", listener))
	writeFile(t, authority, string(ca.PEM))
	config = filepath.Join(dir, "spoold.yaml")
	writeFile(t, config, fmt.Sprintf("bootstrap.servers: %s\nsecurity.protocol: SSL\nssl.truststore.location: %s\nssl.keystore.location: %s\nspool.min.free.bytes: 1MiB\n"+
		"http: {listen: 127.0.0.1:8082, tls: {certificate: %s, client: {ca: %s}}}\nadmin: {tls: {certificate: %s}}\notel.exporter.otlp.certificate: %s\n",
		c.ListenAddrs()[0], authority, put("client.pem", ca.Issue(t, "client", client)), pair, authority, pair, authority))
	return config
}

func TestDoctorNamesEachCertificateThatExpires(t *testing.T) {
	t.Parallel()
	config := expiring(t, 5*time.Hour, -time.Hour)
	code, out, errs := run(t, "", "doctor", "-c", config, "--spool", filepath.Join(t.TempDir(), "spool"))
	if code != exitProblem {
		t.Errorf("code %d: %s", code, errs)
	}
	for _, want := range []string{
		"warning  ssl.keystore.location: the certificate (CN=client) expires in 0 days, at ",
		"ok       ssl.truststore.location: the authority's certificate (CN=authority) is valid until ",
		"fault    http.tls.certificate: the certificate (CN=listener) expired at ",
		"ok       http.tls.client.ca: the authority's certificate (CN=authority) is valid until ",
		"fault    admin.tls.certificate: the certificate (CN=listener) expired at ",
		"ok       otel.exporter.otlp.certificate: the authority's certificate (CN=authority) is valid until ",
		": its certificate (CN=broker) expires in 0 days, at ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the report is\n%swant %q in it", out, want)
		}
	}
}

// Monitoring has a metric and an exit code, of the listeners' certificates as well.
func TestADaemonSaysThatACertificateExpires(t *testing.T) {
	t.Parallel()
	d := startChild(t, filepath.Join(t.TempDir(), "spool"), "-c", expiring(t, 100*time.Hour, 5*time.Hour))
	await(t, func() bool { return statusOf(t, d.spool).Link == "up" })
	code, out, errs := run(t, "", "status", "--spool", d.spool)
	if code != statusDegraded || !strings.Contains(out, "expires   http.tls.certificate: the certificate (CN=listener) expires in 4h 59m") || strings.Contains(out, "ssl.keystore") {
		t.Errorf("code %d: %s%s", code, out, errs)
	}
	for _, key := range []string{"ssl.keystore.location", "ssl.truststore.location", "http.tls.certificate", "http.tls.client.ca", "admin.tls.certificate"} {
		found := false
		for _, c := range statusOf(t, d.spool).Certificates {
			found = found || c.Key == key && c.NotAfter.After(time.Now())
		}
		if !found {
			t.Errorf("the status has no certificate of %s", key)
		}
	}
}
