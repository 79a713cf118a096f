package spoold

import (
	"fmt"
	"io"
	"strings"

	"github.com/spoold/spoold/protocol/conn/secure"
)

// Secret is a text that nothing prints: not fmt, whatever the verb, not a logger, not encoding/json. Reveal it
// to use it. It may be a reference, ${env:NAME} or ${file:PATH}, which is followed each time the secret is used.
type Secret string

// hiddenText stands for what is not shown.
const hiddenText = "[hidden]"

// String is "" for an empty secret, the reference if it is one and nothing else, or [hidden].
func (s Secret) String() string {
	if s == "" || s.isReference() {
		return string(s)
	}
	return hiddenText
}

// isReference: where a secret is, is no secret.
func (s Secret) isReference() bool {
	inner, ok := strings.CutPrefix(string(s), "${")
	inner, closed := strings.CutSuffix(inner, "}")
	return ok && closed && !strings.ContainsAny(inner, "${}") && (strings.HasPrefix(inner, "env:") || strings.HasPrefix(inner, "file:"))
}

// Format implements fmt.Formatter.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText implements encoding.TextMarshaler, with what String gives.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = Secret(text)
	return nil
}

// Follow is the secret itself, or what it refers to now. An error has no secret in it.
func (s Secret) Follow() (string, error) { return secure.Expand(string(s)) }

// Reveal is the secret itself, or the reference to it.
func (s Secret) Reveal() string { return string(s) }
