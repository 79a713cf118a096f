package conn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/pki"
)

// The message named the certificate of an authority as the broker's, where the broker sends that along, and not what is trusted here.
func TestACertificateThatIsNotTrustedIsNamedWithItsIssuerAndWhatIsTrusted(t *testing.T) {
	root, other := pki.New(t, "the root"), pki.New(t, "other authority")
	between := root.Under(t, "the company", time.Hour)
	again := pki.New(t, "the root") // made anew
	late := root.Under(t, "the late company", -time.Hour)
	leaf, deep := root.Issue(t, "broker 7", time.Hour, "127.0.0.1"), between.Issue(t, "broker 8", time.Hour, "127.0.0.1")
	alone := pki.New(t, "broker 9")
	expired := late.Issue(t, "broker 10", time.Hour, "127.0.0.1")
	shows := func(p *pki.Pair, above ...*x509.Certificate) string {
		cert := p.TLS()
		for _, c := range above {
			cert.Certificate = append(cert.Certificate, c.Raw)
		}
		return tlsPeer(t, &tls.Config{Certificates: []tls.Certificate{cert}}, func(nc net.Conn) { _ = hello(nc) })
	}
	const key = "ssl.truststore.location=/etc/ca.pem"
	for _, tt := range []struct {
		name    string
		addr    string
		trusted *pki.Authority
		want    string
	}{
		{"leaf alone", shows(leaf), other,
			"its certificate (CN=broker 7, issued by CN=the root) was issued by an authority that is not trusted here: " + key + " has CN=other authority; add the certificate of CN=the root there"},
		{"leaf with its authority", shows(leaf, root.Cert), other,
			"its certificate (CN=broker 7, issued by CN=the root) was issued by an authority that is not trusted here: " + key + " has CN=other authority; add the certificate of CN=the root there"},
		{"two authorities", shows(deep, between.Cert, root.Cert), other,
			"its certificate (CN=broker 8, issued by CN=the company) was issued by an authority that is not trusted here, nor is CN=the root above it: " + key + " has CN=other authority; add the certificate of CN=the root there"},
		{"an authority made anew", shows(leaf), again, key + " has a certificate of that name, and with another key: put the one there that the broker's was issued with"},
		{"an authority that has expired", shows(expired, late.Cert), root, "the certificate of an authority above its own (CN=the late company) expired at "},
	} {
		anchors := Trust{Key: key, Certificates: []*x509.Certificate{tt.trusted.Cert}}
		_, err := Dial(t.Context(), Options{Addr: tt.addr, RequestTimeout: patience, Security: with(Security{TLS: trust(tt.trusted), Trust: anchors})})
		var fault *SecurityError
		if !errors.As(err, &fault) || !strings.HasPrefix(fault.What, tt.want) && !strings.Contains(fault.What, ": "+tt.want) || !Lasting(err) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	for _, tt := range []struct {
		name  string
		trust *Trust
		chain []*x509.Certificate
		want  string
	}{
		{"the system's", &Trust{}, []*x509.Certificate{leaf.Cert}, "ssl.truststore.location is not given, so the system's certificates are trusted; give the certificate of CN=the root with it"},
		{"by itself", &Trust{Key: key, Certificates: []*x509.Certificate{other.Cert, root.Cert, between.Cert, late.Cert}}, []*x509.Certificate{alone.Cert},
			"its certificate (CN=broker 9, issued by itself) was issued by an authority that is not trusted here: " + key + " has CN=other authority; CN=the root; CN=the company and 1 more; add the certificate of CN=broker 9 there"},
		{"nothing known", nil, nil, "its certificate was issued by an authority that is not trusted here: give the authority's certificate with ssl.truststore.location"},
	} {
		var cause error = x509.UnknownAuthorityError{}
		if len(tt.chain) > 0 {
			cause = &tls.CertificateVerificationError{UnverifiedCertificates: tt.chain, Err: x509.UnknownAuthorityError{Cert: tt.chain[0]}}
		}
		if err := tlsError("broker:9093", cause, tt.trust); !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
