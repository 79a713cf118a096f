package conn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/spoold/spoold/integration/pki"
	"github.com/spoold/spoold/protocol"
)

// alice is PLAIN with a password that may change, and counts how often it was asked.
type alice struct {
	password atomic.Pointer[string]
	asked    atomic.Int32
}

func newAlice(password string) *alice {
	a := new(alice)
	a.password.Store(&password)
	return a
}

func (*alice) Name() string   { return "PLAIN" }
func (*alice) String() string { return "PLAIN, user alice" }
func (a *alice) Authenticate(ctx context.Context, host string) (Session, []byte, error) {
	a.asked.Add(1)
	return plain.Auth{User: "alice", Pass: *a.password.Load()}.AsMechanism().Authenticate(ctx, host)
}

func with(s Security) func(context.Context) (Security, error) {
	return func(context.Context) (Security, error) { return s, nil }
}

func trust(cas ...*pki.Authority) *tls.Config {
	pool := x509.NewCertPool()
	for _, ca := range cas {
		pool.AddCert(ca.Cert)
	}
	return &tls.Config{RootCAs: pool}
}

func TestRequestsAreAnsweredOverTLSAndSASL(t *testing.T) {
	ca := pki.New(t, "authority")
	own := ca.Issue(t, "broker", time.Hour, "127.0.0.1")
	c := cluster(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{own.TLS()}}), kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", "right"))
	conn := dial(t, Options{Addr: c.ListenAddrs()[0], Security: with(Security{TLS: trust(ca), SASL: newAlice("right")})})
	id := topicID(t, conn)
	for i := range 20 {
		got := make(chan answer, 1)
		conn.Produce(produceOne(conn, id, batch(protocol.Sequence(i))), time.Minute, func(resp kmsg.Response, written bool, err error) {
			got <- answer{resp, written, err}
		})
		if a := wait(t, got, "the answer"); a.err != nil {
			t.Fatal(a.err)
		}
	}
}

// KIP-368: the session is renewed on the open connection, among requests of all kinds.
func TestASessionIsRenewedAmongRequests(t *testing.T) {
	c := cluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", "right"), kfake.BrokerConfigs(map[string]string{"connections.max.reauth.ms": "60"}))
	who := newAlice("right")
	conn := dial(t, Options{Addr: c.ListenAddrs()[0], Security: with(Security{SASL: who})})
	for began := time.Now(); who.asked.Load() < 5 && time.Since(began) < patience; {
		answers := make(chan error, 10)
		for range cap(answers) {
			conn.Do(metadata(conn), time.Minute, func(_ kmsg.Response, _ bool, err error) { answers <- err })
		}
		for range cap(answers) {
			if err := wait(t, answers, "an answer"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := who.asked.Load(); n < 5 {
		t.Errorf("authenticated %d times, want 5", n)
	}
	wrong := "wrong"
	who.password.Store(&wrong)
	deadline := time.After(patience)
	for conn.Err() == nil {
		select {
		case <-deadline:
			t.Fatal("the session goes on with a wrong password")
		case a := <-ask(t, conn, metadata(conn), time.Minute):
			if a.err != nil {
				wait(t, conn.Done(), "the connection's end")
			}
		}
	}
	var refused *SecurityError
	if err := conn.Err(); !errors.As(err, &refused) || !strings.Contains(err.Error(), "alice") {
		t.Errorf("ended with %v, want a *SecurityError that names the user", err)
	}
}

// saslPeer answers SaslHandshake with a code, and SaslAuthenticate with another.
func saslPeer(t *testing.T, handshake, authenticate protocol.ErrorCode) string {
	return peer(t, func(nc net.Conn) {
		for {
			r, err := receive(nc)
			if err != nil {
				return
			}
			var resp kmsg.Response
			switch r.key {
			case apiVersionsKey:
				v := kmsg.NewPtrApiVersionsResponse()
				v.Version = r.version
				for _, k := range [][3]int16{{0, 3, 13}, {3, 0, 13}, {17, 0, 1}, {18, 0, 4}, {36, 0, 2}} {
					v.ApiKeys = append(v.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: k[0], MinVersion: k[1], MaxVersion: k[2]})
				}
				resp = v
			case saslHandshakeKey:
				h := kmsg.NewPtrSASLHandshakeResponse()
				h.Version, h.ErrorCode, h.SupportedMechanisms = r.version, int16(handshake), []string{"SCRAM-SHA-512", "OAUTHBEARER"}
				resp = h
			case saslAuthenticateKey:
				a := kmsg.NewPtrSASLAuthenticateResponse()
				a.Version, a.ErrorCode, a.ErrorMessage = r.version, int16(authenticate), kmsg.StringPtr("Authentication failed: no such user")
				resp = a
			}
			body := resp.AppendTo(nil)
			if resp.IsFlexible() && r.key != apiVersionsKey {
				body = append([]byte{0}, body...)
			}
			if _, err := nc.Write(frame(r.correlation, body)); err != nil {
				return
			}
		}
	})
}

func TestEachRefusalOfCredentialsSaysWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name, addr string
		want       []string
		lasting    bool
	}{
		{"wrong credentials", saslPeer(t, 0, protocol.SaslAuthenticationFailed), []string{"refuses the credentials (PLAIN, user alice)", "SASL_AUTHENTICATION_FAILED", "no such user"}, true},
		{"mechanism not offered", saslPeer(t, protocol.UnsupportedSaslMechanism, 0), []string{"does not offer the SASL mechanism PLAIN", "OAUTHBEARER, SCRAM-SHA-512"}, true},
		{"no SASL here", saslPeer(t, protocol.IllegalSaslState, 0), []string{"does not use SASL", "security.protocol"}, true},
		{"a broker without SASL requests", peer(t, func(nc net.Conn) { _ = hello(nc) }), []string{"older than Kafka 1.0"}, true},
		{"a broker that hangs up", peer(t, func(nc net.Conn) { _ = hello(nc) }), []string{"older than Kafka 1.0"}, true},
	} {
		_, err := Dial(t.Context(), Options{Addr: tt.addr, Security: with(Security{SASL: newAlice("secret-secret")})})
		for _, w := range tt.want {
			if err == nil || !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", tt.name, err, w)
			}
		}
		if Lasting(err) != tt.lasting || strings.Contains(fmt.Sprint(err), "secret-secret") {
			t.Errorf("%s: %v is lasting: %v", tt.name, err, Lasting(err))
		}
	}
}

// tlsPeer shakes hands and then plays script.
func tlsPeer(t *testing.T, c *tls.Config, script func(nc net.Conn)) string {
	return peer(t, func(nc net.Conn) {
		secured := tls.Server(nc, c)
		if secured.Handshake() == nil {
			script(secured)
		}
	})
}

func TestEachFaultOfACertificateSaysWhatToDo(t *testing.T) {
	ca, other := pki.New(t, "our authority"), pki.New(t, "other authority")
	good := ca.Issue(t, "broker", time.Hour, "127.0.0.1")
	serve := func(p *pki.Pair) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{p.TLS()}} }
	wantsClient := serve(good)
	wantsClient.ClientAuth, wantsClient.ClientCAs = tls.RequireAndVerifyClientCert, trust(ca).RootCAs
	old := serve(good)
	old.MaxVersion = tls.VersionTLS12
	newest := trust(ca)
	newest.MinVersion = tls.VersionTLS13
	shown := trust(ca)
	foreign := other.Issue(t, "client", time.Hour)
	shown.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		cert := foreign.TLS()
		return &cert, nil
	}
	talk := func(nc net.Conn) { _ = hello(nc) }
	for _, tt := range []struct {
		name    string
		addr    string
		client  *tls.Config
		want    string
		lasting bool
	}{
		{"another authority", tlsPeer(t, serve(good), talk), trust(other), "issued by an authority that is not trusted here", true},
		{"another host", tlsPeer(t, serve(ca.Issue(t, "b", time.Hour, "kafka.example.com", "10.0.0.1")), talk), trust(ca), "is for kafka.example.com, 10.0.0.1, and not for 127.0.0.1", true},
		{"no host at all", tlsPeer(t, serve(ca.Issue(t, "127.0.0.1", time.Hour)), talk), trust(ca), "only the common name", true},
		{"expired", tlsPeer(t, serve(ca.Issue(t, "b", -time.Minute, "127.0.0.1")), talk), trust(ca), "expired at", true},
		{"no certificate of ours", tlsPeer(t, wantsClient, talk), trust(ca), "ssl.keystore.location", true},
		{"a certificate of ours that is not trusted", tlsPeer(t, wantsClient, talk), shown, "ssl.keystore.location", true},
		{"no version in common", tlsPeer(t, old, talk), newest, "ssl.enabled.protocols", true},
		{"plain text that answers", peer(t, func(nc net.Conn) { _, _ = io.WriteString(nc, "HTTP/1.1 400 Bad Request\r\n\r\n") }), trust(ca), "does not answer with TLS", true},
		{"plain text that hangs up", peer(t, func(nc net.Conn) { _, _ = nc.Read(make([]byte, 2000)) }), trust(ca), "is this a TLS listener", false},
	} {
		_, err := Dial(t.Context(), Options{Addr: tt.addr, RequestTimeout: patience, Security: with(Security{TLS: tt.client})})
		var fault *SecurityError
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.addr) || Lasting(err) != tt.lasting {
			t.Errorf("%s: %v, want %q (lasting: %v)", tt.name, err, tt.want, Lasting(err))
		}
	}
	silent := peer(t, func(nc net.Conn) { _, _ = io.Copy(io.Discard, nc) })
	if _, err := Dial(t.Context(), Options{Addr: silent, RequestTimeout: 50 * time.Millisecond, Security: with(Security{TLS: trust(ca)})}); err == nil || Lasting(err) || !strings.Contains(err.Error(), "does not answer the TLS handshake") {
		t.Errorf("a peer that says nothing: %v", err)
	}
}

func TestWhatCannotBeReadIsSaidAndNothingIsSent(t *testing.T) {
	var sent atomic.Bool
	addr := peer(t, func(nc net.Conn) {
		if n, _ := nc.Read(make([]byte, 1)); n > 0 {
			sent.Store(true)
		}
	})
	why := errors.New("ssl.truststore.location: no such file")
	_, err := Dial(t.Context(), Options{Addr: addr, Security: func(context.Context) (Security, error) { return Security{}, why }})
	if !errors.Is(err, why) || !Lasting(err) || sent.Load() {
		t.Errorf("Dial = %v, sent: %v", err, sent.Load())
	}
}

func TestAListenerThatWantsSASLIsToldApartFromOneThatEnds(t *testing.T) {
	c := cluster(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", "right"))
	conn := dial(t, Options{Addr: c.ListenAddrs()[0]})
	if a := wait(t, ask(t, conn, metadata(conn), time.Minute), "the answer"); a.err == nil || !strings.Contains(a.err.Error(), "does this listener want SASL") {
		t.Errorf("without credentials: %v", a.err)
	}
}
