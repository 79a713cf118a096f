package access

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"

	"github.com/spoold/spoold/internal/keytable"
)

// Admin is what a user may do on the admin listener.
type Admin string

// Values of Admin, each with what the one before it allows.
const (
	AdminNone    Admin = "none"
	AdminRead    Admin = "read"    // status, metrics, the page
	AdminOperate Admin = "operate" // decisions: resolve, dead letters, transactions
)

// User is somebody who may use a listener. Safe for concurrent use.
type User struct {
	name     string
	password []byte   // bcrypt; nil: none
	topics   []string // names; with a star at the end: beginnings of names
	admin    Admin
	limit    *limit // nil: none
}

// Name is the user's name, or the subject of a client certificate where there is no users file.
func (u *User) Name() string { return u.name }

// MaySend reports whether the user may send to a topic.
func (u *User) MaySend(topic string) bool {
	return slices.ContainsFunc(u.topics, func(t string) bool {
		beginning, all := strings.CutSuffix(t, "*")
		return t == topic || all && strings.HasPrefix(topic, beginning)
	})
}

// MayRead reports whether the user may look at the admin listener.
func (u *User) MayRead() bool { return u.admin == AdminRead || u.admin == AdminOperate }

// MayOperate reports whether the user may decide things on the admin listener.
func (u *User) MayOperate() bool { return u.admin == AdminOperate }

// users is what a users file says. It never changes.
type users struct {
	byName    map[string]*User
	byToken   map[[32]byte]*User
	bySubject map[string]*User
}

// entry is a user as the file has it.
type entry struct {
	Password     string `yaml:"password"`
	Tokens       texts  `yaml:"tokens"`
	Certificates texts  `yaml:"certificates"`
	Topics       texts  `yaml:"topics"`
	Admin        Admin  `yaml:"admin"`
	Records      int64  `yaml:"records.per.second"`
	Bytes        string `yaml:"bytes.per.second"`
}

// texts is one text, or a list of them.
type texts []string

// UnmarshalYAML takes both.
func (t *texts) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*t = texts{n.Value}
		return nil
	}
	var list []string
	err := n.Decode(&list)
	*t = list
	return err
}

// maxUsers bounds a users file.
const maxUsers = 100_000

// parseUsers reads a users file. former keeps its limits where they are the same.
func parseUsers(text []byte, former *users) (*users, error) {
	var entries map[string]*entry
	in := yaml.NewDecoder(bytes.NewReader(text))
	in.KnownFields(true)
	if err := in.Decode(&entries); err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New(hideSecrets(err))
	}
	var more yaml.Node
	if err := in.Decode(&more); err == nil && len(more.Content) > 0 && more.Content[0].Tag != "!!null" {
		return nil, fmt.Errorf("line %d: a second YAML document begins here, after a line ---: one file is one document", more.Content[0].Line)
	} else if err != nil && !errors.Is(err, io.EOF) {
		return nil, errors.New(hideSecrets(err))
	}
	switch {
	case len(entries) == 0:
		return nil, errors.New("it names no user, so nobody could get in")
	case len(entries) > maxUsers:
		return nil, fmt.Errorf("it has %d users, and %d are possible", len(entries), maxUsers)
	}
	us := &users{byName: map[string]*User{}, byToken: map[[32]byte]*User{}, bySubject: map[string]*User{}}
	names := make([]string, 0, len(entries))
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names) // so that the same file gives the same error
	for _, name := range names {
		if err := us.add(name, entries[name]); err != nil {
			return nil, fmt.Errorf("user %q: %w", name, err)
		}
		us.byName[name].limit.continues(former, name)
	}
	return us, nil
}

// hideSecrets is a fault of YAML without the values that it quotes: they may be hashes.
func hideSecrets(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", " ")
	for {
		before, rest, ok := strings.Cut(text, "`")
		if !ok {
			return text
		}
		_, after, _ := strings.Cut(rest, "`")
		text = before + "(value)" + after
	}
}

func (us *users) add(name string, e *entry) error {
	switch {
	case e == nil:
		return errors.New("says nothing: give a password, tokens or certificates, and topics or admin")
	case name == "" || len(name) > 128 || strings.ContainsAny(name, ":\r\n"):
		return errors.New("a name has 1 to 128 bytes, and no colon or line end")
	case e.Password == "" && len(e.Tokens) == 0 && len(e.Certificates) == 0:
		return errors.New("has no password, tokens or certificates")
	case len(e.Topics) == 0 && (e.Admin == "" || e.Admin == AdminNone):
		return errors.New(`may do nothing: give topics ("*" for all), or admin: read`)
	}
	u := &User{name: name, topics: e.Topics, admin: e.Admin}
	switch e.Admin {
	case "", AdminNone, AdminRead, AdminOperate:
	default:
		return fmt.Errorf("admin is %q: it must be none, read or operate", string(e.Admin))
	}
	for _, t := range e.Topics {
		if t == "" || strings.Contains(strings.TrimSuffix(t, "*"), "*") {
			return fmt.Errorf("topic %q: a star stands for any ending, and only at the end", t)
		}
	}
	if e.Password != "" {
		if _, err := bcrypt.Cost([]byte(e.Password)); err != nil {
			return errors.New("its password is not a bcrypt hash: make one with spoold hash-password")
		}
		u.password = []byte(e.Password)
	}
	for i, t := range e.Tokens {
		sum, err := parseTokenHash(t)
		if err != nil {
			return fmt.Errorf("token %d of %d %w", i+1, len(e.Tokens), err)
		}
		if other := us.byToken[sum]; other != nil {
			return fmt.Errorf("token %d is also that of user %q", i+1, other.name)
		}
		us.byToken[sum] = u
	}
	for _, subject := range e.Certificates {
		if other := us.bySubject[subject]; other != nil || subject == "" {
			return fmt.Errorf("certificate subject %q is empty, or there twice", subject)
		}
		us.bySubject[subject] = u
	}
	rate, err := perSecond(e)
	if err != nil {
		return err
	}
	u.limit = rate
	us.byName[name] = u
	return nil
}

// perSecond reads the limits of a user; nil: there is none.
func perSecond(e *entry) (*limit, error) {
	var size int64
	if e.Bytes != "" {
		var err error
		if size, err = keytable.ParseSize(e.Bytes); err != nil {
			return nil, fmt.Errorf("bytes.per.second %w", err)
		}
		if size <= 0 || size > 1<<40 {
			return nil, errors.New("bytes.per.second must be a size above 0 and up to 1TiB, such as 1MiB")
		}
	}
	if e.Records < 0 || e.Records > 1e9 {
		return nil, errors.New("records.per.second must be between 0 (no limit) and 1000000000")
	}
	return newLimit(e.Records, size), nil
}
