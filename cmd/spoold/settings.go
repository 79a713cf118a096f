package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/magiconair/properties"
	"github.com/urfave/cli/v2"
	"go.yaml.in/yaml/v3"

	"github.com/spoold/spoold"
)

// settings is the effective configuration with the source of each key.
type settings struct {
	cfg    spoold.Config
	source map[string]string // by key; what is not there is a default
	file   string            // "" : none
}

func newSettings() *settings {
	return &settings{cfg: spoold.DefaultConfig(), source: map[string]string{}}
}

// set gives key its value. source is where it was said: file:line, or a flag.
func (s *settings) set(key, value, source string) error {
	if err := s.cfg.Set(key, value); err != nil {
		return exitf(exitConfig, "%s: %w", source, err)
	}
	s.source[key] = source
	return nil
}

// load reads a file, .properties by its name or else YAML. It reports every
// fault of it, each with its line.
func (s *settings) load(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return exitf(exitConfig, "config: %w", err)
	}
	s.file = path
	if filepath.Ext(path) == ".properties" {
		return s.loadProperties(path, text)
	}
	return s.loadYAML(path, text)
}

func (s *settings) loadYAML(path string, text []byte) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return exitf(exitConfig, "%s: %s", path, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	if doc.Kind == 0 {
		return nil // empty
	}
	return s.yamlMap(path, "", doc.Content[0])
}

// yamlMap walks nested maps: their names are joined with dots. Kafka's keys may stand under `kafka`.
func (s *settings) yamlMap(path, prefix string, n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return exitf(exitConfig, "%s:%d: %s must be a map of keys", path, n.Line, strings.TrimSuffix("the file."+prefix, "."))
	}
	var errs []error
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		key := prefix + k.Value
		where := fmt.Sprintf("%s:%d", path, k.Line)
		if first, twice := seen[key]; twice {
			errs = append(errs, exitf(exitConfig, "%s: %s is there twice, first on line %d", where, key, first))
			continue
		}
		seen[key] = k.Line
		switch v.Kind {
		case yaml.MappingNode:
			errs = append(errs, s.yamlMap(path, strings.TrimPrefix(key+".", "kafka."), v))
		case yaml.SequenceNode:
			var list []string
			for _, item := range v.Content {
				list = append(list, item.Value)
			}
			errs = append(errs, s.set(key, strings.Join(list, ","), where))
		default:
			value := v.Value
			if v.Tag == "!!null" {
				value = ""
			}
			errs = append(errs, s.set(key, value, where))
		}
	}
	return joinCoded(errs)
}

func (s *settings) loadProperties(path string, text []byte) error {
	loader := properties.Loader{Encoding: properties.ISO_8859_1, DisableExpansion: true}
	p, err := loader.LoadBytes(text)
	if err != nil {
		return exitf(exitConfig, "%s: %w", path, err)
	}
	lines := propertyLines(text)
	var errs []error
	for _, key := range p.Keys() {
		value, _ := p.Get(key)
		where := path
		if line, ok := lines[key]; ok {
			where = fmt.Sprintf("%s:%d", path, line)
		}
		errs = append(errs, s.set(strings.TrimPrefix(key, "kafka."), value, where))
	}
	return joinCoded(errs)
}

// propertyLines finds the line of each key, as far as it is written plainly.
func propertyLines(text []byte) map[string]int {
	lines := map[string]int{}
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimSpace(line)
		if end := bytes.IndexAny(line, "=: \t"); end > 0 {
			lines[string(line[:end])] = n
		}
	}
	return lines
}

// joinCoded joins faults of the configuration into one error with its code.
func joinCoded(errs []error) error {
	if err := errors.Join(errs...); err != nil {
		return &exitError{code: exitConfig, err: err}
	}
	return nil
}

// validate checks the whole and says where each faulty value came from.
func (s *settings) validate() error {
	err := s.cfg.Validate()
	if err == nil {
		return nil
	}
	var errs []error
	for _, err := range split(err) {
		var fault *spoold.ConfigError
		if errors.As(err, &fault) && s.source[fault.Key] != "" {
			err = fmt.Errorf("%s: %w", s.source[fault.Key], err)
		}
		errs = append(errs, err)
	}
	return joinCoded(errs)
}

// split takes a joined error apart.
func split(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
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
}

// flags applies a command's flags: -X first, so that a flag of its own wins.
func (s *settings) flags(c *cli.Context) error {
	var errs []error
	for _, pair := range c.StringSlice("X") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			errs = append(errs, usagef("-X %s: want key=value", pair))
			continue
		}
		errs = append(errs, s.set(strings.TrimSpace(key), value, "-X "+strings.TrimSpace(key)))
	}
	for _, f := range flagKeys {
		if c.IsSet(f.flag) {
			dashes := "--"
			if len(f.flag) == 1 {
				dashes = "-"
			}
			errs = append(errs, s.set(f.key, c.String(f.flag), dashes+f.flag))
		}
	}
	err := errors.Join(errs...)
	if err == nil {
		return nil
	}
	return &exitError{code: codeOf(errsFirst(errs)), err: err}
}

func errsFirst(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
