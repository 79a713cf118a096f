package spoold

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// shortLife is up to where delivery.timeout.ms is probably copied from the configuration of another client (Kafka's default is two minutes,
// librdkafka's five), where it bounds how long a record waits in memory.
const shortLife = 10 * time.Minute

// Warnings are remarks on what is allowed and probably not meant, in order: keys that were set and change nothing, then values that do not go together.
func (c *Config) Warnings() []string {
	warnings := slices.Clone(c.warnings)
	if c.DeliveryTimeout > 0 && c.DeliveryTimeout <= shortLife {
		warnings = append(warnings, fmt.Sprintf("delivery.timeout.ms: a spooled record expires after %v, also while the cluster is not reached, and is a dead letter then; without this key it is delivered however long that takes",
			c.DeliveryTimeout))
	}
	encrypted, authenticated := strings.HasSuffix(c.SecurityProtocol, "SSL"), strings.HasPrefix(c.SecurityProtocol, "SASL")
	ssl, sasl := c.given("ssl."), c.given("sasl.", "https.ca.")
	if len(sasl) > 0 && !authenticated {
		warnings = append(warnings, fmt.Sprintf("%s: without effect, since security.protocol is %s: no credentials are sent; give security.protocol=SASL_SSL (or SASL_PLAINTEXT)",
			strings.Join(sasl, ", "), c.SecurityProtocol))
	}
	if len(ssl) > 0 && !encrypted {
		protocol := "SSL"
		if authenticated || len(sasl) > 0 {
			protocol = "SASL_SSL"
		}
		warnings = append(warnings, fmt.Sprintf("%s: without effect, since security.protocol is %s: connections are not encrypted; give security.protocol=%s",
			strings.Join(ssl, ", "), c.SecurityProtocol, protocol))
	}
	return warnings
}

// given are the keys with one of these beginnings that do not have their default.
func (c *Config) given(beginnings ...string) (keys []string) {
	usual := DefaultConfig()
	for _, s := range table.Specs() {
		begins := func(beginning string) bool { return strings.HasPrefix(s.Name, beginning) }
		if slices.ContainsFunc(beginnings, begins) && !table.Same(c, &usual, s.Name) {
			keys = append(keys, s.Name)
		}
	}
	return keys
}
