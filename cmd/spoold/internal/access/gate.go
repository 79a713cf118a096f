package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Options are what an operator says of one listener. The zero value lets anybody in.
type Options struct {
	Users       string // path of the users file; "": none
	Certificate string // path of the server's certificates, PEM; "": no TLS
	Key         string // path of its private key; "": in the file of the certificates
	ClientCA    string // path of the authorities that clients' certificates may be from; "": clients have none
	Insecure    bool   // the operator said that a listener that others can reach needs no protection
}

// Gate is one listener's door. Safe for concurrent use.
type Gate struct {
	o     Options
	log   *slog.Logger
	users *cached[users] // nil: no file
	certs *cached[served]
	clock func() time.Time

	guesses  guesses
	checking chan struct{} // one token per password that is being looked at
	key      [32]byte      // of known
	mu       sync.Mutex
	known    map[string]knownPassword // by user
}

// knownPassword is a password that was right for the hash beside it, under the gate's own key: bcrypt need not be asked for each
// request.
type knownPassword struct {
	hash string
	sum  [32]byte
}

// passwordsAtOnce bounds the processors that bcrypt takes.
const passwordsAtOnce = 2

// New reads the files that o names.
func New(o Options, log *slog.Logger) (*Gate, error) {
	g := &Gate{o: o, log: log, clock: time.Now, checking: make(chan struct{}, passwordsAtOnce), known: map[string]knownPassword{}}
	_, _ = rand.Read(g.key[:]) // it never fails
	var err error
	if o.Users != "" {
		if g.users, err = openUsers(o.Users, g.changed); err != nil {
			return nil, fmt.Errorf("users: %w", err)
		}
	}
	if o.Certificate == "" {
		if o.Key != "" || o.ClientCA != "" {
			return nil, errors.New("tls: a key or client authorities are given, and no certificate")
		}
		return g, nil
	}
	if g.certs, err = openTLS(o, g.changed); err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	return g, nil
}

// CheckUsers reads the users file, if there is one, and gives its fault.
func (o Options) CheckUsers() error {
	if o.Users == "" {
		return nil
	}
	_, err := openUsers(o.Users, func(error) {})
	return err
}

// CheckCertificates is CheckUsers for certificates and authorities. It gives those that a listener would serve with.
func (o Options) CheckCertificates() (own, clients []*x509.Certificate, err error) {
	if o.Certificate == "" {
		return nil, nil, nil
	}
	c, err := openTLS(o, func(error) {})
	if err != nil {
		return nil, nil, err
	}
	return c.get().own, c.get().clients, nil
}

func openUsers(path string, told func(error)) (*cached[users], error) {
	return open([]string{path}, told, func(texts [][]byte, former *users) (*users, error) { return parseUsers(texts[0], former) })
}

func (g *Gate) changed(err error) {
	if err == nil {
		g.log.Info("changed files of users or certificates were read, and are in force", "event", "access.changed")
		return
	}
	g.log.Error("a file of users or certificates has a fault, and what it said before stays in force", "event", "access.fault", "err", err)
}

// Reload looks at all files now. With a fault, what was read before stays.
func (g *Gate) Reload() error {
	var errs []error
	if g.users != nil {
		errs = append(errs, g.users.load())
	}
	if g.certs != nil {
		errs = append(errs, g.certs.load())
	}
	return errors.Join(errs...)
}

// Open reports whether anybody may use the listener.
func (g *Gate) Open() bool { return g.users == nil && g.o.ClientCA == "" }

// Denied is why somebody may not use a listener.
type Denied struct {
	Status     int // 401, 403 or 429
	Message    string
	RetryAfter int // seconds; 0: nothing to wait for
}

// Challenge is the WWW-Authenticate header of a 401.
func (g *Gate) Challenge() []string {
	if g.users == nil {
		return nil
	}
	return []string{`Basic realm="spoold", charset="UTF-8"`, `Bearer realm="spoold"`}
}

// Enter is who sends a request. It must not be called where Open.
func (g *Gate) Enter(r *http.Request) (*User, *Denied) {
	scheme, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case scheme == "":
		return g.byCertificate(r)
	case g.users == nil:
		return nil, &Denied{Status: 401, Message: "This listener takes client certificates, and no passwords or tokens"}
	case len(r.Header["Authorization"]) > 1:
		return nil, &Denied{Status: 401, Message: "The Authorization header must be there once"}
	}
	us := g.users.get()
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return g.byToken(us, r, strings.TrimSpace(credentials))
	case strings.EqualFold(scheme, "Basic"):
		name, password, ok := r.BasicAuth()
		if !ok {
			break
		}
		return g.byPassword(r.Context(), us, r, name, password)
	}
	return nil, &Denied{Status: 401, Message: "The Authorization header cannot be read: send Basic with name and password, or Bearer with a token"}
}

func (g *Gate) byCertificate(r *http.Request) (*User, *Denied) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		message := "This listener needs a name and password (Basic) or a token (Bearer)"
		switch {
		case g.users == nil:
			message = "This listener needs a client certificate"
		case g.o.ClientCA != "":
			message += ", or a client certificate"
		}
		return nil, &Denied{Status: 401, Message: message}
	}
	subject := r.TLS.VerifiedChains[0][0].Subject.String()
	if g.users == nil {
		return &User{name: subject, topics: []string{"*"}, admin: AdminRead}, nil
	}
	if u := g.users.get().bySubject[subject]; u != nil {
		return u, nil
	}
	g.log.Warn("a client certificate belongs to no user", "event", "access.denied", "address", r.RemoteAddr, "subject", subject)
	return nil, &Denied{Status: 403, Message: fmt.Sprintf("The certificate's subject %q is that of no user", subject)}
}

func (g *Gate) byToken(us *users, r *http.Request, token string) (*User, *Denied) {
	sum := sha256.Sum256([]byte(token))
	// The map compares hashes, of which a sender cannot choose the bytes: how long that takes says nothing of a token. A right
	// token is let in however many wrong ones came from its address, for nobody can have guessed it.
	if u := us.byToken[sum]; u != nil {
		return u, nil
	}
	return nil, g.wrong(r, guesser{network(r.RemoteAddr), ofTokens})
}

func (g *Gate) byPassword(ctx context.Context, us *users, r *http.Request, name, password string) (*User, *Denied) {
	u := us.byName[name]
	var hash []byte
	if u != nil {
		hash = u.password
	}
	by := guesser{from: network(r.RemoteAddr)}
	if u != nil {
		by.user = name
	}
	if wait := g.guesses.wait(by, g.clock()); wait > 0 {
		return nil, tooMany(wait) // before the look at what is known: that one is fast
	}
	if hash != nil && g.isKnown(name, hash, password) {
		return u, nil
	}
	select {
	case g.checking <- struct{}{}:
		defer func() { <-g.checking }()
	case <-ctx.Done():
		return nil, &Denied{Status: 401, Message: "The client closed the connection"}
	}
	if wait := g.guesses.wait(by, g.clock()); wait > 0 { // others were wrong meanwhile
		return nil, tooMany(wait)
	}
	asked := hash
	if asked == nil {
		asked = nobody() // takes as long as that of a user
	}
	if len(password) > maxPassword || bcrypt.CompareHashAndPassword(asked, []byte(password)) != nil || hash == nil {
		return nil, g.wrong(r, by)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.known[name] = knownPassword{string(hash), g.sum(password)}
	return u, nil
}

// nobody is the hash that an unknown user's password is compared with.
var nobody = sync.OnceValue(func() []byte {
	hash, err := bcrypt.GenerateFromPassword([]byte("nobody has this password"), cost)
	if err != nil {
		panic("access: " + err.Error()) // the cost and length are in range
	}
	return hash
})

func (g *Gate) sum(password string) [32]byte {
	mac := hmac.New(sha256.New, g.key[:])
	mac.Write([]byte(password))
	return [32]byte(mac.Sum(nil))
}

func (g *Gate) isKnown(name string, hash []byte, password string) bool {
	sum := g.sum(password)
	g.mu.Lock()
	k, ok := g.known[name]
	g.mu.Unlock()
	return ok && k.hash == string(hash) && subtle.ConstantTimeCompare(k.sum[:], sum[:]) == 1
}

// wrong counts wrong credentials and refuses them. The log gets the names of users alone: another name may be a password in
// the wrong place.
func (g *Gate) wrong(r *http.Request, by guesser) *Denied {
	now := g.clock()
	if wait := g.guesses.wait(by, now); wait > 0 {
		return tooMany(wait)
	}
	if first := g.guesses.wrong(by, now); first || g.guesses.wait(by, now) > 0 {
		log := g.log
		switch by.user {
		case "":
		case ofTokens:
			log = log.With("what", "token")
		default:
			log = log.With("user", by.user)
		}
		log.Warn("wrong credentials were refused", "event", "access.denied", "address", r.RemoteAddr)
	}
	return &Denied{Status: 401, Message: "Wrong credentials: no user has this name and password, or this token"}
}

func tooMany(wait time.Duration) *Denied {
	return &Denied{Status: 429, Message: "Too many wrong credentials came from this address: try again later", RetryAfter: int(math.Ceil(wait.Seconds()))}
}
