package conn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

const (
	saslHandshakeKey    int16 = 17
	saslAuthenticateKey int16 = 36
	// maxRounds bounds one exchange: no mechanism in use takes more than four.
	maxRounds = 20
)

// exchange sends one request and returns its answer.
type exchange func(ctx context.Context, req kmsg.Request) (kmsg.Response, error)

// login authenticates this client, and notes when that has to be done anew (KIP-368).
func (c *Conn) login(ctx context.Context, m Mechanism, ask exchange) error {
	c.renewAt = time.Time{}
	if m == nil {
		return nil
	}
	if err := c.handshake(ctx, m.Name(), ask); err != nil {
		return err
	}
	session, message, err := m.Authenticate(ctx, c.host())
	if err != nil {
		return c.credentials(m, err)
	}
	version, ok := c.versions.best(saslAuthenticateKey, -1)
	if !ok {
		return &SecurityError{Addr: c.addr, What: "it supports no SaslAuthenticate request: is it older than Kafka 1.0?"}
	}
	for done, round := false, 0; ; round++ {
		req := kmsg.NewPtrSASLAuthenticateRequest()
		req.Version, req.SASLAuthBytes = version, message
		began := time.Now()
		answer, err := ask(ctx, req)
		if err != nil {
			return c.cutOff(m, err)
		}
		resp := answer.(*kmsg.SASLAuthenticateResponse)
		if code := protocol.ErrorCode(resp.ErrorCode); code != protocol.None {
			return c.refused(m, code, resp.ErrorMessage)
		}
		if !done {
			if done, message, err = session.Challenge(resp.SASLAuthBytes); err != nil {
				return c.credentials(m, err)
			}
		}
		if done && len(message) == 0 {
			c.renew(began, resp.SessionLifetimeMillis)
			return nil
		}
		if round == maxRounds {
			return &SecurityError{Addr: c.addr, What: fmt.Sprintf("the %s exchange does not end", m.Name())}
		}
	}
}

// renew: a session ends some time after it began; Kafka's client asks for the next one after 85 to 95 % of that time.
func (c *Conn) renew(began time.Time, lifetimeMillis int64) {
	if lifetimeMillis > 0 {
		lifetimeMillis = min(lifetimeMillis, 1<<40) // 34 years
		c.renewAt = began.Add(time.Duration(float64(lifetimeMillis)*(0.85+0.1*rand.Float64())) * time.Millisecond)
	}
}

func (c *Conn) handshake(ctx context.Context, mechanism string, ask exchange) error {
	version, ok := c.versions.best(saslHandshakeKey, 1)
	if !ok || version < 1 {
		return &SecurityError{Addr: c.addr, What: "it supports no SaslHandshake request of version 1: is it older than Kafka 1.0?"}
	}
	req := kmsg.NewPtrSASLHandshakeRequest()
	req.Version, req.Mechanism = version, mechanism
	answer, err := ask(ctx, req)
	if err != nil {
		return err
	}
	resp := answer.(*kmsg.SASLHandshakeResponse)
	switch code := protocol.ErrorCode(resp.ErrorCode); code {
	case protocol.None:
		return nil
	case protocol.UnsupportedSaslMechanism:
		offers := "none"
		if len(resp.SupportedMechanisms) > 0 {
			slices.Sort(resp.SupportedMechanisms)
			offers = strings.Join(resp.SupportedMechanisms, ", ")
		}
		return &SecurityError{Addr: c.addr, What: fmt.Sprintf("this listener does not offer the SASL mechanism %s: it offers %s (sasl.mechanism)", mechanism, offers)}
	case protocol.IllegalSaslState:
		return &SecurityError{Addr: c.addr, What: "this listener does not use SASL: set security.protocol to PLAINTEXT or SSL, or use the port of another listener"}
	default:
		return &SecurityError{Addr: c.addr, What: "it answers SaslHandshake with an error", Err: code}
	}
}

// refused says that the broker did not take the credentials.
func (c *Conn) refused(m Mechanism, code protocol.ErrorCode, message *string) error {
	text := code.String()
	if message != nil && *message != "" {
		text += ": " + *message
	}
	return &SecurityError{Addr: c.addr, What: fmt.Sprintf("it refuses the credentials (%s): are user, password or token right, and not expired or revoked?", describe(m)), Err: errors.New(text)}
}

// cutOff: a broker may end the connection in place of an answer. Or it just ended.
func (c *Conn) cutOff(m Mechanism, err error) error {
	var lost *LostError
	if errors.As(err, &lost) && !lost.Timeout() {
		return &SecurityError{Addr: c.addr, What: fmt.Sprintf("it ended the connection in the middle of authentication (%s): are the credentials right?", describe(m)), Err: lost.Err, Passing: true}
	}
	return err
}

// credentials says that there is nothing to show, or that the broker's answer is wrong.
func (c *Conn) credentials(m Mechanism, err error) error {
	var passing interface{ Temporary() bool }
	return &SecurityError{Addr: c.addr, What: fmt.Sprintf("not authenticated (%s)", describe(m)), Err: err,
		Passing: errors.As(err, &passing) && passing.Temporary()}
}

// describe names the mechanism and, if it says so, the user.
func describe(m Mechanism) string {
	if s, ok := m.(fmt.Stringer); ok {
		return s.String()
	}
	return m.Name()
}

// relogin authenticates anew on a connection in use. The writer goroutine calls it: nothing else is
// written meanwhile, and answers to what was written before go on coming in.
func (w *writer) relogin() error {
	c := w.c
	ctx, cancel := context.WithTimeout(c.ctx, c.timeout)
	defer cancel()
	s, err := c.security(ctx)
	if err != nil {
		return &SecurityError{Addr: c.addr, What: "not authenticated anew", Err: err}
	}
	return c.login(ctx, s.SASL, w.exchange)
}

// exchange sends one request of the writer's own and waits for its answer, which the reader brings.
func (w *writer) exchange(ctx context.Context, req kmsg.Request) (kmsg.Response, error) {
	c := w.c
	type answer struct {
		resp kmsg.Response
		err  error
	}
	came := make(chan answer, 1)
	q := &call{req: req, timeout: c.timeout, done: func(resp kmsg.Response, _ bool, err error) { came <- answer{resp, err} }}
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, c.err
	}
	w.launch(q)
	c.mu.Unlock()
	w.send(q)
	select {
	case a := <-came:
		return a.resp, a.err
	case <-c.closing: // the reader waits for this goroutine before it answers what is left
		return nil, c.Err()
	}
}
