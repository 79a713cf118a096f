package main

import (
	"slices"
	"strings"

	"github.com/spoold/spoold"
)

// flushArgs are the arguments with which spoold flush finds these spools.
func (d *produceDirs) flushArgs() string {
	servers := strings.Join(d.cfg.BootstrapServers, ",")
	if d.owner() != "" {
		servers = "HOST:PORT"
	}
	args := " -b " + servers + d.security()
	if d.family.exact() {
		args += " --spool " + shellWord(d.ownDir)
	}
	return args
}

// security are the settings without which the brokers cannot be reached, as arguments. Of secrets only the key is said.
func (d *produceDirs) security() (args string) {
	plain := spoold.DefaultConfig()
	for _, k := range spoold.Keys() {
		if !k.Works || !slices.ContainsFunc([]string{"security.protocol", "ssl.", "sasl."}, func(p string) bool { return strings.HasPrefix(k.Name, p) }) || !d.cfg.Differs(&plain, k.Name) {
			continue
		}
		value, _ := d.cfg.Get(k.Name)
		if k.Secret || withoutCredentials(value) != value || strings.ContainsAny(value, "\r\n") {
			value = "…" // as it was given
		}
		args += " -X " + k.Name + "=" + shellWord(value)
	}
	return args
}

// shellWord is a text as it is typed.
func shellWord(text string) string {
	if strings.ContainsAny(text, " \t'\"\\$`&|;<>()*?[]#~!{}") {
		return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	return text
}

// owner is the id of the cluster that the spool belongs to if the brokers are of another one, or else "".
func (d *produceDirs) owner() (id string) {
	d.each(func(now *spoold.Status, _ spoold.Status) {
		if now.ForeignCluster != "" {
			id = now.ClusterID
		}
	})
	return id
}

// only says whose brokers must be given where these ones are another cluster's.
func (d *produceDirs) only() string {
	if id := d.owner(); id != "" {
		return ", with a broker of cluster " + id
	}
	return ""
}
