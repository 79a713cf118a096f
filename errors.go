package spoold

import (
	"fmt"
	"strings"
)

// ConfigError says what is wrong with one configuration key.
type ConfigError struct {
	Key   string
	Value string // "" if it was empty, or may be a secret
	What  string // what is wrong and what to do
}

func (e *ConfigError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "config: %s", e.Key)
	if e.Value != "" {
		fmt.Fprintf(&b, " = %q", e.Value)
	}
	b.WriteString(": ")
	b.WriteString(e.What)
	return b.String()
}
