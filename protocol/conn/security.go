package conn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
)

// Security is what a listener asks for. The zero value is a PLAINTEXT listener's.
type Security struct {
	// TLS encrypts the connection; nil: plain text. An empty ServerName is filled in with the host that is dialled.
	TLS *tls.Config
	// Trust is what TLS trusts, for people.
	Trust Trust
	// SASL authenticates this client; nil: the listener asks for no credentials.
	SASL Mechanism
}

// Trust is which authorities' certificates are trusted.
type Trust struct {
	Key          string // configuration key that they are given by, with its value if that is a path; "": none, so it is the system's
	Certificates []*x509.Certificate
}

// Mechanism is a SASL mechanism. Its methods may be called from several goroutines.
type Mechanism interface {
	// Name is what brokers call it, such as SCRAM-SHA-256.
	Name() string
	// Authenticate begins an exchange with the broker at host, and returns the first message. It may block as long as ctx lets it,
	// for instance to fetch a token.
	Authenticate(ctx context.Context, host string) (Session, []byte, error)
}

// Session is one exchange. One goroutine calls it.
type Session interface {
	// Challenge takes the broker's answer, and returns the next message, or that the exchange is over.
	Challenge(answer []byte) (done bool, next []byte, err error)
}

// SecurityError says that a connection was given up because of certificates, credentials, or of what
// the listener asks for. Most of these last until somebody changes something.
type SecurityError struct {
	Addr string
	What string // what was wrong, and what to do
	Err  error
	// Passing: it may be over at the next attempt, as when a broker ends in the middle of a handshake.
	Passing bool
}

func (e *SecurityError) Error() string {
	s := fmt.Sprintf("broker %s: %s", e.Addr, e.What)
	if e.Err != nil {
		s += " (" + e.Err.Error() + ")"
	}
	return s
}

func (e *SecurityError) Unwrap() error { return e.Err }

// Lasting reports whether err is of a kind that lasts until certificates, credentials or settings are changed, so that
// attempts in quick succession are of no use.
func Lasting(err error) bool {
	var e *SecurityError
	return errors.As(err, &e) && !e.Passing
}

// secure makes the connection what the listener asks for, as far as that comes before the first request.
func (c *Conn) secure(ctx context.Context) (Security, error) {
	if c.security == nil {
		return Security{}, nil
	}
	s, err := c.security(ctx)
	if err != nil {
		return s, &SecurityError{Addr: c.addr, What: "not connected", Err: err}
	}
	if s.TLS == nil {
		return s, nil
	}
	settings := s.TLS
	if settings.ServerName == "" {
		settings = settings.Clone()
		settings.ServerName = c.host()
	}
	nc := tls.Client(c.raw, settings)
	if err := nc.HandshakeContext(ctx); err != nil {
		return s, tlsError(c.addr, err, &s.Trust)
	}
	c.nc, c.encrypted = nc, true
	return s, nil
}

// Certificates are those that the broker showed, its own first; none without TLS.
func (c *Conn) Certificates() []*x509.Certificate {
	if t, ok := c.nc.(*tls.Conn); ok {
		return t.ConnectionState().PeerCertificates
	}
	return nil
}

// host is the part of the address that certificates name.
func (c *Conn) host() string {
	host, _, err := net.SplitHostPort(c.addr)
	if err != nil {
		return c.addr
	}
	return host
}
