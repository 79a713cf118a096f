package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/access"
)

// certificates are all that the configuration names: of the link, of listeners, and of what telemetry goes to. A fault of a file leaves its
// certificates out: validation names it.
func (s *settings) certificates() []spoold.Certificate {
	all, _ := s.cfg.Certificates()
	for _, l := range []struct {
		name, addr string
		o          access.Options
	}{{"http", s.own.HTTPListen, s.own.HTTPAccess}, {"admin", s.own.AdminListen, s.own.AdminAccess}} {
		if listens(l.addr) {
			own, clients, _ := l.o.CheckCertificates()
			all = append(all, listenerCertificates(l.name, own, clients)...)
		}
	}
	if path := s.own.OTLPCertificate; path != "" {
		text, _ := os.ReadFile(path)
		all = append(all, certificatesOf("otel.exporter.otlp.certificate", true, access.Certificates(text))...)
	}
	return all
}

// listenerCertificates are those of http or admin.
func listenerCertificates(name string, own, clients []*x509.Certificate) []spoold.Certificate {
	return append(certificatesOf(name+".tls.certificate", false, own), certificatesOf(name+".tls.client.ca", true, clients)...)
}

func certificatesOf(key string, authority bool, certs []*x509.Certificate) []spoold.Certificate {
	out := make([]spoold.Certificate, len(certs))
	for i, c := range certs {
		out[i] = spoold.Certificate{Key: key, Subject: c.Subject.String(), NotBefore: c.NotBefore, NotAfter: c.NotAfter, Authority: authority}
	}
	return out
}

// gateOf is the gate of a listener.
type gateOf struct {
	name string
	*access.Gate
}

// addGate notes the gate of a listener; allGates are those of all.
func (d *daemon) addGate(name string, g *access.Gate) {
	all := append(d.allGates(), gateOf{name, g})
	d.gates.Store(&all)
}

func (d *daemon) allGates() []gateOf {
	if all := d.gates.Load(); all != nil {
		return *all
	}
	return nil
}

// peek is the producer's status with the certificates of listeners.
func (d *daemon) peek() *spoold.Status { return d.withCertificates(d.producer.Peek()) }

func (d *daemon) withCertificates(s *spoold.Status) *spoold.Status {
	for _, g := range d.allGates() {
		own, clients := g.Certificates()
		s.Certificates = append(s.Certificates, spoold.Expiring(listenerCertificates(g.name, own, clients), time.Now())...)
	}
	return s
}

// urgent is when status ends with 1 for a certificate.
const urgent = 7 * 24 * time.Hour

// expires reports whether one of the certificates has expired, or will within a week and is not renewed by a machine.
func expires(s *spoold.Status) bool {
	for i := range s.Certificates {
		c := &s.Certificates[i]
		if c.ExpiresSoon(s.Time) && c.NotAfter.Sub(s.Time) < urgent {
			return true
		}
	}
	return false
}

// printCertificates is a line of status for each that expires soon.
func printCertificates(b *strings.Builder, s *spoold.Status) {
	for i := range s.Certificates {
		c := &s.Certificates[i]
		switch left := c.NotAfter.Sub(s.Time); {
		case !c.ExpiresSoon(s.Time):
		case left <= 0:
			fmt.Fprintf(b, "expired   %s: the certificate (%s) expired %s ago\n", c.Key, c.Subject, age(-left.Seconds()))
		default:
			fmt.Fprintf(b, "expires   %s: the certificate (%s) expires in %s\n", c.Key, c.Subject, age(left.Seconds()))
		}
	}
}
