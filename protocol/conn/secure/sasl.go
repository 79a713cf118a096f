package secure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/spoold/spoold/protocol/conn"
)

// SASL is how this client authenticates. Texts may hold references.
type SASL struct {
	Mechanism string // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER
	JAAS      string // a line of sasl.jaas.config, in place of what follows

	Username  string
	Password  string
	TokenAuth bool // SCRAM: user and password are those of a delegation token

	Token OAuth
}

// OAuth is where OAUTHBEARER's token comes from: the first of Claims, Token, URL that is given.
type OAuth struct {
	Claims     map[string]string // of a token without signature, for tests
	Lifetime   time.Duration     // of such a token
	Token      string
	URL        string // https://… (client credentials), or file:///…
	ClientID   string
	Secret     string
	Scope      string
	URLEncode  bool              // client id and secret, before they are put together (RFC 6749)
	Extensions map[string]string // sent to the broker beside the token
	Authority  Store             // of the token endpoint's certificate; empty: the system's
	// Certificates are those of the authority as PEM text, in place of Authority.
	Certificates string
	Timeout      time.Duration
}

// mechanism follows references and reads files at each exchange.
type mechanism struct {
	s     SASL
	files *files
	oauth tokens
}

func (m *mechanism) Name() string { return m.s.Mechanism }

// String names the user as well, for errors.
func (m *mechanism) String() string {
	s, err := m.s.resolved(m.files)
	if err != nil {
		return m.s.Mechanism
	}
	if s.Mechanism == "OAUTHBEARER" {
		return s.Mechanism + s.Token.source()
	}
	user, err := m.files.expand(s.Username)
	if err != nil {
		user = s.Username
	}
	return fmt.Sprintf("%s, user %s", s.Mechanism, user)
}

// Authenticate begins an exchange.
func (m *mechanism) Authenticate(ctx context.Context, host string) (conn.Session, []byte, error) {
	s, err := m.s.resolved(m.files)
	if err != nil {
		return nil, nil, err
	}
	if s.Mechanism == "OAUTHBEARER" {
		return m.bearer(ctx, host, &s.Token)
	}
	user, err := m.files.expand(s.Username)
	if err != nil {
		return nil, nil, at("sasl.username", err)
	}
	password, err := m.files.expand(s.Password)
	if err != nil {
		return nil, nil, at("sasl.password", err)
	}
	if user == "" || password == "" {
		return nil, nil, errors.New("user or password is empty")
	}
	auth := scram.Auth{User: user, Pass: password, IsToken: s.TokenAuth}
	var how sasl.Mechanism
	switch s.Mechanism {
	case "PLAIN":
		how = plain.Auth{User: user, Pass: password}.AsMechanism()
	case "SCRAM-SHA-256":
		how = auth.AsSha256Mechanism()
	case "SCRAM-SHA-512":
		how = auth.AsSha512Mechanism()
	default:
		return nil, nil, fmt.Errorf("there is no mechanism %s here", s.Mechanism)
	}
	session, first, err := how.Authenticate(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	if s.Mechanism == "PLAIN" {
		return session, first, nil
	}
	return &scramSession{session: session}, first, nil
}

// try follows all references once.
func (m *mechanism) try() error {
	s, err := m.s.resolved(m.files)
	if err != nil {
		return err
	}
	for key, text := range map[string]string{"sasl.username": s.Username, "sasl.password": s.Password, "sasl.oauthbearer.token": s.Token.Token,
		"sasl.oauthbearer.client.credentials.client.id": s.Token.ClientID, "sasl.oauthbearer.client.credentials.client.secret": s.Token.Secret} {
		if _, err := m.files.expand(text); err != nil {
			return at(key, err)
		}
	}
	return nil
}

// scramSession keeps a broker from having this client compute without end, and what is derived from the
// password out of errors.
type scramSession struct {
	session sasl.Session
	second  bool
}

// maxIterations is what a broker may ask for. Kafka's own most is 16384.
const maxIterations = 1_000_000

func (s *scramSession) Challenge(answer []byte) (bool, []byte, error) {
	if s.second {
		done, next, err := s.session.Challenge(answer)
		if err != nil && !bytes.HasPrefix(answer, []byte("e=")) {
			err = errors.New("the broker does not prove that it has the password's verifier: is it the right broker?")
		}
		return done, next, err
	}
	s.second = true
	for field := range bytes.SplitSeq(answer, []byte(",")) {
		if digits, ok := bytes.CutPrefix(field, []byte("i=")); ok {
			if n, err := strconv.Atoi(string(digits)); err != nil || n > maxIterations {
				return false, nil, fmt.Errorf("the broker asks for %q iterations: at most %d are computed", digits, maxIterations)
			}
		}
	}
	return s.session.Challenge(answer)
}
