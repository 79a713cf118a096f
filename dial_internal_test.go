package spoold

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"
)

// fakeNetwork is names with addresses, some of which take no connection.
type fakeNetwork struct {
	names map[string][]string
	dead  map[string]bool
	tried []string
}

func (f *fakeNetwork) dialer() *dialer {
	d := newDialer(-1, -1)
	d.lookup = func(_ context.Context, host string) ([]string, error) {
		if addrs := f.names[host]; addrs != nil {
			return slices.Clone(addrs), nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	d.connect = func(_ context.Context, _, addr string) (net.Conn, error) {
		f.tried = append(f.tried, addr)
		if f.dead[addr] {
			return nil, errors.New("refused")
		}
		c, _ := net.Pipe()
		return c, nil
	}
	return d
}

func (f *fakeNetwork) tries(t *testing.T, d *dialer, addr string, ok bool, want ...string) {
	t.Helper()
	f.tried = nil
	_, err := d.dial(context.Background(), "tcp", addr)
	if (err == nil) != ok || !slices.Equal(f.tried, want) {
		t.Errorf("%s: %v, tried %v, want %v", addr, err, f.tried, want)
	}
}

func TestAllAddressesOfANameAreTriedInTurn(t *testing.T) {
	f := &fakeNetwork{names: map[string][]string{"kafka": {"10.0.0.1", "10.0.0.2", "::3"}}, dead: map[string]bool{"10.0.0.1:9092": true}}
	d := f.dialer()
	f.tries(t, d, "kafka:9092", true, "10.0.0.1:9092", "10.0.0.2:9092")
	f.tries(t, d, "kafka:9092", true, "[::3]:9092") // what is behind the second one may be of no use
	f.tries(t, d, "kafka:9092", true, "10.0.0.2:9092")
	f.dead["10.0.0.2:9092"], f.dead["[::3]:9092"] = true, true
	f.tries(t, d, "kafka:9092", false, "[::3]:9092", "10.0.0.2:9092", "10.0.0.1:9092")
	f.names["kafka"] = []string{"10.0.0.9"} // the name leads elsewhere now
	f.tries(t, d, "kafka:9092", true, "10.0.0.9:9092")
	f.tries(t, d, "10.0.0.7:9092", true, "10.0.0.7:9092")
	f.tries(t, d, "nowhere:9092", false)
}

func TestOneOfSeveralAddressesGetsItsShareOfTheTime(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	for n, want := range map[int]time.Duration{1: time.Hour, 2: 30 * time.Minute, 4: 15 * time.Minute} {
		share, cancel := shareOf(ctx, n)
		at, _ := share.Deadline()
		if d := time.Until(at); d > want || d < want-time.Minute {
			t.Errorf("of %d addresses the first gets %v, want %v", n, d, want)
		}
		cancel()
	}
	if share, _ := shareOf(context.Background(), 3); share != context.Background() {
		t.Error("a context without an end has one now")
	}
}
