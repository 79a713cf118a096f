package secure

import (
	"strings"
	"testing"

	"github.com/spoold/spoold/integration/pki"
)

// Editors of Windows put one in front; a certificate or password with it was none.
func TestAByteOrderMarkIsNoPartOfACertificateOrPassword(t *testing.T) {
	s := newStores(t)
	marked := func(name string, text []byte) string { return s.put(t, name, append([]byte("\uFEFF"), text...)) }
	set := TLS{
		Truststore: Store{Location: marked("ca.pem", s.ca.PEM)}, CertLoc: marked("cert.pem", s.client.CertPEM), KeyLocation: marked("key.pem", s.client.KeyPEM),
		Versions: []string{"TLSv1.3"},
	}
	if _, _, err := set.settings(&files{}); err != nil {
		t.Error(err)
	}
	if text, err := Expand("${file:" + marked("password", []byte("secret\r\n")) + "}"); err != nil || text != "secret" {
		t.Errorf("a password with a byte order mark is read as %q, %v", text, err)
	}
}

func TestAReferenceThatCannotBeFollowedSaysWhatToWrite(t *testing.T) {
	for text, want := range map[string][]string{
		"${file:/nowhere/p.properties:key.password}": {"no such file", "${file:PATH:KEY} is not read", "the value of key.password alone"},
		"${directory:/run/secrets:key}":              {"give ${file:/run/secrets/key}"},
		"${vault:x}":                                 {"${env:NAME}"},
		"${env:x":                                    {"no }"},
	} {
		set := TLS{KeyPassword: text}
		_, _, err := set.settings(&files{})
		for _, part := range want {
			if err == nil || !strings.Contains(err.Error(), "ssl.key.password: ") || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q", text, err, part)
			}
		}
	}
}

// Kafka's own client reads a certificate or key on one line, as .properties files have it.
func TestPEMOnOneLineIsRead(t *testing.T) {
	s := newStores(t)
	oneLine := func(text []byte) string { return strings.Join(strings.Fields(string(text)), " ") }
	both := oneLine(s.client.CertPEM) + " " + oneLine(s.ca.PEM)
	for name, set := range map[string]TLS{
		"one line":  {Certificates: oneLine(s.ca.PEM), Chain: both, Key: oneLine(s.client.KeyPEM)},
		"as it is":  {Certificates: string(s.ca.PEM), Chain: string(s.client.CertPEM) + string(s.ca.PEM), Key: string(s.client.KeyPEM)},
		"line ends": {Certificates: strings.ReplaceAll(string(s.ca.PEM), "\n", "\r\n"), Chain: both, Key: strings.ReplaceAll(string(s.client.KeyPEM), "\n", "\r\n")},
		"in files": {Truststore: Store{Location: s.put(t, "ca.pem", []byte(oneLine(s.ca.PEM)))}, CertLoc: s.put(t, "cert.pem", []byte(both)),
			KeyLocation: s.put(t, "key.pem", []byte(oneLine(s.client.KeyPEM)))},
	} {
		c, trust, err := set.settings(&files{})
		if err != nil || len(trust.Certificates) != 1 || !trust.Certificates[0].Equal(s.ca.Cert) {
			t.Errorf("%s: %v, %v", name, trust, err)
			continue
		}
		own, err := c.GetClientCertificate(nil)
		if err != nil || len(own.Certificate) != 2 || !own.Leaf.Equal(s.client.Cert) {
			t.Errorf("%s: own certificate: %v", name, err)
		}
	}
	if _, _, err := (&TLS{Certificates: "-----BEGIN CERTIFICATE----- MIIB -----END PRIVATE KEY-----"}).settings(&files{}); err == nil {
		t.Error("a block with two names is taken")
	}
}

// A certificate that was added to a folder was not trusted before a restart.
func TestAFileThatIsAddedToAFolderOfCertificatesIsTrusted(t *testing.T) {
	s := newStores(t)
	s.put(t, "ca.pem", s.ca.PEM)
	k, err := New(Settings{TLS: &TLS{Truststore: Store{Location: s.dir}}})
	if err != nil {
		t.Fatal(err)
	}
	trusted := func() int {
		t.Helper()
		now, err := k.Security(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(now.Trust.Certificates)
	}
	before, stamp := trusted(), k.Stamp()
	s.put(t, "more.pem", pki.New(t, "another authority").PEM)
	if after := trusted(); before != 1 || after != 2 || k.Stamp() == stamp {
		t.Errorf("%d certificates were trusted, then %d", before, after)
	}
}
