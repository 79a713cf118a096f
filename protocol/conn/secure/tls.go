package secure

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spoold/spoold/protocol/conn"
)

// Store is one store of certificates or keys: a file, or PEM text.
type Store struct {
	Type     string // JKS, PKCS12, PEM; "": as its content says
	Location string
	Password string
}

// TLS is how connections are encrypted. Texts may hold references.
type TLS struct {
	Truststore   Store
	Certificates string // trusted ones, as PEM text, in place of Truststore

	Keystore    Store
	KeyLocation string // PEM files, in place of Keystore
	CertLoc     string
	Key         string // PEM texts, in place of Keystore
	Chain       string
	KeyPassword string

	Versions     []string // TLSv1.2, TLSv1.3
	CipherSuites []string
	AnyHost      bool // do not compare the broker's name with its certificate
}

// versions by the names that Java has for them.
var versions = map[string]uint16{
	"TLSv1": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11, "TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13,
}

// VersionRange is the lowest and the highest of some versions of TLS.
func VersionRange(names []string) (low, high uint16, err error) {
	for _, name := range names {
		v, ok := versions[name]
		if !ok {
			return 0, 0, fmt.Errorf("there is no version %q here: TLSv1.2 and TLSv1.3 are, and for old brokers TLSv1 and TLSv1.1", name)
		}
		if low == 0 {
			low, high = v, v
		}
		low, high = min(low, v), max(high, v)
	}
	for v := low; v <= high && low != 0; v++ {
		if !slices.ContainsFunc(names, func(name string) bool { return versions[name] == v }) {
			return 0, 0, fmt.Errorf("leaves out a version between its lowest and its highest")
		}
	}
	return low, high, nil
}

// Suites are the numbers of cipher suites. Those of TLS 1.3 are always on, and may be named.
func Suites(names []string) ([]uint16, error) {
	var ids []uint16
	for _, name := range names {
		at := slices.IndexFunc(tls.CipherSuites(), func(s *tls.CipherSuite) bool { return s.Name == name })
		if at < 0 {
			var known []string
			for _, s := range tls.CipherSuites() {
				known = append(known, s.Name)
			}
			return nil, fmt.Errorf("there is no cipher suite %s here: there are %s", name, strings.Join(known, ", "))
		}
		ids = append(ids, tls.CipherSuites()[at].ID)
	}
	return ids, nil
}

// settings reads everything and makes crypto/tls settings of it.
func (t *TLS) settings(f *files) (*tls.Config, conn.Trust, error) {
	var trust conn.Trust
	c := &tls.Config{DynamicRecordSizingDisabled: true} // batches are large: full records from the first byte
	var err error
	if c.MinVersion, c.MaxVersion, err = VersionRange(t.Versions); err != nil {
		return nil, trust, at("ssl.enabled.protocols", err)
	}
	if c.CipherSuites, err = Suites(t.CipherSuites); err != nil {
		return nil, trust, at("ssl.cipher.suites", err)
	}
	if trust.Certificates, trust.Key, err = t.trusted(f); err == nil {
		c.RootCAs, err = poolOf(trust.Certificates, trust.Key, nil)
	}
	if err != nil {
		return nil, trust, err
	}
	if trust.Key == "ssl.truststore.location" {
		trust.Key += "=" + t.Truststore.Location
	}
	own, _, err := t.own(f)
	if err != nil {
		return nil, trust, err
	}
	if own != nil {
		// Also where the broker's list of authorities does not name its issuer: the broker says so, then, in words.
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if own.Leaf.NotAfter.Before(time.Now()) { // a broker would say less of it
				return nil, fmt.Errorf("this client's certificate (%s) expired at %s: put a new one where ssl.keystore.location or the keys in its place say", own.Leaf.Subject, own.Leaf.NotAfter.UTC().Format(time.RFC3339))
			}
			return own, nil
		}
	}
	if t.AnyHost {
		roots := c.RootCAs
		c.InsecureSkipVerify = true // replaced by all of it but the name:
		c.VerifyConnection = func(s tls.ConnectionState) error { return verifyChain(s.PeerCertificates, roots) }
	}
	return c, trust, nil
}

// verifyChain is crypto/tls's own check without the host name.
func verifyChain(chain []*x509.Certificate, roots *x509.CertPool) error {
	if len(chain) == 0 {
		return errors.New("the broker has no certificate")
	}
	between := x509.NewCertPool()
	for _, cert := range chain[1:] {
		between.AddCert(cert)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: between}); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: chain, Err: err} // as crypto/tls does
	}
	return nil
}

// trusted are none for the system's, and the key that names them.
func (t *TLS) trusted(f *files) ([]*x509.Certificate, string, error) {
	return trustedIn(f, &t.Truststore, "ssl.truststore.location", t.Certificates, "ssl.truststore.certificates")
}

// trustedIn is the certificates in a PEM text, or in a store, and the key that they are given by; none for the system's.
func trustedIn(f *files, store *Store, storeKey, text, textKey string) (certs []*x509.Certificate, key string, err error) {
	switch {
	case text != "":
		if text, err = f.expand(text); err == nil {
			certs, err = pemCertificates([]byte(text))
		}
		return certs, textKey, at(textKey, err)
	case store.Location != "":
		certs, err = store.trusted(f)
		return certs, storeKey, at(storeKey, err)
	}
	return nil, "", nil
}

// poolOf is nil for the system's certificates.
func poolOf(certs []*x509.Certificate, _ string, err error) (*x509.CertPool, error) {
	if err != nil || len(certs) == 0 {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, cert := range certs {
		pool.AddCert(cert)
	}
	return pool, nil
}

// own is this client's certificate and key, or nil, and the key that names the certificate.
func (t *TLS) own(f *files) (*tls.Certificate, string, error) {
	keyPassword, err := f.expand(t.KeyPassword)
	if err != nil {
		return nil, "", at("ssl.key.password", err)
	}
	pair := func(chain, key []byte, chainKey, keyKey string) (*tls.Certificate, string, error) {
		certs, err := pemCertificates(chain)
		if err != nil {
			return nil, "", at(chainKey, err)
		}
		private, err := pemKey(key, keyPassword)
		if err != nil {
			return nil, "", at(keyKey, err)
		}
		cert, err := assemble(certs, private)
		return cert, chainKey, at(keyKey, err)
	}
	switch {
	case t.Chain != "" || t.Key != "":
		chain, err := f.expand(t.Chain)
		if err != nil {
			return nil, "", at("ssl.keystore.certificate.chain", err)
		}
		key, err := f.expand(t.Key)
		if err != nil {
			return nil, "", at("ssl.keystore.key", err)
		}
		return pair([]byte(chain), []byte(key), "ssl.keystore.certificate.chain", "ssl.keystore.key")
	case t.CertLoc != "" || t.KeyLocation != "":
		chain, err := f.read(t.CertLoc)
		if err != nil {
			return nil, "", at("ssl.certificate.location", err)
		}
		key, err := f.read(t.KeyLocation)
		if err != nil {
			return nil, "", at("ssl.key.location", err)
		}
		return pair(chain, key, "ssl.certificate.location", "ssl.key.location")
	case t.Keystore.Location != "":
		cert, err := t.Keystore.pair(f, keyPassword)
		return cert, "ssl.keystore.location", at("ssl.keystore.location", err)
	}
	return nil, "", nil
}

// KeyError says which configuration key leads to what cannot be used.
type KeyError struct {
	Key string
	Err error
}

func (e *KeyError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *KeyError) Unwrap() error { return e.Err }

func at(key string, err error) error {
	if err == nil {
		return nil
	}
	return &KeyError{key, err}
}
