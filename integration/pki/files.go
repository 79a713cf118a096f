package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Files writes what brokers on this host need for TLS to dir: a file with a private key and its certificate, and one with who
// issued it, both PEM.
func Files(dir string) (broker, authority string, err error) {
	ca, err := issue(&x509.Certificate{Subject: pkix.Name{CommonName: "authority of the test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature}, nil)
	if err != nil {
		return "", "", err
	}
	own, err := issue(&x509.Certificate{Subject: pkix.Name{CommonName: "broker"}, NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, &Authority{ca.Cert, ca.CertPEM, ca.Key})
	if err != nil {
		return "", "", err
	}
	broker, authority = filepath.Join(dir, "broker.pem"), filepath.Join(dir, "ca.pem")
	for path, text := range map[string][]byte{broker: append(own.KeyPEM, own.CertPEM...), authority: ca.CertPEM} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return "", "", fmt.Errorf("pki: %w", err)
		}
	}
	return broker, authority, nil
}
