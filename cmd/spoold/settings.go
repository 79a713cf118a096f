package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/internal/keytable"
)

// settings is the effective configuration with the source of each key. What is said later wins: the file, then the
// environment, then -X, then flags of their own.
type settings struct {
	cfg    spoold.Config
	own    daemonConfig
	source map[string]string // by name; what is not there is a default
	file   string            // "": none
	ship   map[string]*shipSection

	faults  []error
	strays  []error           // environment variables that set no key
	remarks []string          // on what the file says
	broken  bool              // the file could not be read as what it is: what is missing may stand in it
	faulty  map[string]bool   // by name: reported already
	spelt   map[string]string // by name: how the present layer spells it
	once    bool              // the present layer may hold each key once

	referred map[string]bool // environment variables that values refer to
}

func newSettings() *settings {
	return &settings{cfg: spoold.DefaultConfig(), own: defaultDaemonConfig(), source: map[string]string{}, faulty: map[string]bool{}, referred: map[string]bool{}}
}

// layer begins another source of keys, in which each key may stand in one spelling; and once, where it is a file.
func (s *settings) layer(once bool) { s.spelt, s.once = map[string]string{}, once }

// set gives key its value. source is where it was said: file:line, or a flag. Faults are kept for validate.
func (s *settings) set(key, value, source string) {
	s.refer(value)
	if strings.HasPrefix(key, shipPrefix) {
		if err := s.setShip(key, value, source); err != nil {
			s.faults = append(s.faults, err)
		}
		return
	}
	name, ofDaemon := s.name(key)
	if name == "spool.path" {
		value = expandHome(value)
	}
	switch other, twice := s.spelt[name]; {
	case twice && other != key:
		s.fault(name, source, fmt.Errorf("%s and %s are the same key: give one of them", other, key))
		return
	case twice && s.once:
		s.fault(name, source, fmt.Errorf("%s is there twice, first at %s", key, s.source[name]))
		return
	}
	s.spelt[name] = key
	if name == "transactional.id" && strings.TrimSpace(value) == "" && s.once { // of a template whose variable was not set, perhaps
		s.remarks = append(s.remarks, fmt.Sprintf("%s: transactional.id has no value: records are delivered without transactions", source))
	}
	var err error
	if ofDaemon {
		if _, err = daemonTable.Set(&s.own, key, value); err != nil {
			if _, known, _ := daemonTable.Find(key); known.Secret {
				value = ""
			}
			err = &spoold.ConfigError{Key: name, Value: value, What: err.Error()}
		}
	} else {
		err = s.cfg.Set(key, value)
	}
	if err != nil {
		s.fault(name, source, err)
		return
	}
	delete(s.faulty, name)
	s.source[name] = source
}

// name is the key's proper spelling, and whether the daemon alone has it.
func (s *settings) name(key string) (name string, ofDaemon bool) {
	if name, ok := spoold.KeyOf(key); ok {
		return name, false
	}
	if name, _, ok := daemonTable.Find(key); ok {
		return name, true
	}
	return key, false
}

func (s *settings) fault(name, source string, err error) {
	var fault *spoold.ConfigError
	if _, known := s.get(name); !known && errors.As(err, &fault) && strings.HasPrefix(fault.What, "unknown key") {
		err = &spoold.ConfigError{Key: name, What: keytable.Unknown(name, names()).Error()}
	}
	s.faulty[name] = true
	s.faults = append(s.faults, fmt.Errorf("%s: %w", source, err))
}

// names are all spellings of all keys.
func names() []string {
	all := daemonTable.Names()
	for _, k := range spoold.Keys() {
		all = append(append(all, k.Name), k.Aliases...)
	}
	return all
}

// get is the key's value as text, for keys that work.
func (s *settings) get(key string) (string, bool) {
	if value, ok := s.cfg.Get(key); ok {
		return value, true
	}
	return daemonTable.Get(&s.own, key)
}

// differs reports whether other settings have another value of the key, also where it is secret.
func (s *settings) differs(other *settings, key string) bool {
	return s.cfg.Differs(&other.cfg, key) || !daemonTable.Same(&s.own, &other.own, key)
}

// keys are all keys that work, in the order of the tables.
func (s *settings) keys() []string {
	var list []string
	for _, k := range spoold.Keys() {
		if k.Works {
			list = append(list, k.Name)
		}
	}
	for _, k := range daemonTable.Specs() {
		list = append(list, k.Name)
	}
	return list
}

// validate checks the whole, and gives all faults at once: those of single values and of values together, each with where it
// came from.
func (s *settings) validate() error {
	s.cfg.SpoolCommitMax = max(s.cfg.SpoolCommitMax, s.own.HTTPMaxBodyBytes) // an HTTP request is one commit
	errs := slices.Concat(s.faults, s.strays)
	if s.broken {
		return joinCoded(errs)
	}
	errs = append(errs, s.validateShip()...)
	errs = append(errs, s.validateAccess()...)
	wrong := maps.Clone(s.faulty)
	errs = append(errs, s.unknownBefore(s.cfg.Validate(), s.faulty, wrong)...)
	errs = append(errs, s.unknownBefore(s.cfg.CheckFiles(), wrong, wrong)...)
	return joinCoded(errs)
}

// unknownBefore are faults with where they came from, but for those of keys in known. It adds theirs to found.
func (s *settings) unknownBefore(err error, known, found map[string]bool) (errs []error) {
	for _, err := range split(err) {
		var fault *spoold.ConfigError
		if errors.As(err, &fault) {
			if known[fault.Key] {
				continue
			}
			found[fault.Key] = true
			if source := s.source[fault.Key]; source != "" {
				err = fmt.Errorf("%s: %w", source, err)
			}
		}
		errs = append(errs, err)
	}
	return errs
}

// joinCoded joins faults of the configuration into one error with its code.
func joinCoded(errs []error) error {
	if err := errors.Join(errs...); err != nil {
		return &exitError{code: exitConfig, err: err}
	}
	return nil
}

// split takes a joined error apart.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// warnings are about what is allowed, and probably not meant.
func (s *settings) warnings() []string {
	return slices.Concat(s.remarks, s.cfg.Warnings())
}

// check is validate, and shows what is to be warned of.
func (s *settings) check(w *world) error {
	s.warn(w)
	return s.validate()
}

func (s *settings) warn(w *world) {
	for _, warning := range s.warnings() {
		fmt.Fprintf(w.stderr, "spoold: %s\n", warning)
	}
}

// Flags that mean a configuration key, on more than one command.
func brokerFlag() cli.Flag {
	return &cli.StringFlag{Name: "bootstrap-server", Aliases: []string{"b"}, Usage: "brokers for first contact, `HOST:PORT`[,HOST:PORT…]"}
}

func spoolFlag(usage string) cli.Flag {
	return &cli.StringFlag{Name: "spool", Usage: "`DIR` of the spool; " + usage}
}

func keyFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "X", Usage: "any configuration `KEY=VALUE`, with Kafka's names; may be given again"}
}

// flagKeys are flags that set one key each.
var flagKeys = []struct{ flag, key string }{
	{"bootstrap-server", "bootstrap.servers"},
	{"spool", "spool.path"},
	{"http", "http.listen"},
	{"admin", "admin.listen"},
	{"z", "compression.type"},
	{"transactional-id", "transactional.id"},
}

// flags applies a command's flags: -X first, so that a flag of its own wins.
func (s *settings) flags(c *cli.Context) error {
	s.layer(false)
	for _, pair := range c.StringSlice("X") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return usagef("-X %s: want key=value", pair)
		}
		key = strings.TrimSpace(key)
		s.set(key, value, "-X "+key)
	}
	s.layer(false)
	for _, f := range flagKeys {
		if c.IsSet(f.flag) {
			dashes := "--"
			if len(f.flag) == 1 {
				dashes = "-"
			}
			s.set(f.key, c.String(f.flag), dashes+f.flag)
		}
	}
	return nil
}

// loadSettings reads a file. Faults of single values are kept for validate.
func loadSettings(file string) (*settings, error) {
	s := newSettings()
	file = expandHome(file)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, exitf(exitConfig, "config: %w", err)
	}
	s.load(file, text)
	return s, nil
}

// readSettings puts together the file, if there is one, the environment and flags.
func readSettings(w *world, c *cli.Context) (*settings, error) {
	s := newSettings()
	if file := c.String("config"); file != "" {
		var err error
		if s, err = loadSettings(file); err != nil {
			return nil, err
		}
	}
	s.environment(w.env)
	if err := s.flags(c); err != nil {
		return nil, err
	}
	s.checkEnvironment(w.env, os.Environ())
	return s, nil
}
