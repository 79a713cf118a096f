package secure

import (
	"crypto/x509"
	"time"
)

// Certificate is one that connections need, and the key of the configuration that leads to it.
type Certificate struct {
	Key       string
	Subject   string
	NotBefore time.Time
	NotAfter  time.Time
	Authority bool // others' certificates may be from it; it is not one of this client's own
}

// CertificateOf is what is of interest in a certificate.
func CertificateOf(key string, authority bool, c *x509.Certificate) Certificate {
	return Certificate{Key: key, Subject: c.Subject.String(), NotBefore: c.NotBefore, NotAfter: c.NotAfter, Authority: authority}
}

// Certificates are those that the settings name, from files as they are now. The error is a *KeyError.
func (s *Settings) Certificates() ([]Certificate, error) { return s.certificates(&files{}) }

func (s *Settings) certificates(f *files) (all []Certificate, err error) {
	if s.TLS != nil {
		own, key, err := s.TLS.own(f)
		if err != nil {
			return nil, err
		}
		if own != nil {
			for _, der := range own.Certificate {
				cert, err := x509.ParseCertificate(der)
				if err != nil {
					return nil, at(key, err)
				}
				all = append(all, CertificateOf(key, false, cert))
			}
		}
		trusted, key, err := s.TLS.trusted(f)
		if err != nil {
			return nil, err
		}
		all = append(all, trustedBy(key, trusted)...)
	}
	if s.SASL != nil && s.SASL.Token.URL != "" {
		trusted, key, err := s.SASL.Token.trusted(f)
		if err != nil {
			return nil, err
		}
		all = append(all, trustedBy(key, trusted)...)
	}
	return all, nil
}

func trustedBy(key string, certs []*x509.Certificate) (all []Certificate) {
	for _, cert := range certs {
		all = append(all, CertificateOf(key, true, cert))
	}
	return all
}

// lookEvery is how often a Keeper looks for changed files when it is asked for certificates.
const lookEvery = time.Minute

// Certificates are those that the files had that were read last; it looks at most once a minute for changed ones. While they cannot be used it gives
// the former ones.
func (k *Keeper) Certificates(now time.Time) []Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Sub(k.looked) < lookEvery && k.lookedEra == k.era {
		return k.certificates
	}
	k.looked = now
	if stamp := k.files.stamp(); k.lookedEra != k.era || stamp != k.lookedStamp {
		if certs, err := k.set.certificates(k.files); err == nil {
			k.certificates, k.lookedEra, k.lookedStamp = certs, k.era, stamp
		}
	}
	return k.certificates
}
