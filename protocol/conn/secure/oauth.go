package secure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/spoold/spoold/protocol/conn"
)

// tokens keeps a fetched token as long as it is good.
type tokens struct {
	mu     sync.Mutex
	token  string
	until  time.Time
	proven bool // a broker has accepted it
}

// freshFor is the part of a token's life in which it is used again: Kafka's sasl.login.refresh.window.factor.
const freshFor = 0.8

// source names where the token comes from.
func (o *OAuth) source() string {
	switch {
	case o.Claims != nil:
		return ", token without signature"
	case o.Token != "":
		return ", token of the configuration"
	}
	return ", token from " + bare(o.URL)
}

// bare is an address without user, password, and query.
func bare(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that cannot be read"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

func (m *mechanism) bearer(ctx context.Context, host string, o *OAuth) (conn.Session, []byte, error) {
	token, err := m.token(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	if token == "" || strings.ContainsAny(token, "\x00\x01 \r\n\t") {
		return nil, nil, errors.New("the token is empty, or not one")
	}
	session, first, err := oauth.Auth{Token: token, Extensions: o.Extensions}.AsMechanism().Authenticate(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	return &bearerSession{session: session, m: m, token: token}, first, nil
}

// bearerSession notes whether the broker took the token.
type bearerSession struct {
	session conn.Session
	m       *mechanism
	token   string
}

func (s *bearerSession) Challenge(answer []byte) (bool, []byte, error) {
	t := &s.m.oauth
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(answer) > 0 { // why the token is refused, as JSON (RFC 7628)
		t.token = ""
		return false, nil, fmt.Errorf("the broker refuses the token: %.300q", answer)
	}
	if t.token == s.token {
		t.proven = true
	}
	return s.session.Challenge(answer)
}

// token gets one.
func (m *mechanism) token(ctx context.Context, o *OAuth) (string, error) {
	switch {
	case o.Claims != nil:
		return unsigned(o.Claims, o.Lifetime)
	case o.Token != "":
		token, err := m.files.expand(o.Token)
		return strings.TrimSpace(token), at("sasl.oauthbearer.token", err)
	}
	address, err := m.files.expand(o.URL)
	if err != nil {
		return "", at("sasl.oauthbearer.token.endpoint.url", err)
	}
	if u, err := url.Parse(address); err == nil && u.Scheme == "file" {
		text, err := m.files.read(u.Path)
		return strings.TrimSpace(string(text)), at("sasl.oauthbearer.token.endpoint.url", err)
	}
	t := &m.oauth
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.token != "" && t.proven && time.Now().Before(t.until) {
		return t.token, nil
	}
	got, err := m.fetch(ctx, address, o)
	if err != nil {
		return "", err
	}
	now := time.Now()
	t.token, t.proven, t.until = got.AccessToken, false, now
	if !got.Expiry.IsZero() {
		t.until = now.Add(time.Duration(freshFor * float64(got.Expiry.Sub(now))))
	}
	return t.token, nil
}

// fetch asks the token endpoint, with the client credentials grant.
func (m *mechanism) fetch(ctx context.Context, address string, o *OAuth) (*oauth2.Token, error) {
	id, err := m.files.expand(o.ClientID)
	if err != nil {
		return nil, at("sasl.oauthbearer.client.credentials.client.id", err)
	}
	secret, err := m.files.expand(o.Secret)
	if err != nil {
		return nil, at("sasl.oauthbearer.client.credentials.client.secret", err)
	}
	roots, err := poolOf(o.trusted(m.files))
	if err != nil {
		return nil, err
	}
	settings := &tls.Config{RootCAs: roots}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: settings, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: o.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error {
		return errors.New("the endpoint redirects, which would show the secret to another host")
	}}
	if !o.URLEncode {
		client.Transport = asTheyAre{transport, id, secret}
	}
	grant := clientcredentials.Config{ClientID: id, ClientSecret: secret, TokenURL: address, AuthStyle: oauth2.AuthStyleInHeader}
	if o.Scope != "" {
		grant.Scopes = strings.Fields(o.Scope)
	}
	token, err := grant.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err != nil {
		return nil, &tokenError{bare(address), err}
	}
	return token, nil
}

// asTheyAre sends id and secret without URL encoding, as Kafka's client does by default.
type asTheyAre struct {
	next       http.RoundTripper
	id, secret string
}

func (a asTheyAre) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.SetBasicAuth(a.id, a.secret)
	return a.next.RoundTrip(r)
}

// tokenError says why there is no token, in words that hold nothing secret.
type tokenError struct {
	address string
	err     error
}

func (e *tokenError) Error() string {
	var answer *oauth2.RetrieveError
	if !errors.As(e.err, &answer) {
		reason := e.err
		if asked := (*url.Error)(nil); errors.As(reason, &asked) {
			reason = asked.Err // without the address, whose query may hold a secret
		}
		text := fmt.Sprintf("the token endpoint %s gives no token: %v", e.address, reason)
		if unknown := (x509.UnknownAuthorityError{}); errors.As(reason, &unknown) {
			text += ": give the certificate of the authority that has issued the endpoint's with https.ca.location"
		}
		return text
	}
	text := fmt.Sprintf("the token endpoint %s answers", e.address)
	if answer.Response != nil {
		text += " " + answer.Response.Status
	}
	if answer.ErrorCode != "" {
		text += fmt.Sprintf(": %.100s %.200s", answer.ErrorCode, answer.ErrorDescription)
	}
	return strings.TrimSpace(text)
}

func (e *tokenError) Unwrap() error { return e.err }

// Temporary reports whether the endpoint may answer otherwise at the next attempt.
func (e *tokenError) Temporary() bool {
	var answer *oauth2.RetrieveError
	if errors.As(e.err, &answer) && answer.Response != nil {
		return answer.Response.StatusCode >= 500 || answer.Response.StatusCode == http.StatusTooManyRequests
	}
	var certificate *tls.CertificateVerificationError
	return !errors.As(e.err, &certificate)
}

// unsigned is a token that anybody could make: brokers take it only where they are set up for tests.
func unsigned(claims map[string]string, lifetime time.Duration) (string, error) {
	now := time.Now()
	if lifetime == 0 {
		lifetime = time.Hour // Kafka's default
	}
	body := map[string]any{"iat": now.Unix(), "exp": now.Add(lifetime).Unix()}
	for name, value := range claims {
		body[name] = value
	}
	text, err := json.Marshal(body)
	if err != nil {
		return "", err
	}
	enc := base64.RawURLEncoding
	return enc.EncodeToString([]byte(`{"alg":"none"}`)) + "." + enc.EncodeToString(text) + ".", nil
}

// trusted are the authorities of the token endpoint; none for the system's.
func (o *OAuth) trusted(f *files) ([]*x509.Certificate, string, error) {
	return trustedIn(f, &o.Authority, "https.ca.location", o.Certificates, "https.ca.pem")
}
