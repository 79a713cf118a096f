//go:build kafka

package security_test

import (
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/pki"
)

// Each kind of wrong setting has a line of its own, in which the key to look at stands; records stay; and where the setting is in a
// file, mending the file is enough.
func TestEachKindOfRefusalIsSaidAndMendingItIsEnough(t *testing.T) {
	r := run(t, kafka.Newest, "SASL_SSL", nil)
	base := func(set map[string]string) spoold.Config {
		for k, v := range map[string]string{"security.protocol": "SASL_SSL", "ssl.ca.location": r.path("ca.pem"),
			"sasl.mechanism": "SCRAM-SHA-256", "sasl.username": "alice", "sasl.password": "alice-secret"} {
			if _, given := set[k]; !given {
				set[k] = v
			}
		}
		return r.config(set)
	}
	t.Run("wrong password, mended in its file", func(t *testing.T) {
		password := r.file("password", "wrong")
		p := open(t, base(map[string]string{"sasl.password": "${file:" + password + "}"}), spoold.Env{})
		p.send("password", 10)
		p.down("refuses the credentials (SCRAM-SHA-256, user alice)", "SASL_AUTHENTICATION_FAILED")
		began := time.Now()
		r.file("password", "alice-secret\n")
		p.drained()
		if d := time.Since(began); d > 10*time.Second {
			t.Errorf("delivered only %v after the file was mended", d)
		}
		r.expect("password", 10)
	})
	t.Run("wrong password, mended by Reload", func(t *testing.T) {
		p := open(t, base(map[string]string{"sasl.mechanism": "PLAIN", "sasl.password": "wrong-secret"}), spoold.Env{})
		p.send("reload", 10)
		p.down("refuses the credentials (PLAIN, user alice)")
		if strings.Contains(p.Status().LinkError, "wrong-secret") {
			t.Error("the password is in the status")
		}
		if err := p.Reload(base(map[string]string{"sasl.mechanism": "PLAIN"})); err != nil {
			t.Fatal(err)
		}
		p.drained()
		r.expect("reload", 10)
	})
	t.Run("a user that is made later", func(t *testing.T) {
		p := open(t, base(map[string]string{"sasl.username": "carol", "sasl.password": "carol-secret"}), spoold.Env{})
		p.send("later", 10)
		p.down("refuses the credentials (SCRAM-SHA-256, user carol)")
		r.scram("carol", "carol-secret")
		r.allow("carol")
		p.drained()
		r.expect("later", 10)
	})
	t.Run("a mechanism that is not offered", func(t *testing.T) {
		p := open(t, base(map[string]string{}), spoold.Env{SASL: gssapi{}})
		p.send("mechanism", 1)
		p.down("does not offer the SASL mechanism GSSAPI", "PLAIN, SCRAM-SHA-256")
	})
	t.Run("an authority that is not trusted, mended in its file", func(t *testing.T) {
		ca := r.file("trusted.pem", string(pki.New(t, "another authority").PEM))
		p := open(t, base(map[string]string{"ssl.ca.location": ca}), spoold.Env{})
		p.send("authority", 10)
		p.down("not trusted", "authority of the test", "ssl.truststore.location")
		r.file("trusted.pem", string(r.ca.PEM))
		p.drained()
		r.expect("authority", 10)
	})
	t.Run("credentials for a listener that wants none of them", func(t *testing.T) {
		p := open(t, base(map[string]string{"bootstrap.servers": r.Direct()}), spoold.Env{})
		p.send("plain", 1)
		p.down("TLS handshake", "security.protocol")
		p = open(t, base(map[string]string{"bootstrap.servers": r.Direct(), "security.protocol": "SASL_PLAINTEXT"}), spoold.Env{})
		p.send("plain", 1)
		p.down("does not use SASL")
	})
	t.Run("no encryption where it is wanted", func(t *testing.T) {
		p := open(t, base(map[string]string{"security.protocol": "SASL_PLAINTEXT"}), spoold.Env{})
		p.send("plain", 1)
		p.down("TLS", "security.protocol")
		p = open(t, base(map[string]string{"security.protocol": "SSL"}), spoold.Env{})
		p.send("plain", 1)
		p.down("does this listener want SASL")
	})
}

func TestAWrongHostNameAndAnExpiredCertificateOfABrokerAreSaid(t *testing.T) {
	r := run(t, kafka.Newest, "SSL", nil)
	r.allow("ANONYMOUS")
	other := r.ca.Issue(t, "elsewhere", time.Hour, "kafka.example.com")
	expired := r.ca.Issue(t, "late", -time.Hour, "127.0.0.1")
	for _, tt := range []struct {
		pair  *pki.Pair
		words []string
	}{
		{other, []string{"kafka.example.com", "not for 127.0.0.1"}},
		{expired, []string{"expired at"}},
	} {
		// The broker looks at its key store when it is told to.
		r.file("broker.pem", string(tt.pair.KeyPEM)+string(tt.pair.CertPEM))
		if err := r.Stop(0); err != nil {
			t.Fatal(err)
		}
		if err := r.Start(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		p := open(t, r.config(map[string]string{"security.protocol": "SSL", "ssl.ca.location": r.path("ca.pem")}), spoold.Env{})
		p.send("t", 1)
		p.down(tt.words...)
		if tt.pair == other {
			p := open(t, r.config(map[string]string{"security.protocol": "SSL", "ssl.ca.location": r.path("ca.pem"), "ssl.endpoint.identification.algorithm": ""}), spoold.Env{})
			p.send("unchecked", 10)
			p.drained()
			r.expect("unchecked", 10)
		}
	}
}
