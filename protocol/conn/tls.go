package conn

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// tlsError says what a failed handshake means.
func tlsError(addr string, err error, trust *Trust) error {
	e := &SecurityError{Addr: addr, Err: err}
	own := brokersCertificate(err)
	var (
		unknown x509.UnknownAuthorityError
		name    x509.HostnameError
		invalid x509.CertificateInvalidError
		header  tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &name):
		e.What = fmt.Sprintf("its certificate is for %s, and not for %s: use a name that is in the certificate, or have a certificate made for this one",
			certificateNames(name.Certificate), name.Host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.What = validity(own, invalid.Cert)
	case errors.As(err, &invalid):
		e.What = fmt.Sprintf("its certificate%s is not valid for a server", issued(own))
	case errors.As(err, &unknown):
		e.What = notTrusted(own, unknown.Cert, trust)
	case errors.As(err, &header):
		e.What = "it does not answer with TLS: is this a plain-text listener (security.protocol)?"
	case isAlert(err):
		e.What = alert(err)
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || isTimeout(err):
		e.What, e.Passing = "it took the connection and does not answer the TLS handshake: is this a TLS listener?", true
	case errors.Is(err, context.Canceled):
		return &DialError{Addr: addr, Err: err}
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || isReset(err):
		e.What, e.Passing = "it closed the connection in the TLS handshake: is this a TLS listener (security.protocol)?", true
	default:
		e.What = "no TLS connection came about"
	}
	return e
}

// isAlert reports whether the broker ended the connection with a TLS alert. crypto/tls gives them no type
// of their own.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// alert says what a broker's TLS alert means.
func alert(err error) string {
	text := err.Error()
	for _, a := range []struct{ has, means string }{
		{"certificate required", "it wants a certificate from this client: give one with ssl.keystore.location"},
		{"expired certificate", "it says that this client's certificate has expired (ssl.keystore.location)"},
		{"revoked certificate", "it says that this client's certificate was revoked (ssl.keystore.location)"},
		{"unknown certificate authority", "it does not trust the issuer of this client's certificate (ssl.keystore.location)"},
		{"bad certificate", "it does not accept this client's certificate, or wants one and got none (ssl.keystore.location)"},
		{"unknown certificate", "it does not accept this client's certificate (ssl.keystore.location)"},
		{"unsupported certificate", "it does not support this client's kind of certificate (ssl.keystore.location)"},
		{"protocol version", "it has no version of TLS in common with this client (ssl.enabled.protocols)"},
		{"handshake failure", "it has no TLS settings in common with this client (ssl.cipher.suites, ssl.enabled.protocols), or wants a client certificate (ssl.keystore.location)"},
		{"unrecognized name", "it has no certificate for this name: use another name in bootstrap.servers"},
	} {
		if strings.Contains(text, a.has) {
			return a.means
		}
	}
	return "it ended the TLS connection"
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op != "remote error" && op.Op != "local error"
}

func certificateNames(cert *x509.Certificate) string {
	if cert == nil {
		return "another name"
	}
	names := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	switch {
	case len(names) == 0 && cert.Subject.CommonName != "":
		return "no host name (only the common name " + cert.Subject.CommonName + ", which does not count)"
	case len(names) == 0:
		return "no host name"
	case len(names) > 5:
		return strings.Join(names[:5], ", ") + fmt.Sprintf(" and %d more", len(names)-5)
	}
	return strings.Join(names, ", ")
}

// brokersCertificate is what the broker showed of itself, or nil: an error of verification may be about another certificate of its chain.
func brokersCertificate(err error) *x509.Certificate {
	var failed *tls.CertificateVerificationError
	if errors.As(err, &failed) && len(failed.UnverifiedCertificates) > 0 {
		return failed.UnverifiedCertificates[0]
	}
	return nil
}

func issued(cert *x509.Certificate) string {
	switch {
	case cert == nil:
		return ""
	case bytes.Equal(cert.RawSubject, cert.RawIssuer):
		return fmt.Sprintf(" (%s, issued by itself)", cert.Subject)
	}
	return fmt.Sprintf(" (%s, issued by %s)", cert.Subject, cert.Issuer)
}

// notTrusted says whose certificate is not trusted, which ones are, and what to add to them. last is where the search for an authority ended.
func notTrusted(own, last *x509.Certificate, trust *Trust) string {
	if own == nil {
		own = last
	}
	text := fmt.Sprintf("its certificate%s was issued by an authority that is not trusted here", issued(own))
	if own == nil || trust == nil {
		return text + ": give the authority's certificate with ssl.truststore.location"
	}
	if last == nil {
		last = own
	}
	authority := last.Issuer.String()
	if last != own && authority != own.Issuer.String() {
		text += ", nor is " + authority + " above it"
	}
	if trust.Key == "" {
		return text + fmt.Sprintf(": ssl.truststore.location is not given, so the system's certificates are trusted; give the certificate of %s with it", authority)
	}
	var names []string
	for _, cert := range trust.Certificates {
		if bytes.Equal(cert.RawSubject, last.RawIssuer) {
			return text + fmt.Sprintf(": %s has a certificate of that name, and with another key: put the one there that the broker's was issued with", trust.Key)
		}
		if len(names) < 3 {
			names = append(names, cert.Subject.String())
		}
	}
	held := strings.Join(names, "; ")
	if more := len(trust.Certificates) - len(names); more > 0 {
		held += fmt.Sprintf(" and %d more", more)
	}
	return text + fmt.Sprintf(": %s has %s; add the certificate of %s there", trust.Key, held, authority)
}

// validity says which way a certificate is out of its time: the broker's own, or one above it.
func validity(own, cert *x509.Certificate) string {
	whose, needs := "its certificate", "the broker needs a new one"
	if own != nil && cert != nil && !own.Equal(cert) {
		whose, needs = "the certificate of an authority above its own", "that authority needs a new one"
	}
	switch {
	case cert == nil:
		return "its certificate has expired or is not valid yet"
	case time.Now().After(cert.NotAfter):
		return fmt.Sprintf("%s (%s) expired at %s: %s, or is this host's clock wrong?", whose, cert.Subject, cert.NotAfter.UTC().Format(time.RFC3339), needs)
	}
	return fmt.Sprintf("%s (%s) is valid from %s only: is this host's clock wrong?", whose, cert.Subject, cert.NotBefore.UTC().Format(time.RFC3339))
}
