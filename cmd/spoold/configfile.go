package main

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/magiconair/properties"
	"go.yaml.in/yaml/v3"
)

// load reads a file, .properties by its name or else YAML. Its faults are kept for validate, each with its line.
func (s *settings) load(path string, text []byte) {
	s.layer(true)
	s.file = path
	if filepath.Ext(path) == ".properties" {
		s.loadProperties(path, text)
		return
	}
	s.loadYAML(path, text)
}

func (s *settings) unreadable(where string, err error) {
	s.faults = append(s.faults, fmt.Errorf("%s: %w", where, err))
}

func (s *settings) loadYAML(path string, text []byte) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		s.broken = true
		s.unreadable(path, errors.New(strings.ReplaceAll(err.Error(), "\n", " ")))
		return
	}
	if doc.Kind != 0 { // else it is empty
		s.yamlMap(path, "", doc.Content[0])
	}
}

// maxDepth bounds nested maps: an alias may stand inside of what it stands for.
const maxDepth = 30

// yamlMap walks nested maps: their names are joined with dots. Kafka's keys may stand under `kafka`.
func (s *settings) yamlMap(path, prefix string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		s.unreadable(fmt.Sprintf("%s:%d", path, n.Line), fmt.Errorf("%s must be a map of keys", strings.TrimSuffix("the file."+prefix, ".")))
		return
	}
	if strings.Count(prefix, ".") > maxDepth {
		s.unreadable(fmt.Sprintf("%s:%d", path, n.Line), errors.New("maps are nested too deeply"))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		key := prefix + k.Value
		where := fmt.Sprintf("%s:%d", path, k.Line)
		if first, twice := seen[key]; twice {
			s.unreadable(where, fmt.Errorf("%s is there twice, first on line %d", key, first))
			continue
		}
		seen[key] = k.Line
		switch v.Kind {
		case yaml.MappingNode:
			s.yamlMap(path, strings.TrimPrefix(key+".", "kafka."), v)
		case yaml.SequenceNode:
			var list []string
			for _, item := range v.Content {
				list = append(list, item.Value)
			}
			s.set(key, strings.Join(list, ","), where)
		default:
			value := v.Value
			if v.Tag == "!!null" {
				value = ""
			}
			s.set(key, value, where)
		}
	}
}

func (s *settings) loadProperties(path string, text []byte) {
	loader := properties.Loader{Encoding: properties.ISO_8859_1, DisableExpansion: true}
	p, err := loader.LoadBytes(text)
	if err != nil {
		s.broken = true
		s.unreadable(path, err)
		return
	}
	lines := propertyLines(text)
	for _, key := range p.Keys() {
		value, _ := p.Get(key)
		where := path
		if at := lines[key]; len(at) > 0 {
			where = fmt.Sprintf("%s:%d", path, at[len(at)-1])
			if len(at) > 1 {
				s.doubled = append(s.doubled, fmt.Sprintf("%s: %s is there more than once, first on line %d: the last one counts", where, key, at[0]))
			}
		}
		s.set(strings.TrimPrefix(key, "kafka."), value, where)
	}
}

// propertyLines finds the lines of each key, as far as it is written plainly.
func propertyLines(text []byte) map[string][]int {
	lines := map[string][]int{}
	n, goesOn := 0, false // goesOn: a value that began on a line before
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimSpace(line)
		begins := !goesOn
		comment := begins && len(line) > 0 && (line[0] == '#' || line[0] == '!')
		slashes := len(line) - len(bytes.TrimRight(line, "\\"))
		goesOn = !comment && slashes%2 == 1
		if end := bytes.IndexAny(line, "=: \t"); begins && !comment && end > 0 {
			key := string(line[:end])
			lines[key] = append(lines[key], n)
		}
	}
	return lines
}
