package spoold

import "fmt"

// maxTransactionalID keeps the name of the group that progress is committed under within what Kafka takes.
const maxTransactionalID = 200

func transactionalRule(c *Config) error {
	if n := len(c.TransactionalID); n > maxTransactionalID {
		return &ConfigError{Key: "transactional.id", Value: c.TransactionalID[:40] + "…", What: fmt.Sprintf("has %d bytes, allowed are %d", n, maxTransactionalID)}
	}
	return nil
}
