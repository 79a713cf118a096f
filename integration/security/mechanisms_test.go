//go:build kafka

package security_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
)

// unsigned is a token that the test's broker takes.
func unsigned(user string, life time.Duration) string {
	now := time.Now().Unix()
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(`{"alg":"none"}`)) + "." +
		enc.EncodeToString(fmt.Appendf(nil, `{"sub":%q,"iat":%d,"exp":%d}`, user, now, now+int64(life.Seconds()))) + "."
}

// tokenEndpoint gives tokens to a client with the right secret.
func tokenEndpoint(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		id, secret, _ := r.BasicAuth()
		if id != "spoold" || secret != "s3cr/t+" || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka" {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"no such client"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, unsigned("alice", time.Hour))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func keytool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("keytool", args...).CombinedOutput(); err != nil {
		t.Fatalf("keytool: %v: %s", err, out)
	}
}

func TestEveryMechanismAndKindOfTruststoreDelivers(t *testing.T) {
	for _, version := range []string{kafka.Newest, kafka.Last3x} {
		t.Run(version, func(t *testing.T) {
			r := run(t, version, "SASL_SSL", nil)
			for name, kind := range map[string]string{"ca.jks": "JKS", "ca.p12": "PKCS12"} {
				keytool(t, "-importcert", "-noprompt", "-alias", "ca", "-file", r.path("ca.pem"), "-keystore", r.path(name), "-storetype", kind, "-storepass", "changeit")
			}
			token := r.file("token", unsigned("alice", time.Hour)+"\n")
			t.Setenv("SPOOLD_TEST_PASSWORD", "alice-secret")
			for i, set := range []map[string]string{
				{"ssl.truststore.location": r.path("ca.pem"), "sasl.mechanism": "PLAIN", "sasl.jaas.config": plainModule + ` required username="alice" password="alice-secret";`},
				{"ssl.truststore.certificates": string(r.ca.PEM), "sasl.mechanism": "PLAIN", "sasl.username": "alice", "sasl.password": "${env:SPOOLD_TEST_PASSWORD}"},
				{"ssl.truststore.location": r.path("ca.jks"), "ssl.truststore.password": "changeit", "sasl.mechanism": "SCRAM-SHA-256",
					"sasl.jaas.config": scramModule + ` required username="alice" password="${env:SPOOLD_TEST_PASSWORD}";`},
				{"ssl.truststore.location": r.path("ca.p12"), "ssl.truststore.password": "changeit", "ssl.truststore.type": "PKCS12", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "alice", "sasl.password": "alice-secret"},
				{"ssl.ca.location": r.path("ca.pem"), "sasl.mechanisms": "OAUTHBEARER", "sasl.oauthbearer.token": "${file:" + token + "}"},
				{"ssl.ca.location": r.path("ca.pem"), "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.token.endpoint.url": "file://" + token, "ssl.enabled.protocols": "TLSv1.2"},
				{"ssl.ca.location": r.path("ca.pem"), "sasl.mechanism": "OAUTHBEARER", "sasl.jaas.config": oauthModule + ` required unsecuredLoginStringClaim_sub="alice";`},
				{"ssl.ca.location": r.path("ca.pem"), "sasl.mechanism": "OAUTHBEARER", "sasl.oauthbearer.token.endpoint.url": tokenEndpoint(t),
					"sasl.oauthbearer.client.credentials.client.id": "spoold", "sasl.oauthbearer.client.credentials.client.secret": "s3cr/t+", "sasl.oauthbearer.scope": "kafka"},
			} {
				topic := fmt.Sprintf("t%d", i)
				set["security.protocol"] = "SASL_SSL"
				p := open(t, r.config(set), spoold.Env{})
				p.send(topic, 100)
				p.drained()
				p.send(topic, 100)
				p.drained()
				r.expect(topic, 200)
			}
		})
	}
}

func TestCredentialsWithoutEncryptionDeliver(t *testing.T) {
	r := run(t, kafka.Newest, "SASL_PLAINTEXT", nil)
	p := open(t, r.config(map[string]string{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "alice", "sasl.password": "alice-secret"}), spoold.Env{})
	p.send("t", 100)
	p.drained()
	r.expect("t", 100)
	q := open(t, r.config(nil), spoold.Env{}) // PLAINTEXT
	q.send("t", 1)
	q.down("does this listener want SASL")
	q = open(t, r.config(map[string]string{"security.protocol": "SSL"}), spoold.Env{})
	q.send("t", 1)
	q.down("TLS handshake", "is this a TLS listener")
}

func TestAClientCertificateIsShownAndItsFaultsAreSaid(t *testing.T) {
	r := run(t, kafka.Newest, "SSL", map[string]string{"ssl.client.auth": "required", "ssl.principal.mapping.rules": "RULE:^CN=(.*)$/$1/"})
	alice := r.ca.Issue(t, "alice", time.Hour)
	pair := r.file("alice.pem", string(alice.KeyPEM)+string(alice.CertPEM))
	r.file("alice.key", string(alice.KeyPEM))
	r.file("alice.crt", string(alice.CertPEM))
	if out, err := exec.Command("openssl", "pkcs12", "-export", "-in", pair, "-inkey", r.path("alice.key"), "-name", "alice", "-out", r.path("alice.p12"), "-passout", "pass:changeit").CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
	if out, err := exec.Command("openssl", "pkcs8", "-topk8", "-in", r.path("alice.key"), "-out", r.path("alice.enc.key"), "-passout", "pass:changeit").CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v: %s", err, out)
	}
	keytool(t, "-importkeystore", "-noprompt", "-srckeystore", r.path("alice.p12"), "-srcstoretype", "PKCS12", "-srcstorepass", "changeit",
		"-destkeystore", r.path("alice.jks"), "-deststoretype", "JKS", "-deststorepass", "changeit")
	with := func(set map[string]string) spoold.Config {
		set["security.protocol"], set["ssl.truststore.location"] = "SSL", r.path("ca.pem")
		return r.config(set)
	}
	for i, set := range []map[string]string{
		{"ssl.keystore.location": pair, "ssl.keystore.type": "PEM"},
		{"ssl.keystore.location": r.path("alice.p12"), "ssl.keystore.password": "changeit"},
		{"ssl.keystore.location": r.path("alice.jks"), "ssl.keystore.password": "changeit"},
		{"ssl.keystore.key": string(alice.KeyPEM), "ssl.keystore.certificate.chain": string(alice.CertPEM)},
		{"ssl.key.location": r.path("alice.enc.key"), "ssl.certificate.location": r.path("alice.crt"), "ssl.key.password": "changeit"},
	} {
		p := open(t, with(set), spoold.Env{})
		topic := fmt.Sprintf("t%d", i)
		p.send(topic, 10)
		p.drained()
		r.expect(topic, 10)
	}
	p := open(t, with(map[string]string{}), spoold.Env{})
	p.send("none", 1)
	p.down("ssl.keystore.location")
	expired := r.ca.Issue(t, "alice", -time.Hour)
	file := r.file("client.pem", string(expired.KeyPEM)+string(expired.CertPEM))
	p = open(t, with(map[string]string{"ssl.keystore.location": file}), spoold.Env{})
	p.send("renewed", 10)
	p.down("ssl.keystore.location")
	// The certificate is renewed in the file: nothing else is done.
	r.file("client.pem", string(alice.KeyPEM)+string(alice.CertPEM))
	p.drained()
	r.expect("renewed", 10)
	if st := p.Status(); st.Link != "up" || strings.Contains(st.LinkError, "ssl") {
		t.Errorf("link %s, %q", st.Link, st.LinkError)
	}
	// A store of another kind is put in its place, or named by another configuration.
	for topic, mend := range map[string]func(p *producer, cfg spoold.Config){
		"file": func(*producer, spoold.Config) {
			store, err := os.ReadFile(r.path("alice.jks"))
			if err != nil {
				t.Fatal(err)
			}
			r.file("file.store", string(store))
		},
		"key": func(p *producer, cfg spoold.Config) {
			cfg.TLS.KeystoreLocation = r.path("alice.jks")
			if err := p.Reload(cfg); err != nil {
				t.Fatal(err)
			}
		},
	} {
		cfg := with(map[string]string{"ssl.keystore.location": r.file(topic+".store", string(expired.KeyPEM)+string(expired.CertPEM)), "ssl.keystore.password": "changeit"})
		p := open(t, cfg, spoold.Env{})
		p.send(topic, 10)
		p.down("ssl.keystore.location")
		mend(p, cfg)
		p.drained()
		r.expect(topic, 10)
	}
}
