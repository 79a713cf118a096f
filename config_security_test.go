package spoold

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const hunter = "hunter2-hunter2"

// secretKeys is a configuration in which each secret key holds the same secret.
func secretKeys(t *testing.T) Config {
	t.Helper()
	c := validConfig()
	for _, k := range Keys() {
		if !k.Secret || !k.Works {
			continue
		}
		if err := c.Set(k.Name, hunter); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Whatever way a configuration is printed, no secret of it is.
func TestSecretsArePrintedByNothing(t *testing.T) {
	c := secretKeys(t)
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", c)
		fmt.Fprintf(&out, verb+"\n", &c)
		fmt.Fprintf(&out, verb+"\n", c.SASL.Password)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "config", c, "secret", c.SASL.Password)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "config", c, "secret", c.SASL.Password)
	for _, k := range Keys() {
		value, _ := c.Get(k.Name)
		fmt.Fprintln(&out, value)
	}
	c.SecurityProtocol, c.SASL.Mechanism = "SASL_SSL", "PLAIN"
	fmt.Fprintln(&out, c.Validate())
	for _, form := range []string{hunter, fmt.Sprintf("%x", hunter)} {
		if strings.Contains(out.String(), form) {
			t.Errorf("printed a secret as %q", form)
		}
	}
	n := 0
	for _, k := range Keys() {
		if k.Secret {
			n++
		}
	}
	if n < 7 {
		t.Errorf("only %d keys are secret", n)
	}
}

func TestAReferenceIsShownAndItsSecretIsNot(t *testing.T) {
	for value, want := range map[Secret]string{
		"":                          "",
		"${env:PASSWORD}":           "${env:PASSWORD}",
		"${file:/run/secret}":       "${file:/run/secret}",
		"x${env:PASSWORD}":          "[hidden]",
		"${env:A}hunter2${file:/b}": "[hidden]",
		"${hunter2}":                "[hidden]",
	} {
		if got := value.String(); got != want {
			t.Errorf("secret %q is shown as %q, want %q", string(value), got, want)
		}
	}
}

func TestSecurityKeysThatDoNotFitAreNamed(t *testing.T) {
	const plain = `org.apache.kafka.common.security.plain.PlainLoginModule required username="a" password="hunter2-hunter2";`
	for _, tt := range []struct {
		name string
		set  map[string]string
		want string // key: what
	}{
		{"SASL without a mechanism", map[string]string{"security.protocol": "SASL_SSL"}, `sasl.mechanism = "GSSAPI": Kerberos is not supported`},
		{"PLAIN without a user", map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}, "sasl.username: PLAIN needs a user"},
		{"SCRAM without a password", map[string]string{"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "SCRAM-SHA-256", "sasl.username": "a"}, "sasl.password: SCRAM-SHA-256 needs a password"},
		{"OAUTHBEARER without a token", map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "OAUTHBEARER"}, "sasl.oauthbearer.token.endpoint.url: OAUTHBEARER needs a token"},
		{"a JAAS line and a user", map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.username": "a", "sasl.jaas.config": plain}, "sasl.jaas.config"},
		{"a JAAS line for another mechanism", map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.jaas.config": plain}, "not for sasl.mechanism SCRAM-SHA-512"},
		{"a JAAS line for Kerberos", map[string]string{"security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN", "sasl.jaas.config": `com.sun.security.auth.module.Krb5LoginModule required useKeyTab=true;`}, "Kerberos"},
		{"two trust stores", map[string]string{"ssl.truststore.location": "a", "ssl.truststore.certificates": "b"}, "give one of them"},
		{"a key without a certificate", map[string]string{"ssl.key.location": "a"}, "needs ssl.certificate.location"},
		{"a key in two ways", map[string]string{"ssl.key.location": "a", "ssl.certificate.location": "b", "ssl.keystore.location": "c"}, "more than one way"},
	} {
		c := validConfig()
		for k, v := range tt.set {
			if err := c.Set(k, v); err != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
		}
		err := c.Validate()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: Validate() = %v, want %q", tt.name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), hunter) {
			t.Errorf("%s: the password is in the error: %v", tt.name, err)
		}
	}
}

func TestAFileThatIsNotThereIsAFaultOfItsKeyAtTheStart(t *testing.T) {
	c := validConfig()
	c.SpoolPath = t.TempDir()
	for k, v := range map[string]string{"security.protocol": "SSL", "ssl.ca.location": "/nowhere/ca.pem"} {
		if err := c.Set(k, v); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Open(c, Env{})
	if !as[*ConfigError](err) || !strings.Contains(err.Error(), "ssl.truststore.location") || ExitCode(err) != ExitConfig {
		t.Errorf("Open = %v, want a *ConfigError that names ssl.truststore.location", err)
	}
}
