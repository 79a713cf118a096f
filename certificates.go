package spoold

import (
	"slices"
	"time"

	"github.com/spoold/spoold/protocol/conn/secure"
)

// Certificate is one that connections need. Where several belong together, as in a chain or a store of authorities, each is one.
type Certificate struct {
	Key       string    `json:"key,omitempty"` // of the configuration, that leads to it; "" for one that a broker showed
	Subject   string    `json:"subject"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Authority bool      `json:"authority"` // it is trusted to issue others' certificates, beside the other authorities of its key
}

// soon is when a certificate that is not renewed by a machine should be looked after.
const soon = 30 * 24 * time.Hour

// ExpiresSoon reports whether a certificate is to be renewed now, or has expired: less than 30 days are left, and less than a quarter
// of its lifetime. A short lifetime means that something renews it, long before that.
func (c *Certificate) ExpiresSoon(now time.Time) bool {
	left := c.NotAfter.Sub(now)
	return left < soon && left < c.NotAfter.Sub(c.NotBefore)/4
}

// Expiring is the one certificate of each key that ends what the key is for when it expires, in the order of the keys: the first of a chain to expire; of
// authorities, the first to expire of those that have not, or, if all have, the last one.
func Expiring(certs []Certificate, now time.Time) []Certificate {
	var out []Certificate
	for _, c := range certs {
		i := slices.IndexFunc(out, func(o Certificate) bool { return o.Key == c.Key })
		if i < 0 {
			out = append(out, c)
			continue
		}
		first, over := c.NotAfter.Before(out[i].NotAfter), c.Authority && (now.After(c.NotAfter) || now.After(out[i].NotAfter))
		if first != over {
			out[i] = c
		}
	}
	return out
}

// Certificates are those that the configuration names, from their files as they are now: this client's own and those of authorities. An error is a
// *ConfigError. What Validate finds wrong with these keys it does not look at.
func (c *Config) Certificates() ([]Certificate, error) {
	wrong := false
	c.checkSecurity(false, func(string, string, ...any) { wrong = true })
	if wrong {
		return nil, nil
	}
	s, err := c.security(nil)
	if err != nil {
		return nil, credentialError(err)
	}
	certs, err := s.Certificates()
	if err != nil {
		return nil, credentialError(err)
	}
	return certificatesOf(certs), nil
}

// expiringOf are the Expiring ones of a Producer: a store may hold each authority that there is.
func expiringOf(k *secure.Keeper, now time.Time) []Certificate {
	return Expiring(certificatesOf(k.Certificates(now)), now)
}

func certificatesOf(certs []secure.Certificate) []Certificate {
	out := make([]Certificate, len(certs))
	for i, c := range certs {
		out[i] = Certificate(c)
	}
	return out
}
