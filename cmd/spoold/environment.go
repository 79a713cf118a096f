package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/link"
	"github.com/spoold/spoold/internal/keytable"
)

// envPrefix begins the name of an environment variable that sets a key: SPOOLD_LINGER_MS sets linger.ms.
const envPrefix = "SPOOLD_"

// testPrefix begins the names of variables that tests of this program set.
const testPrefix = envPrefix + "TEST_"

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// isVariable reports whether a name is that of the variable of a key with these spellings.
func isVariable(name string, spellings []string) bool {
	return slices.ContainsFunc(spellings, func(key string) bool { return envName(key) == name })
}

// working are all spellings of the keys that do something.
func working() []string {
	all := daemonTable.Names()
	for _, k := range spoold.Keys() {
		if k.Works {
			all = append(append(all, k.Name), k.Aliases...)
		}
	}
	return all
}

// environment applies the variables that are names of keys. A variable that is empty is not set.
func (s *settings) environment(lookup func(string) string) {
	s.layer(false)
	for _, key := range names() {
		if value := lookup(envName(key)); value != "" {
			s.set(key, value, envName(key))
		}
	}
}

// checkEnvironment: a variable that begins as those of keys do and is none is a fault, unless something else is known to set it.
// It is called when all values are known: they may refer to such variables.
func (s *settings) checkEnvironment(lookup func(string) string, environ []string) {
	known := map[string]bool{tokenEnv: true, userEnv: true, passwordEnv: true, link.Env: true}
	for _, key := range names() {
		known[envName(key)] = true
	}
	for _, pair := range slices.Sorted(slices.Values(environ)) {
		name, _, _ := strings.Cut(pair, "=")
		value := lookup(name)
		switch {
		case !strings.HasPrefix(name, envPrefix), value == "", known[name], s.referred[name]:
		case strings.HasPrefix(name, testPrefix), ofContainerHost(name, value):
		default:
			s.strays = append(s.strays, fmt.Errorf("%s: %w", name, unknownVariable(name)))
		}
	}
}

// unknownVariable is the fault of a variable that sets no key.
func unknownVariable(name string) error {
	var known []string
	for _, key := range working() {
		known = append(known, strings.TrimPrefix(envName(key), envPrefix))
	}
	known = append(known, strings.TrimPrefix(tokenEnv, envPrefix), strings.TrimPrefix(userEnv, envPrefix), strings.TrimPrefix(passwordEnv, envPrefix))
	if near := keytable.Nearest(strings.TrimPrefix(name, envPrefix), known); near != "" {
		return fmt.Errorf("unknown environment variable; did you mean %s%s?", envPrefix, near)
	}
	return errors.New("unknown environment variable: one that begins with SPOOLD_ sets a key, as SPOOLD_LINGER_MS sets linger.ms; give another one a name that does not begin so")
}

// containerVariable are the names that Kubernetes and Docker give to a service or container whose name begins with spoold.
var containerVariable = regexp.MustCompile(`^SPOOLD_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// ofContainerHost reports whether a host of containers sets the variable for a service of that name: SPOOLD_SERVICE_HOST=10.0.0.1,
// SPOOLD_PORT=tcp://10.0.0.1:8082, SPOOLD_PORT_8082_TCP_ADDR=10.0.0.1.
func ofContainerHost(name, value string) bool {
	if !containerVariable.MatchString(name) {
		return false
	}
	return !strings.HasSuffix(name, "_PORT") || strings.HasSuffix(name, "_SERVICE_PORT") || strings.Contains(value, "://") || portOfPort.MatchString(name)
}

// portOfPort are names such as SPOOLD_PORT_8082_TCP_PORT, whose value is a plain number.
var portOfPort = regexp.MustCompile(`_PORT_[0-9]+_(TCP|UDP|SCTP)_PORT$`)

// reference is a secret's ${env:NAME}: that variable is the operator's own, whatever its name begins with.
var reference = regexp.MustCompile(`\$\{env:([^}]+)\}`)

// refer notes the variables that a value refers to.
func (s *settings) refer(value string) {
	for _, found := range reference.FindAllStringSubmatch(value, -1) {
		s.referred[found[1]] = true
	}
}
