package access

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/spoold/spoold/integration/pki"
)

// cheap is a hash that a test can afford.
func cheap(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// testGate is a gate with a users file, a clock of the test, and what it logged.
type testGate struct {
	*Gate
	file string
	log  *bytes.Buffer
	now  time.Time
}

func newGate(t testing.TB, text string) *testGate {
	t.Helper()
	tg := &testGate{file: write(t, filepath.Join(t.TempDir(), "users.yaml"), text), log: &bytes.Buffer{}, now: time.Unix(1e9, 0)}
	g, err := New(Options{Users: tg.file}, slog.New(slog.NewTextHandler(tg.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	tg.Gate = g
	g.clock = func() time.Time { return tg.now }
	g.users.clock = g.clock
	return tg
}

func (g *testGate) enter(address, authorization string) (string, *Denied) {
	r := httptest.NewRequest(http.MethodPost, "/topics/t", nil)
	r.RemoteAddr = address
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	u, denied := g.Enter(r)
	if denied != nil {
		return "", denied
	}
	return u.Name(), nil
}

func basic(name, password string) string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(name, password)
	return r.Header.Get("Authorization")
}

const here, there = "10.0.0.1:5000", "10.0.0.2:5000"

func TestPasswordsAndTokensOpenTheGateForTheirUsersAlone(t *testing.T) {
	token := NewToken()
	hash, err := HashToken([]byte(token))
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, fmt.Sprintf("alice:\n  password: %s\n  topics: [orders, audit.*]\nsensor:\n  tokens: %s\n  topics: '*'\n  admin: read\n", cheap(t, "right-password"), hash))
	for range 2 { // the second time the password is known
		if name, denied := g.enter(here, basic("alice", "right-password")); denied != nil || name != "alice" {
			t.Fatalf("alice: %q, %+v", name, denied)
		}
	}
	if name, denied := g.enter(here, "bearer  "+token); denied != nil || name != "sensor" {
		t.Fatalf("sensor: %q, %+v", name, denied)
	}
	for _, header := range []string{"", basic("alice", "wrong-password"), basic("bob", "right-password"), basic("sensor", token), basic("alice", ""), "Bearer x", "Bearer",
		"Basic !", "Digest x", basic("alice", strings.Repeat("x", 100)), "Bearer " + hash} {
		if name, denied := g.enter(here, header); denied == nil || denied.Status != 401 {
			t.Errorf("%q: %q, %+v, want 401", header, name, denied)
		}
	}
	us := g.users.get()
	for topic, want := range map[string]bool{"orders": true, "orders2": false, "audit.x": true, "audit.": true, "audit": false, "": false} {
		if us.byName["alice"].MaySend(topic) != want {
			t.Errorf("alice may send to %q: %v", topic, !want)
		}
	}
	if a, s := us.byName["alice"], us.byName["sensor"]; a.MayRead() || !s.MayRead() || s.MayOperate() || !s.MaySend("any") {
		t.Error("what the users may do is wrong")
	}
	for _, secret := range []string{"right-password", "wrong-password", token, hash, "bob"} {
		if strings.Contains(g.log.String(), secret) {
			t.Errorf("the log shows %s: %s", secret, g.log)
		}
	}
}

func TestGuessingIsSlowedDownForItsAddressAndUserAlone(t *testing.T) {
	token := NewToken()
	hash, err := HashToken([]byte(token))
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, fmt.Sprintf("alice:\n  password: %s\n  topics: '*'\ncarol:\n  password: %s\n  tokens: %s\n  topics: '*'\n", cheap(t, "right-password"), cheap(t, "carols-password"), hash))
	if _, denied := g.enter(here, basic("alice", "right-password")); denied != nil {
		t.Fatal(denied)
	}
	guess := func(address, header string, want int) {
		t.Helper()
		if _, denied := g.enter(address, header); denied == nil && want != 200 || denied != nil && denied.Status != want {
			t.Fatalf("%+v, want %d", denied, want)
		}
	}
	for range guessBurst {
		guess(here, basic("alice", "wrong-password"), 401)
	}
	guess(here, basic("alice", "wrong-password"), 429)
	guess(here, basic("alice", "right-password"), 429) // or the cache would say which one is right
	guess(there, basic("alice", "right-password"), 200)
	guess(here, basic("carol", "carols-password"), 200)
	g.now = g.now.Add(guessEvery)
	guess(here, basic("alice", "wrong-password"), 401)
	guess(here, basic("alice", "wrong-password"), 429)
	g.now = g.now.Add(guessEvery)
	guess(here, basic("alice", "right-password"), 200)
	for range guessBurst {
		guess(here, "Bearer nonsense", 401)
	}
	guess(here, "Bearer nonsense", 429)
	guess(here, "Bearer "+token, 200)
	if lines := strings.Count(g.log.String(), "access.denied"); lines > 6 {
		t.Errorf("%d lines: %s", lines, g.log)
	}
}

func TestGuessersThatAreRememberedAreBounded(t *testing.T) {
	var g guesses
	for i := range 3 * maxGuests {
		g.wrong(guesser{from: network(fmt.Sprintf("[2001:db8:%x:%x::1]:80", i>>8, i&255))}, time.Unix(1, 0))
	}
	if len(g.by) != maxGuests || g.order.Len() != maxGuests {
		t.Errorf("%d and %d are remembered, want %d", len(g.by), g.order.Len(), maxGuests)
	}
	if network("[2001:db8::1]:1") != network("[2001:db8::ffff:2]:9") || network("10.0.0.1:1") == network("10.0.0.2:1") || network("[::ffff:10.0.0.1]:1") != network("10.0.0.1:1") {
		t.Error("what counts as one address is wrong")
	}
}

func TestAChangedUsersFileIsInForceAndAFaultyOneChangesNothing(t *testing.T) {
	g := newGate(t, "alice:\n  password: "+cheap(t, "first-password")+"\n  topics: '*'\n")
	can := func(password string, want bool) {
		t.Helper()
		g.now = g.now.Add(time.Minute)
		if _, denied := g.enter(here, basic("alice", password)); (denied == nil) != want {
			t.Errorf("%s: %+v", password, denied)
		}
	}
	can("first-password", true)
	write(t, g.file, "alice:\n  password: "+cheap(t, "other-password")+"\n  topics: [a, b]\n")
	can("first-password", false)
	can("other-password", true)
	if n := strings.Count(g.log.String(), "access.changed"); n != 1 {
		t.Errorf("%d times it is said that the file is in force, want once: %s", n, g.log)
	}
	write(t, g.file, "alice: [")
	can("other-password", true)
	if err := g.Reload(); err == nil || !strings.Contains(g.log.String(), "access.fault") {
		t.Errorf("Reload: %v; log %s", err, g.log)
	}
	if err := os.Remove(g.file); err != nil {
		t.Fatal(err)
	}
	can("other-password", true)
}

func TestEachFaultOfAUsersFileIsSaidWithoutItsSecrets(t *testing.T) {
	hash := cheap(t, "some-password")
	for _, tt := range []struct{ text, want string }{
		{"", "names no user"},
		{"alice:", "says nothing"},
		{"alice: {topics: x}", "has no password, tokens or certificates"},
		{"alice: {password: " + hash + "}", "may do nothing"},
		{"alice: {password: secret-in-clear, topics: x}", "spoold hash-password"},
		{"alice: {tokens: secret-in-clear, topics: x}", "spoold hash-token"},
		{"alice: {tokens: [{a: secret-in-clear}], topics: x}", "line 1"},
		{"alice: {pasword: secret-in-clear, topics: x}", "pasword"},
		{"alice: secret-in-clear", "line 1"},
		{"alice: {password: " + hash + ", topics: 'a*b'}", "a star stands for any ending"},
		{"alice: {password: " + hash + ", admin: root}", "none, read or operate"},
		{"a:b: {password: " + hash + ", topics: x}", "colon"},
		{"alice: {password: " + hash + ", topics: x, bytes.per.second: many}", "bytes.per.second"},
		{"alice: {password: " + hash + ", topics: x, records.per.second: -1}", "records.per.second"},
		{"alice: {certificates: CN=x, topics: x}\nbob: {certificates: CN=x, topics: x}", `user "bob"`},
		{"alice: {certificates: CN=x, topics: x}\n---\nbob: {certificates: CN=y, topics: x}", "line 3: a second YAML document"},
		{"alice: &a {certificates: CN=x, topics: x}\nbob: *a", "there twice"},
	} {
		_, err := parseUsers([]byte(tt.text), nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "secret-in-clear") || strings.Contains(err.Error(), hash) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
	}
}

func TestAUserWhoSentTooMuchWaitsUntilItIsPaidOff(t *testing.T) {
	us, err := parseUsers([]byte("\uFEFFa: {certificates: x, topics: x, records.per.second: 10, bytes.per.second: 1k}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	now, u := time.Unix(1e9, 0), us.byName["a"]
	if w := u.Wait(now); w != 0 {
		t.Errorf("at first %v", w)
	}
	u.Spend(now, 35, 10) // 25 are owed
	if w := u.Wait(now); w < 2500*time.Millisecond || w > 2700*time.Millisecond {
		t.Errorf("after 35 records at 10 a second: %v", w)
	}
	again, err := parseUsers([]byte("a: {certificates: y, topics: x, records.per.second: 10, bytes.per.second: 1KiB}"), us)
	if err != nil || again.byName["a"].Wait(now) == 0 {
		t.Errorf("a file that is read again forgives what is owed: %v", err)
	}
	if w := u.Wait(now.Add(2700 * time.Millisecond)); w != 0 {
		t.Errorf("later %v", w)
	}
	u.Spend(now.Add(time.Hour), 1<<40, 1<<50)
	if w := u.Wait(now.Add(time.Hour)); w <= 0 || w > maxOwed {
		t.Errorf("after an endless request %v", w)
	}
}

func TestCertificatesOpenTheGateAndAreReadAgain(t *testing.T) {
	ca, dir := pki.New(t, "authority"), t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	serve := func(p *pki.Pair) { write(t, cert, string(p.CertPEM)); write(t, key, string(p.KeyPEM)) }
	serve(ca.Issue(t, "first", time.Hour, "127.0.0.1"))
	users := write(t, filepath.Join(dir, "users"), "edge: {certificates: CN=edge-7, topics: x}\n")
	g, err := New(Options{Users: users, Certificate: cert, Key: key, ClientCA: write(t, filepath.Join(dir, "ca.pem"), string(ca.PEM))}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u, denied := g.Enter(r); denied != nil {
			w.WriteHeader(denied.Status)
		} else {
			fmt.Fprint(w, u.Name())
		}
	}))
	s.TLS = g.TLS()
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(ca.Cert)
	ask := func(own *pki.Pair) (status int, by string, err error) {
		c := &tls.Config{RootCAs: roots}
		if own != nil {
			c.Certificates = []tls.Certificate{own.TLS()}
		}
		client := http.Client{Transport: &http.Transport{TLSClientConfig: c, DisableKeepAlives: true}}
		res, err := client.Get("https://" + s.Listener.Addr().String())
		if err != nil {
			return 0, "", err
		}
		defer res.Body.Close()
		return res.StatusCode, res.TLS.PeerCertificates[0].Subject.CommonName, nil
	}
	for name, tt := range map[string]struct {
		own  *pki.Pair
		want int
	}{"a user's": {ca.Issue(t, "edge-7", time.Hour), 200}, "nobody's": {ca.Issue(t, "edge-8", time.Hour), 403}, "none": {nil, 401}, "an expired": {ca.Issue(t, "edge-7", -time.Minute), 0},
		"a stranger's": {pki.New(t, "other").Issue(t, "edge-7", time.Hour), 401}} {
		if status, _, err := ask(tt.own); status != tt.want {
			t.Errorf("%s certificate: %d, %v, want %d", name, status, err, tt.want)
		}
	}
	serve(ca.Issue(t, "second", time.Hour, "127.0.0.1"))
	if err := g.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, by, err := ask(nil); by != "second" {
		t.Errorf("the server's certificate is of %s, %v", by, err)
	}
	write(t, key, "nonsense")
	if err := g.Reload(); err == nil || strings.Contains(err.Error(), "nonsense") {
		t.Errorf("Reload of a broken key: %v", err)
	}
	if _, by, _ := ask(nil); by != "second" {
		t.Errorf("after a broken key it is of %s", by)
	}
}

func TestWithoutAUsersFileASubjectIsTheName(t *testing.T) {
	g := &Gate{o: Options{ClientCA: "x"}, clock: time.Now}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{Subject: pkix.Name{CommonName: "edge-7", Organization: []string{"Example"}}}}}}
	if u, denied := g.Enter(r); denied != nil || u.Name() != "CN=edge-7,O=Example" || !u.MaySend("any") || u.MayOperate() {
		t.Errorf("%+v %+v", u, denied)
	}
	r.Header.Set("Authorization", "Bearer x")
	if _, denied := g.Enter(r); denied == nil || denied.Status != 401 || g.Challenge() != nil {
		t.Errorf("a token: %+v", denied)
	}
}

func TestAListenerThatOthersCanReachNeedsAWord(t *testing.T) {
	everywhere, local := &net.TCPAddr{IP: net.IPv4zero, Port: 1}, &net.TCPAddr{IP: net.IPv6loopback, Port: 1}
	for _, tt := range []struct {
		o        Options
		addr     net.Addr
		refused  bool
		warnings int
	}{
		{Options{}, local, false, 0},
		{Options{}, &net.UnixAddr{Name: "x"}, false, 0},
		{Options{}, everywhere, true, 0},
		{Options{}, &net.TCPAddr{IP: net.IPv6unspecified}, true, 0},
		{Options{Insecure: true}, everywhere, false, 2},
		{Options{Users: "x"}, everywhere, false, 1},
		{Options{Certificate: "x"}, everywhere, false, 1},
		{Options{Users: "x", Certificate: "x"}, everywhere, false, 0},
		{Options{ClientCA: "x", Certificate: "x"}, everywhere, false, 0},
	} {
		warnings, err := tt.o.Check("http", tt.addr)
		if (err != nil) != tt.refused || len(warnings) != tt.warnings || err != nil && !strings.Contains(err.Error(), "http.insecure: true") {
			t.Errorf("%+v on %v: %v, %v", tt.o, tt.addr, warnings, err)
		}
	}
}

func TestHashesAreTakenAgainAndWeakSecretsAreRefused(t *testing.T) {
	if _, err := HashPassword([]byte("short")); err == nil {
		t.Error("a short password is hashed")
	}
	if _, err := HashPassword(bytes.Repeat([]byte("x"), maxPassword+1)); err == nil {
		t.Error("a password that bcrypt would cut is hashed")
	}
	for _, token := range []string{"short", strings.Repeat("x ", 20)} {
		if _, err := HashToken([]byte(token)); err == nil {
			t.Errorf("%q is hashed", token)
		}
	}
	if a, b := NewToken(), NewToken(); a == b || len(a) < 40 {
		t.Errorf("tokens %s, %s", a, b)
	}
}
