package secure

import (
	"bytes"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/spoold/spoold/integration/pki"
)

// names are certificates as key=subject, in their order.
func names(certs []Certificate) string {
	var all []string
	for _, c := range certs {
		all = append(all, c.Key+"="+c.Subject)
	}
	return strings.Join(all, " ")
}

func TestCertificatesOfEveryKindOfStoreAreFoundWithTheirKeys(t *testing.T) {
	s := newStores(t)
	trust, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{s.ca.Cert}, "changeit")
	if err != nil {
		t.Fatal(err)
	}
	own, err := pkcs12.Modern.Encode(s.client.Key, s.client.Cert, []*x509.Certificate{s.ca.Cert}, "changeit")
	if err != nil {
		t.Fatal(err)
	}
	chain := append(bytes.Clone(s.client.CertPEM), s.ca.PEM...)
	for want, set := range map[string]Settings{
		"": {},
		"ssl.keystore.location=CN=client ssl.keystore.location=CN=authority ssl.truststore.location=CN=authority": {TLS: &TLS{
			Truststore: Store{Location: s.put(t, "ca.p12", trust), Password: "changeit"}, Keystore: Store{Location: s.put(t, "own.p12", own), Password: "changeit"}}},
		"ssl.keystore.location=CN=client ssl.keystore.location=CN=authority ssl.truststore.certificates=CN=authority": {TLS: &TLS{
			Certificates: string(s.ca.PEM), Keystore: Store{Location: s.put(t, "own.jks", s.jks(t, "changeit", true)), Password: "changeit"}}},
		"ssl.certificate.location=CN=client ssl.certificate.location=CN=authority ssl.truststore.location=CN=authority": {TLS: &TLS{
			Truststore: Store{Location: s.put(t, "ca.jks", s.jks(t, "changeit", false))}, CertLoc: s.put(t, "own.crt", chain), KeyLocation: s.put(t, "own.key", s.client.KeyPEM)}},
		"ssl.keystore.certificate.chain=CN=client https.ca.location=CN=authority": {TLS: &TLS{Chain: string(s.client.CertPEM), Key: string(s.client.KeyPEM)},
			SASL: &SASL{Mechanism: "OAUTHBEARER", Token: OAuth{URL: "https://a", Authority: Store{Location: s.put(t, "ca.pem", s.ca.PEM)}}}},
	} {
		got, err := set.Certificates()
		if err != nil || names(got) != want {
			t.Errorf("%v, %v; want %s", names(got), err, want)
		}
		for _, c := range got {
			if cert := map[string]*x509.Certificate{"CN=client": s.client.Cert, "CN=authority": s.ca.Cert}[c.Subject]; !c.NotAfter.Equal(cert.NotAfter) || !c.NotBefore.Equal(cert.NotBefore) {
				t.Errorf("%s: the times are %v and %v", c.Key, c.NotBefore, c.NotAfter)
			}
		}
	}
}

// A link may stand for months: no connection is made meanwhile, which would read the files anew.
func TestARenewedCertificateIsSeenWithoutAConnection(t *testing.T) {
	s := newStores(t)
	k, err := New(Settings{TLS: &TLS{Keystore: Store{Location: s.put(t, "own.pem", append(bytes.Clone(s.client.KeyPEM), s.client.CertPEM...))}}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	see := func(after time.Duration, want time.Time) {
		t.Helper()
		if got := k.Certificates(now.Add(after)); len(got) != 1 || !got[0].NotAfter.Equal(want) {
			t.Errorf("after %v: %v, want one until %v", after, got, want)
		}
	}
	see(0, s.client.Cert.NotAfter)
	fresh := pki.New(t, "authority").Issue(t, "client", 100*time.Hour)
	s.put(t, "own.pem", append(bytes.Clone(fresh.KeyPEM), fresh.CertPEM...))
	see(lookEvery-1, s.client.Cert.NotAfter)
	see(lookEvery, fresh.Cert.NotAfter)
	s.put(t, "own.pem", []byte("-----BEGIN "))
	see(2*lookEvery, fresh.Cert.NotAfter)
	if err := k.Use(Settings{}); err != nil {
		t.Fatal(err)
	}
	if got := k.Certificates(now.Add(2*lookEvery + 1)); len(got) != 0 {
		t.Errorf("without TLS there are %v", got)
	}
}
