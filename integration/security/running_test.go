//go:build kafka

package security_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
)

// gssapi is a mechanism that a program brings, and that the test's broker does not offer.
type gssapi struct{}

func (gssapi) Name() string { return "GSSAPI" }

func (gssapi) Authenticate(context.Context, string) (spoold.MechanismSession, []byte, error) {
	return nil, []byte("x"), nil
}

// plainMechanism is one that it does.
type plainMechanism struct{}

func (plainMechanism) Name() string { return "PLAIN" }

func (plainMechanism) Authenticate(context.Context, string) (spoold.MechanismSession, []byte, error) {
	return over{}, []byte("\x00bob\x00bob-secret"), nil
}

type over struct{}

func (over) Challenge([]byte) (bool, []byte, error) { return true, nil, nil }

func TestAProgramBringsItsOwnMechanism(t *testing.T) {
	r := run(t, kafka.Newest, "SASL_SSL", nil)
	r.allow("bob")
	p := open(t, r.config(map[string]string{"security.protocol": "SASL_SSL", "ssl.ca.location": r.path("ca.pem")}), spoold.Env{SASL: plainMechanism{}})
	p.send("t", 10)
	p.drained()
	r.expect("t", 10)
}

// KIP-368: the broker ends sessions after two seconds. A client that authenticates in time does not notice.
func TestSessionsAreRenewedOnOpenConnections(t *testing.T) {
	for _, version := range []string{kafka.Newest, kafka.Last3x} {
		t.Run(version, func(t *testing.T) {
			r := run(t, version, "SASL_SSL", map[string]string{"listener.name.client.scram-sha-256.connections.max.reauth.ms": "2000"})
			password := r.file("password", "alice-secret")
			down := make(chan string, 100)
			p := open(t, r.config(map[string]string{"security.protocol": "SASL_SSL", "ssl.ca.location": r.path("ca.pem"), "sasl.mechanism": "SCRAM-SHA-256",
				"sasl.username": "alice", "sasl.password": "${file:" + password + "}"}), spoold.Env{Hooks: spoold.Hooks{LinkChanged: func(e spoold.LinkChanged) {
				if !e.Up {
					down <- e.Err
				}
			}}})
			p.send("t", 10)
			p.drained()
			for began := time.Now(); time.Since(began) < 9*time.Second; {
				p.send("t", 10)
				p.drained()
			}
			select {
			case why := <-down:
				t.Errorf("the link was down: %s", why)
			default:
			}
			// The user is taken away while it is connected.
			r.noScram("alice")
			deadline := time.Now().Add(patience)
			for p.Status().Link == "up" && time.Now().Before(deadline) {
				p.send("t", 1)
				time.Sleep(20 * time.Millisecond)
			}
			p.send("t", 1)
			p.down("refuses the credentials (SCRAM-SHA-256, user alice)")
			// And made again with another password, which is put into the file.
			r.scram("alice", "new-secret")
			r.file("password", "new-secret")
			p.drained()
			r.expect("t", p.n)
		})
	}
}

func TestRightsTakenAwayAndGivenBackWhileRunning(t *testing.T) {
	r := run(t, kafka.Newest, "SASL_SSL", nil)
	p := open(t, r.config(map[string]string{"security.protocol": "SASL_SSL", "ssl.ca.location": r.path("ca.pem"), "sasl.mechanism": "PLAIN",
		"sasl.username": "alice", "sasl.password": "alice-secret"}), spoold.Env{})
	p.send("t", 10)
	p.drained()
	r.disallow("alice")
	p.send("t", 10)
	p.comes("the missing right", func(st *spoold.Status) bool {
		p.send("t", 1)
		return len(st.Topics) == 1 && strings.Contains(st.Topics[0].Detail, "TOPIC_AUTHORIZATION_FAILED")
	})
	if st := p.Status(); st.Pending == 0 || st.DeadLettered > 0 || st.Link != "up" {
		t.Errorf("status %+v", st)
	}
	r.allow("alice")
	p.drained()
	r.expect("t", p.n)
}
