package access

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
)

// served is what a listener serves with, and the certificates in it.
type served struct {
	tls     *tls.Config
	own     []*x509.Certificate // the chain
	clients []*x509.Certificate // authorities of clients
}

// openTLS reads certificates, and the authorities of clients.
func openTLS(o Options, told func(error)) (*cached[served], error) {
	paths := []string{o.Certificate}
	if o.Key != "" && o.Key != o.Certificate {
		paths = append(paths, o.Key)
	}
	if o.ClientCA != "" {
		paths = append(paths, o.ClientCA)
	}
	return open(paths, told, func(texts [][]byte, _ *served) (*served, error) {
		key := texts[0]
		if o.Key != "" && o.Key != o.Certificate {
			key = texts[1]
		}
		pair, err := tls.X509KeyPair(texts[0], key)
		if err != nil {
			return nil, err // crypto/tls quotes nothing of a key
		}
		s := &served{tls: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}}
		for _, der := range pair.Certificate {
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				return nil, err
			}
			s.own = append(s.own, cert)
		}
		if o.ClientCA == "" {
			return s, nil
		}
		// Those that cannot be read are left out, as x509.CertPool does.
		if s.clients = Certificates(texts[len(texts)-1]); len(s.clients) == 0 {
			return nil, errors.New(o.ClientCA + " holds no certificate in PEM")
		}
		s.tls.ClientCAs = x509.NewCertPool()
		for _, cert := range s.clients {
			s.tls.ClientCAs.AddCert(cert)
		}
		// Whoever has none is answered 401, which says more than a broken handshake.
		s.tls.ClientAuth = tls.VerifyClientCertIfGiven
		return s, nil
	})
}

// Certificates are those in a PEM text that can be read.
func Certificates(text []byte) (certs []*x509.Certificate) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return certs
		}
		if block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			continue
		}
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
			certs = append(certs, cert)
		}
	}
}

// TLS is what a listener serves with; nil: no TLS. Each connection gets the files as they are then.
func (g *Gate) TLS() *tls.Config {
	if g.certs == nil {
		return nil
	}
	c := g.certs.get().tls.Clone()
	c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return g.certs.get().tls, nil }
	return c
}

// Certificates are those that the listener serves with now, and those of the authorities of its clients.
func (g *Gate) Certificates() (own, clients []*x509.Certificate) {
	if g.certs == nil {
		return nil, nil
	}
	s := g.certs.get()
	return s.own, s.clients
}

// Check says whether a listener on addr may be opened, and what an operator should be warned of. name begins the
// keys of the listener: http or admin.
func (o Options) Check(name string, addr net.Addr) (warnings []string, err error) {
	if loopback(addr) {
		return nil, nil
	}
	where := name + ".listen " + addr.String()
	protected := o.Users != "" || o.Certificate != ""
	switch {
	case !protected && !o.Insecure:
		return nil, errors.New(where + " can be reached from other hosts, and anybody may use it: set " + name + ".users, or " + name +
			".tls.certificate with " + name + ".tls.client.ca; or listen on 127.0.0.1; or set " + name + ".insecure: true if that is meant")
	case o.Users == "" && o.ClientCA == "":
		warnings = append(warnings, where+" can be reached from other hosts, and whoever reaches it may use it: "+name+".users and "+name+".tls.client.ca are not set")
	}
	if o.Certificate == "" {
		warnings = append(warnings, where+" can be reached from other hosts without TLS: what is sent to it, passwords and tokens too, can be read on the way")
	}
	return warnings, nil
}

// loopback reports whether only this host can reach an address.
func loopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return !ok || tcp.IP.IsLoopback()
}
