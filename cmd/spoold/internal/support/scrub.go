package support

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Scrubber replaces secrets.
type Scrubber struct{ secrets [][]byte }

const (
	hidden   = "[hidden]"
	shortest = 4 // bytes of a secret: fewer would be found everywhere
)

// NewScrubber takes secrets as the configuration has them. A secret that has parts, such as a JAAS line or a list of headers,
// is hidden as a whole and by its quoted values and the values behind a =. Each is also hidden as JSON, URLs and base64 spell it.
func NewScrubber(secrets []string) *Scrubber {
	s := &Scrubber{}
	for _, secret := range secrets {
		for _, part := range parts(secret) {
			for _, form := range forms(part) {
				if len(form) >= shortest && !slices.ContainsFunc(s.secrets, func(b []byte) bool { return string(b) == form }) {
					s.secrets = append(s.secrets, []byte(form))
				}
			}
		}
	}
	// The longest first: one may begin another.
	slices.SortStableFunc(s.secrets, func(a, b []byte) int { return len(b) - len(a) })
	return s
}

var (
	quoted   = regexp.MustCompile(`(?i)(?:password|secret|token|key|assertion)\w*\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;,]+)`)
	assigned = regexp.MustCompile(`=\s*([^,;]+)`)
	public   = regexp.MustCompile(`^[\w.]*LoginModule`)
)

func parts(secret string) []string {
	secret = strings.TrimSpace(secret)
	list := []string{secret}
	for _, m := range quoted.FindAllStringSubmatch(secret, -1) {
		list = append(list, strings.Trim(m[1], `"`))
	}
	if public.MatchString(secret) {
		return list // the user's name, which also stands in such a line, is none
	}
	for _, m := range assigned.FindAllStringSubmatch(secret, -1) {
		value := strings.Trim(strings.TrimSpace(m[1]), `"`)
		list = append(list, value)
		if _, token, ok := strings.Cut(value, " "); ok { // Bearer TOKEN
			list = append(list, token)
		}
	}
	if strings.Contains(secret, "-----BEGIN") {
		for line := range strings.Lines(secret) {
			if line = strings.TrimSpace(line); !strings.HasPrefix(line, "-----") {
				list = append(list, line)
			}
		}
	}
	return list
}

func forms(secret string) []string {
	list := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))}
	if text, err := json.Marshal(secret); err == nil {
		list = append(list, strings.Trim(string(text), `"`))
	}
	return list
}

// tokens are secrets by their looks, whoever's they are. A text without mark has none.
var tokens = []struct {
	mark string
	form *regexp.Regexp
}{
	{"private key", regexp.MustCompile(`()(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)`)},
	{"bearer", regexp.MustCompile(`(?i)\b(bearer +)[a-z0-9+/=_.~-]{4,}`)},
	{"basic", regexp.MustCompile(`(?i)\b(basic +)[a-z0-9+/=]{8,}`)},
	{"@", regexp.MustCompile(`(://)[^/\s:@"]+:[^/\s@"]+@`)},
	{"passw", keyed("passw(?:or)?d")},
	{"secret", keyed("secret")},
	{"token", keyed("token")},
	{"api", keyed("api[_-]?key")},
	{"eyj", regexp.MustCompile(`()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)},
}

// keyed finds a value behind a name.
func keyed(name string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)(` + name + `["']?\s*[=:]\s*["']?)[^\s"',;&}]+`)
}

// Clean is the text without secrets.
func (s *Scrubber) Clean(text []byte) []byte {
	for _, secret := range s.secrets {
		text = bytes.ReplaceAll(text, secret, []byte(hidden))
	}
	lower := bytes.ToLower(text)
	for _, t := range tokens {
		if bytes.Contains(lower, []byte(t.mark)) {
			text = t.form.ReplaceAll(text, []byte("${1}"+hidden))
		}
	}
	return text
}
