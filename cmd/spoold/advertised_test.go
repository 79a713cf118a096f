package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// advertised is a listener of a broker that gives out another address than the one it listens on.
type advertised struct {
	net.Listener
	addr net.TCPAddr
}

func (a advertised) Addr() net.Addr { return &a.addr }

// startUnreachable starts a cluster whose bootstrap server answers, and whose broker's advertised address
// takes no connection. It gives the bootstrap address.
func startUnreachable(t *testing.T) string {
	t.Helper()
	bootstrap := ""
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"), kfake.ListenFn(func(network, addr string) (net.Listener, error) {
		ln, err := net.Listen(network, addr)
		if err != nil {
			return nil, err
		}
		bootstrap = ln.Addr().String()
		return advertised{ln, net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}}, nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return bootstrap
}

// Law: while no advertised address can be reached, the link is down at every look, though the bootstrap server
// answers, and status, /readyz?link=1, the log and produce all name the address and the cause.
func TestAnUnreachableAdvertisedAddressIsNamed(t *testing.T) {
	t.Parallel()
	broker := startUnreachable(t)
	d := startDaemon(t, filepath.Join(t.TempDir(), "spool"), "-b", broker)
	if code, text := d.post(t, "/topics/orders", "", `{"records":[{"value":1}]}`); code != 200 {
		t.Fatalf("%d %s", code, text)
	}
	named := func(text string) bool {
		return strings.Contains(text, "127.0.0.1:1: ") && strings.Contains(text, "refused") && strings.Contains(text, "advertised.listeners")
	}
	await(t, func() bool { return named(statusOf(t, d.spool).LinkError) })
	for range 50 { // the bootstrap server answers in between
		if s := statusOf(t, d.spool); s.Link != "down" || !named(s.LinkError) {
			t.Fatalf("link %s: %s", s.Link, s.LinkError)
		}
	}
	if code, text := get(t, d.admin+"/readyz?link=1"); code != 503 || !named(text) {
		t.Errorf("readyz: %d %s", code, text)
	}
	if e := d.log.logged(t, "link.down"); !named(e["err"].(string)) {
		t.Errorf("the log says %v", e)
	}
	errs := ""
	for _, timeout := range []string{"100ms", "500ms", "2s", "10s"} { // a busy machine needs longer to find out
		var code int
		code, _, errs = run(t, "x\n", "produce", "-b", broker, "-t", "orders", "--spool", filepath.Join(t.TempDir(), "p"),
			"--timeout", timeout, "-X", "spool.min.free.bytes=1MiB")
		if code == exitUnavailable && named(errs) {
			return
		}
	}
	t.Errorf("produce: %s", errs)
}
