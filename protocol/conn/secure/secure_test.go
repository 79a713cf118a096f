package secure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bytes"

	"github.com/pavlo-v-chernykh/keystore-go/v4"
	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/spoold/spoold/integration/pki"
)

// write makes a file at once, with a time that no other file of the test has.
func write(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}

// stores are the same authority and client in every format.
type stores struct {
	ca     *pki.Authority
	client *pki.Pair
	dir    string
}

func newStores(t *testing.T) *stores {
	t.Helper()
	s := &stores{ca: pki.New(t, "authority"), dir: t.TempDir()}
	s.client = s.ca.Issue(t, "client", time.Hour)
	return s
}

func (s *stores) put(t *testing.T, name string, content []byte) string {
	return write(t, filepath.Join(s.dir, name), content)
}

func (s *stores) jks(t *testing.T, password string, private bool) []byte {
	t.Helper()
	store := keystore.New()
	cert := keystore.Certificate{Type: "X509", Content: s.ca.Cert.Raw}
	var err error
	if private {
		key, _ := pem.Decode(s.client.KeyPEM)
		err = store.SetPrivateKeyEntry("own", keystore.PrivateKeyEntry{CreationTime: time.Now(), PrivateKey: key.Bytes,
			CertificateChain: []keystore.Certificate{{Type: "X509", Content: s.client.Cert.Raw}, cert}}, []byte(password))
	} else {
		err = store.SetTrustedCertificateEntry("ca", keystore.TrustedCertificateEntry{CreationTime: time.Now(), Certificate: cert})
	}
	var out bytes.Buffer
	if err == nil {
		err = store.Store(&out, []byte(password))
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestEveryKindOfTruststoreHoldsTheSameAuthority(t *testing.T) {
	s := newStores(t)
	p12, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{s.ca.Cert}, "changeit")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(s.dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.put(t, "folder/a.crt", s.ca.PEM)
	t.Setenv("STORE_PASSWORD", "changeit")
	for name, set := range map[string]TLS{
		"PEM":            {Truststore: Store{Location: s.put(t, "ca.pem", s.ca.PEM), Type: "PEM"}},
		"PEM, type JKS":  {Truststore: Store{Location: s.put(t, "ca2.pem", s.ca.PEM), Type: "JKS"}},
		"PKCS12":         {Truststore: Store{Location: s.put(t, "ca.p12", p12), Password: "changeit"}},
		"JKS":            {Truststore: Store{Location: s.put(t, "ca.jks", s.jks(t, "changeit", false)), Password: "${env:STORE_PASSWORD}"}},
		"JKS, unchecked": {Truststore: Store{Location: s.put(t, "ca2.jks", s.jks(t, "changeit", false))}},
		"folder":         {Truststore: Store{Location: filepath.Join(s.dir, "folder")}},
		"text":           {Certificates: string(s.ca.PEM)},
		"text in a file": {Certificates: "${file:" + s.put(t, "text", s.ca.PEM) + "}"},
	} {
		set.Versions = []string{"TLSv1.2", "TLSv1.3"}
		c, _, err := set.settings(&files{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := s.client.Cert.Verify(x509.VerifyOptions{Roots: c.RootCAs, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryKindOfKeystoreHoldsTheSameKey(t *testing.T) {
	s := newStores(t)
	p12, err := pkcs12.Modern.Encode(s.client.Key, s.client.Cert, []*x509.Certificate{s.ca.Cert}, "changeit")
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := pkcs8.MarshalPrivateKey(s.client.Key, []byte("changeit"), nil)
	if err != nil {
		t.Fatal(err)
	}
	locked := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: encrypted})
	sec1, err := x509.MarshalECPrivateKey(s.client.Key)
	if err != nil {
		t.Fatal(err)
	}
	chain := append(bytes.Clone(s.ca.PEM), s.client.CertPEM...) // in the wrong order
	for name, set := range map[string]TLS{
		"PEM":        {Keystore: Store{Location: s.put(t, "own.pem", append(bytes.Clone(s.client.KeyPEM), chain...))}},
		"locked PEM": {Keystore: Store{Location: s.put(t, "locked.pem", append(bytes.Clone(locked), chain...))}, KeyPassword: "changeit"},
		"PKCS12":     {Keystore: Store{Location: s.put(t, "own.p12", p12), Password: "changeit"}},
		"JKS":        {Keystore: Store{Location: s.put(t, "own.jks", s.jks(t, "changeit", true)), Password: "changeit"}},
		"two files":  {CertLoc: s.put(t, "own.crt", chain), KeyLocation: s.put(t, "own.key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}))},
		"texts":      {Chain: string(chain), Key: string(s.client.KeyPEM)},
	} {
		c, _, err := set.settings(&files{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		own, err := c.GetClientCertificate(nil)
		if err != nil || !own.Leaf.Equal(s.client.Cert) || !bytes.Equal(own.Certificate[0], s.client.Cert.Raw) {
			t.Errorf("%s: %v, %v: the client's certificate is not the first", name, own, err)
		}
	}
}

func TestAnExpiredCertificateOfThisClientIsSaidWhenItIsAskedFor(t *testing.T) {
	late := pki.New(t, "authority").Issue(t, "client", -time.Hour)
	c, _, err := (&TLS{Chain: string(late.CertPEM), Key: string(late.KeyPEM)}).settings(&files{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetClientCertificate(nil); err == nil || !strings.Contains(err.Error(), "CN=client) expired at") {
		t.Errorf("%v", err)
	}
}

func TestWhatIsWrongWithAStoreIsSaidWithItsKeyAndNoSecret(t *testing.T) {
	s := newStores(t)
	other := s.ca.Issue(t, "other", time.Hour)
	p12, err := pkcs12.Modern.Encode(s.client.Key, s.client.Cert, nil, "changeit")
	if err != nil {
		t.Fatal(err)
	}
	const wrong = "hunter2-hunter2"
	for _, tt := range []struct {
		name string
		set  TLS
		want []string
	}{
		{"no file", TLS{Truststore: Store{Location: "/nowhere/ca.pem"}}, []string{"ssl.truststore.location", "/nowhere/ca.pem"}},
		{"empty file", TLS{Truststore: Store{Location: s.put(t, "empty", nil)}}, []string{"ssl.truststore.location", "is empty"}},
		{"text", TLS{Truststore: Store{Location: s.put(t, "text", []byte("hello"))}}, []string{"neither PEM nor PKCS#12 nor JKS"}},
		{"JCEKS", TLS{Truststore: Store{Location: s.put(t, "jceks", []byte{0xCE, 0xCE, 0xCE, 0xCE, 0})}}, []string{"JCEKS", "keytool"}},
		{"not PEM", TLS{Truststore: Store{Location: s.put(t, "p12", p12), Type: "PEM"}}, []string{"not PEM as its type says"}},
		{"PEM without certificate", TLS{Truststore: Store{Location: s.put(t, "key", s.client.KeyPEM)}}, []string{"no certificate"}},
		{"wrong password of PKCS12", TLS{Keystore: Store{Location: s.put(t, "own.p12", p12), Password: wrong}}, []string{"ssl.keystore.location", "password"}},
		{"wrong password of JKS", TLS{Keystore: Store{Location: s.put(t, "own.jks", s.jks(t, "changeit", true)), Password: wrong}}, []string{"ssl.keystore.location", "password"}},
		{"no password of JKS", TLS{Keystore: Store{Location: s.put(t, "own.jks", s.jks(t, "changeit", true))}}, []string{"ssl.keystore.location", "password"}},
		{"wrong password of a JKS trust store", TLS{Truststore: Store{Location: s.put(t, "ca.jks", s.jks(t, "changeit", false)), Password: wrong}}, []string{"ssl.truststore.location", "password"}},
		{"a trust store of JKS that is cut off", TLS{Truststore: Store{Location: s.put(t, "cut.jks", s.jks(t, "changeit", false)[:60])}}, []string{"ssl.truststore.location"}},
		{"four bytes of a trust store of JKS", TLS{Truststore: Store{Location: s.put(t, "cut4.jks", s.jks(t, "changeit", false)[:4])}}, []string{"ssl.truststore.location"}},
		{"key of another certificate", TLS{Chain: string(other.CertPEM), Key: string(s.client.KeyPEM)}, []string{"ssl.keystore.key", "belongs to none"}},
		{"no key", TLS{Chain: string(other.CertPEM), Key: "hunter2-hunter2"}, []string{"ssl.keystore.key", "no private key"}},
		{"variable not set", TLS{Keystore: Store{Location: s.put(t, "own2.p12", p12), Password: "${env:SPOOLD_NOT_SET}"}}, []string{"SPOOLD_NOT_SET is not set"}},
		{"a store that is a trust store of nothing", TLS{Truststore: Store{Location: s.put(t, "own3.jks", s.jks(t, "changeit", true)), Password: "changeit"}}, []string{"holds no certificate"}},
	} {
		_, _, err := tt.set.settings(&files{})
		var at *KeyError
		if !errors.As(err, &at) {
			t.Errorf("%s: %v, want a *KeyError", tt.name, err)
			continue
		}
		for _, w := range tt.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", tt.name, err, w)
			}
		}
		if strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: a secret is in the error: %v", tt.name, err)
		}
	}
}

// chainOf is a server's certificate, checked as the client would.
func TestWithoutTheHostNameCheckTheChainIsStillChecked(t *testing.T) {
	ca, other := pki.New(t, "ours"), pki.New(t, "other")
	for _, tt := range []struct {
		by   *pki.Authority
		life time.Duration
		good bool
	}{{ca, time.Hour, true}, {other, time.Hour, false}, {ca, -time.Hour, false}} {
		c, _, err := (&TLS{Certificates: string(ca.PEM), AnyHost: true}).settings(&files{})
		if err != nil {
			t.Fatal(err)
		}
		err = c.VerifyConnection(tls.ConnectionState{PeerCertificates: []*x509.Certificate{tt.by.Issue(t, "x", tt.life, "elsewhere").Cert}})
		if tt.good != (err == nil) {
			t.Errorf("certificate of %s, valid for %v: %v", tt.by.Cert.Subject, tt.life, err)
		}
	}
}

func TestAChangedFileIsInForceForTheNextConnection(t *testing.T) {
	s := newStores(t)
	other := pki.New(t, "other")
	path := s.put(t, "ca.pem", other.PEM)
	k, err := New(Settings{TLS: &TLS{Truststore: Store{Location: path}}, SASL: &SASL{Mechanism: "PLAIN", Username: "alice", Password: "${file:" + s.put(t, "pw", []byte("one")) + "}"}})
	if err != nil {
		t.Fatal(err)
	}
	trusts := func() bool {
		t.Helper()
		got, err := k.Security(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.client.Cert.Verify(x509.VerifyOptions{Roots: got.TLS.RootCAs, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return err == nil
	}
	if trusts() {
		t.Fatal("trusts the authority before its certificate is there")
	}
	before := k.Stamp()
	if k.Stamp() != before {
		t.Error("the stamp changes though nothing does")
	}
	s.put(t, "ca.pem", s.ca.PEM)
	if k.Stamp() == before {
		t.Error("the stamp stays though a file changed")
	}
	if !trusts() {
		t.Error("does not trust the new authority")
	}
	first := func() string {
		t.Helper()
		got, err := k.Security(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, message, err := got.SASL.Authenticate(t.Context(), "host")
		if err != nil {
			t.Fatal(err)
		}
		return string(message)
	}
	if m := first(); m != "\x00alice\x00one" {
		t.Errorf("says %q", m)
	}
	before = k.Stamp()
	s.put(t, "pw", []byte("two\n"))
	if m := first(); m != "\x00alice\x00two" || k.Stamp() == before {
		t.Errorf("says %q", m)
	}
	// A file that cannot be used is an error of the next connection, and mended for the one after.
	s.put(t, "ca.pem", []byte("-----BEGIN nothing"))
	if _, err := k.Security(t.Context()); err == nil || !strings.Contains(err.Error(), "ssl.truststore.location") {
		t.Errorf("with a broken file: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Security(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
	s.put(t, "ca.pem", s.ca.PEM)
	if !trusts() {
		t.Error("does not trust the authority once its certificate is back")
	}
	// Use keeps what was, if the new one cannot be used.
	if err := k.Use(Settings{TLS: &TLS{Truststore: Store{Location: "/nowhere"}}}); err == nil || !trusts() {
		t.Errorf("Use = %v", err)
	}
	before = k.Stamp()
	if err := k.Use(Settings{SASL: &SASL{Mechanism: "PLAIN", Username: "bob", Password: "three"}}); err != nil {
		t.Fatal(err)
	}
	if m := first(); m != "\x00bob\x00three" || k.Stamp() == before {
		t.Errorf("says %q", m)
	}
}

func TestABrokerCannotHaveThisClientComputeWithoutEnd(t *testing.T) {
	for iterations, good := range map[string]bool{"4096": true, "16384": true, "1000001": false, "99999999999999999999": false, "x": false} {
		m := &mechanism{s: SASL{Mechanism: "SCRAM-SHA-256", Username: "alice", Password: "p"}, files: &files{}}
		session, first, err := m.Authenticate(t.Context(), "host")
		if err != nil {
			t.Fatal(err)
		}
		_, nonce, _ := strings.Cut(string(first), ",r=")
		_, _, err = session.Challenge([]byte("r=" + nonce + "x,s=c2FsdA==,i=" + iterations))
		if good != (err == nil) {
			t.Errorf("%s iterations: %v", iterations, err)
		}
		if !good {
			continue
		}
		if _, _, err = session.Challenge([]byte("v=d3Jvbmc=")); err == nil || !strings.Contains(err.Error(), "is it the right broker?") {
			t.Errorf("a broker without the verifier: %v", err)
		}
	}
}

func TestATokenIsFetchedOnceAndAgainWhenItIsOldOrRefused(t *testing.T) {
	fetched, life, code := 0, 3600, http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetched++
		w.Header().Set("Content-Type", "application/json")
		if id, secret, _ := r.BasicAuth(); id != "id" || secret != "s/+?" {
			code = http.StatusUnauthorized
		}
		w.WriteHeader(code)
		if code != http.StatusOK {
			fmt.Fprint(w, `{"error":"invalid_client","error_description":"unknown"}`)
			return
		}
		fmt.Fprintf(w, `{"access_token":"token%d","expires_in":%d}`, fetched, life)
	}))
	defer server.Close()
	m := &mechanism{s: SASL{Mechanism: "OAUTHBEARER", Token: OAuth{URL: server.URL, ClientID: "id", Secret: "s/+?", Timeout: time.Second,
		Extensions: map[string]string{"logicalCluster": "lkc-1"}}}, files: &files{}}
	say := func(answer string) (string, error) {
		t.Helper()
		session, first, err := m.Authenticate(t.Context(), "host")
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = session.Challenge([]byte(answer))
		return string(first), err
	}
	if first, err := say(""); err != nil || first != "n,,\x01auth=Bearer token1\x01logicalCluster=lkc-1\x01\x01" {
		t.Errorf("says %q, %v", first, err)
	}
	if first, _ := say(""); !strings.Contains(first, "token1\x01") || fetched != 1 {
		t.Errorf("a good token is fetched again: %q", first)
	}
	if _, err := say(`{"status":"invalid_token"}`); err == nil || !strings.Contains(err.Error(), "invalid_token") {
		t.Errorf("refused: %v", err)
	}
	life = 0
	if first, _ := say(""); !strings.Contains(first, "token2\x01") {
		t.Errorf("a refused token is used again: %q", first)
	}
	if first, _ := say(""); !strings.Contains(first, "token3\x01") {
		t.Errorf("a token without a known life is used again: %q", first)
	}
	for status, temporary := range map[int]bool{http.StatusUnauthorized: false, http.StatusServiceUnavailable: true, http.StatusTooManyRequests: true} {
		code = status
		_, _, err := m.Authenticate(t.Context(), "host")
		var passing interface{ Temporary() bool }
		if err == nil || !errors.As(err, &passing) || passing.Temporary() != temporary || !strings.Contains(err.Error(), fmt.Sprint(status)) || strings.Contains(err.Error(), "s/+?") {
			t.Errorf("status %d: %v", status, err)
		}
	}
	code = http.StatusOK
	m.s.Token.Secret = "wrong"
	if _, _, err := m.Authenticate(t.Context(), "host"); err == nil || !strings.Contains(err.Error(), "invalid_client") {
		t.Errorf("wrong secret: %v", err)
	}
	server.Close()
	if _, _, err := m.Authenticate(t.Context(), "host"); err == nil || !strings.Contains(err.Error(), "gives no token") {
		t.Errorf("nobody there: %v", err)
	}
}

func TestATokenEndpointThatRedirectsGetsNoSecret(t *testing.T) {
	asked := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	m := &mechanism{s: SASL{Mechanism: "OAUTHBEARER", Token: OAuth{URL: server.URL, ClientID: "id", Secret: "secret", Timeout: time.Second}}, files: &files{}}
	if _, _, err := m.Authenticate(context.Background(), "host"); err == nil || asked {
		t.Errorf("%v, asked: %v", err, asked)
	}
}
