package conn

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// endless is a mechanism whose exchange is over after so many rounds.
type endless struct{ rounds int }

func (m *endless) Name() string { return "ENDLESS" }

func (m *endless) Authenticate(context.Context, string) (Session, []byte, error) {
	return m, []byte("first"), nil
}

func (m *endless) Challenge([]byte) (bool, []byte, error) {
	if m.rounds--; m.rounds <= 0 {
		return true, nil, nil
	}
	return false, []byte("next"), nil
}

func TestAnExchangeOfCredentialsEnds(t *testing.T) {
	for rounds, ends := range map[int]bool{1: true, maxRounds + 1: true, maxRounds + 2: false} {
		c := &Conn{addr: "broker:9092", versions: make(versions, 40)}
		for key := range c.versions {
			c.versions[key] = versionRange{0, 1}
		}
		asked := 0
		err := c.login(context.Background(), &endless{rounds}, func(_ context.Context, req kmsg.Request) (kmsg.Response, error) {
			if asked++; asked > 2*maxRounds+10 {
				return nil, errors.New("asked without end")
			}
			return req.ResponseKind(), nil
		})
		if (err == nil) != ends {
			t.Errorf("%d rounds: %v", rounds, err)
		}
		if want := 1 + min(rounds, maxRounds+1); asked != want {
			t.Errorf("%d rounds: asked %d times, want %d", rounds, asked, want)
		}
	}
}

// Kafka's client asks for the next session after 85 to 95 % of the time of the one at hand.
func TestASessionIsRenewedBeforeItEnds(t *testing.T) {
	began := time.Unix(1000, 0)
	for range 1000 {
		c := &Conn{}
		c.renew(began, 100_000)
		if d := c.renewAt.Sub(began); d < 85*time.Second || d > 95*time.Second {
			t.Fatalf("renewed after %v of 100 s", d)
		}
	}
	c := &Conn{}
	if c.renew(began, 0); !c.renewAt.IsZero() {
		t.Errorf("a session without end is renewed at %v", c.renewAt)
	}
	if c.renew(began, 1<<62); !c.renewAt.After(began) {
		t.Errorf("a session of many years is renewed at %v", c.renewAt)
	}
}
