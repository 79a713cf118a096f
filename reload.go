package spoold

import "strings"

// Reloads reports whether Reload takes the key.
func Reloads(key string) bool { return reloadsLimit(key) || ReloadsSecurity(key) }

// ReloadsSecurity reports whether Reload takes the key for connections to come.
func ReloadsSecurity(key string) bool {
	return key == "security.protocol" || strings.HasPrefix(key, "https.ca.") || strings.HasPrefix(key, "ssl.") || strings.HasPrefix(key, "sasl.")
}

func reloadsLimit(key string) bool { return key == "spool.max.bytes" || key == "spool.min.free.bytes" }

// limits are the keys that Reload takes at once.
type limits struct{ maxBytes, minFreeBytes int64 }

func (c *Config) limits() *limits { return &limits{c.SpoolMaxBytes, c.SpoolMinFreeBytes} }

// Reload takes keys of another configuration: security.protocol, https.ca.*, ssl.* and sasl.* for connections to come,
// reading their files, while those that are open stay; spool.max.bytes and spool.min.free.bytes from the next commit on. Files
// that change need no Reload: each connection looks at them. The error is a *ConfigError (all faults joined); nothing has
// changed then. It reads files and waits for nothing else. Any goroutine may call it.
func (p *Producer) Reload(cfg Config) error {
	if err := cfg.validate(p.env.SASL != nil); err != nil {
		return err
	}
	s, err := cfg.protection(p.env.SASL)
	if err != nil {
		return err
	}
	if err := p.keeper.Use(s); err != nil {
		return credentialError(err)
	}
	if l := cfg.limits(); *l != *p.limits.Swap(l) {
		p.engines.now.Load().store.SetLimits(l.maxBytes, minFree(l.minFreeBytes))
	}
	return nil
}
