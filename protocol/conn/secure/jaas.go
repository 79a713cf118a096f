package secure

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// JAAS is a line of sasl.jaas.config: a login module and its options.
type JAAS struct {
	Module  string
	Options map[string]string
}

// ParseJAAS reads `Module required name="value" …;`. No error holds anything of an option's value.
func ParseJAAS(text string) (JAAS, error) {
	words, err := jaasWords(text)
	if err != nil {
		return JAAS{}, err
	}
	if len(words) < 2 || words[0].name == "" || words[0].assigned {
		return JAAS{}, errors.New(`must be a login module, a flag and options, such as org.apache.kafka.common.security.plain.PlainLoginModule required username="alice" password="…";`)
	}
	switch flag := strings.ToLower(words[1].name); flag {
	case "required", "requisite", "sufficient", "optional":
	default:
		return JAAS{}, errors.New("after the login module must stand required")
	}
	j := JAAS{Module: words[0].name, Options: make(map[string]string)}
	for _, w := range words[2:] {
		if !w.assigned || w.name == "" {
			return JAAS{}, errors.New("an option must be name=\"value\"")
		}
		if _, twice := j.Options[w.name]; twice {
			return JAAS{}, fmt.Errorf("has the option %s twice", w.name)
		}
		j.Options[w.name] = w.value
	}
	return j, nil
}

// Short is the module without its package.
func (j JAAS) Short() string { return j.Module[strings.LastIndexByte(j.Module, '.')+1:] }

// jaasWord is a name, or a name with a value.
type jaasWord struct {
	name, value string
	assigned    bool
}

// jaasWords splits a line at spaces, up to its semicolon. Values may be quoted, with \" and \\ in them.
func jaasWords(text string) ([]jaasWord, error) {
	var words []jaasWord
	rest := strings.TrimSpace(text)
	for rest != "" {
		if rest[0] == ';' {
			if strings.TrimSpace(rest[1:]) != "" {
				return nil, errors.New("must hold one login module: something follows the first semicolon")
			}
			return words, nil
		}
		var w jaasWord
		end := strings.IndexAny(rest, "= \t\r\n;\"")
		if end < 0 {
			end = len(rest)
		}
		w.name, rest = rest[:end], strings.TrimLeft(rest[end:], " \t\r\n")
		if strings.HasPrefix(rest, "=") {
			w.assigned = true
			var err error
			if w.value, rest, err = jaasValue(strings.TrimLeft(rest[1:], " \t\r\n")); err != nil {
				return nil, err
			}
			rest = strings.TrimLeft(rest, " \t\r\n")
		} else if w.name == "" {
			return nil, errors.New("has a quotation mark where a name should stand")
		}
		words = append(words, w)
	}
	return nil, errors.New("must end with a semicolon")
}

func jaasValue(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) && !strings.HasPrefix(text, "'") { // Java takes both
		end := strings.IndexAny(text, " \t\r\n;")
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], nil
	}
	var out strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			out.WriteByte(text[i])
		case text[i] == text[0]:
			return out.String(), text[i+1:], nil
		default:
			out.WriteByte(text[i])
		}
	}
	return "", "", errors.New("has a quotation mark that is not closed")
}

const (
	unsecuredClaim    = "unsecuredLoginStringClaim_"
	unsecuredLifetime = "unsecuredLoginLifetimeSeconds"
	extensionOption   = "extension_"
)

// referred reports whether all of the JAAS line stands elsewhere.
func (s *SASL) referred() bool { return strings.HasPrefix(strings.TrimSpace(s.JAAS), "${") }

// resolved is what the JAAS line says in the place of single keys, if there is one. The line may be a reference.
func (s SASL) resolved(f *files) (SASL, error) {
	if s.JAAS == "" {
		return s, nil
	}
	line := s.JAAS
	if s.referred() {
		var err error
		if line, err = f.expand(line); err != nil {
			return s, at("sasl.jaas.config", err)
		}
	}
	err := s.fromJAAS(line)
	return s, at("sasl.jaas.config", err)
}

// fromJAAS takes user, password or token from a JAAS line, which must fit the mechanism.
func (s *SASL) fromJAAS(line string) error {
	j, err := ParseJAAS(line)
	if err != nil {
		return err
	}
	fits := map[string]string{"PlainLoginModule": "PLAIN", "ScramLoginModule": "SCRAM-SHA-", "OAuthBearerLoginModule": "OAUTHBEARER"}
	prefix, known := fits[j.Short()]
	switch {
	case j.Short() == "Krb5LoginModule":
		return errors.New("is for Kerberos, which is not supported")
	case j.Short() == "IAMLoginModule":
		return errors.New("is for AWS_MSK_IAM, which is not supported: use SCRAM-SHA-512, which Amazon MSK offers as well")
	case !known:
		return fmt.Errorf("names the login module %s: PlainLoginModule, ScramLoginModule and OAuthBearerLoginModule of org.apache.kafka.common.security are known", j.Module)
	case !strings.HasPrefix(s.Mechanism, prefix):
		return fmt.Errorf("names %s, which is not for sasl.mechanism %s", j.Short(), s.Mechanism)
	case s.Username != "" || s.Password != "" || s.Token.Token != "" || s.Token.ClientID != "" || s.Token.Secret != "":
		return errors.New("is given beside sasl.username, sasl.password or sasl.oauthbearer.…: give one of them")
	}
	for name, value := range j.Options {
		if err := s.option(j.Short(), name, value); err != nil {
			return err
		}
	}
	return nil
}

func (s *SASL) option(module, name, value string) error {
	bearer := module == "OAuthBearerLoginModule"
	switch {
	case name == "username" && !bearer:
		s.Username = value
	case name == "password" && !bearer:
		s.Password = value
	case name == "tokenauth" && module == "ScramLoginModule":
		s.TokenAuth = value == "true"
	case name == "clientId" && bearer:
		s.Token.ClientID = value
	case name == "clientSecret" && bearer:
		s.Token.Secret = value
	case name == "scope" && bearer:
		s.Token.Scope = value
	case strings.HasPrefix(name, extensionOption) && bearer:
		if s.Token.Extensions == nil {
			s.Token.Extensions = make(map[string]string)
		}
		s.Token.Extensions[strings.TrimPrefix(name, extensionOption)] = value
	case strings.HasPrefix(name, unsecuredClaim) && bearer:
		if s.Token.Claims == nil {
			s.Token.Claims = make(map[string]string)
		}
		s.Token.Claims[strings.TrimPrefix(name, unsecuredClaim)] = value
	case name == unsecuredLifetime && bearer:
		seconds, err := strconv.Atoi(value)
		if err != nil || seconds < 1 || seconds > 1<<30 {
			return fmt.Errorf("%s must be a number of seconds", unsecuredLifetime)
		}
		s.Token.Lifetime = time.Duration(seconds) * time.Second
	default:
		return fmt.Errorf("has the option %s, which %s does not have here", name, module)
	}
	return nil
}

// Check reports what is missing, or wrong. It reads no file and follows no reference.
func (s SASL) Check() error {
	if s.referred() {
		return nil
	}
	s, err := s.resolved(nil)
	if err != nil {
		return err
	}
	o := &s.Token
	switch {
	case s.Mechanism != "OAUTHBEARER" && s.Username == "":
		return at("sasl.username", fmt.Errorf("%s needs a user: give sasl.username and sasl.password, or sasl.jaas.config", s.Mechanism))
	case s.Mechanism != "OAUTHBEARER" && s.Password == "":
		return at("sasl.password", fmt.Errorf("%s needs a password: give sasl.password, or sasl.jaas.config", s.Mechanism))
	case s.Mechanism != "OAUTHBEARER" || o.Claims != nil || o.Token != "":
		return nil
	case o.URL == "":
		return at("sasl.oauthbearer.token.endpoint.url", errors.New("OAUTHBEARER needs a token: give this, or sasl.oauthbearer.token"))
	case strings.HasPrefix(o.URL, "file:") || strings.HasPrefix(o.URL, "${"):
		return nil
	case o.ClientID == "" || o.Secret == "":
		return at("sasl.oauthbearer.client.credentials.client.id", errors.New("the token endpoint wants client id and secret: give both"))
	}
	return nil
}
