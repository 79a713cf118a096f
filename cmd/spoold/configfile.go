package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/magiconair/properties"
	"go.yaml.in/yaml/v3"
)

// byteOrderMark is what editors of Windows put in front of UTF-8.
const byteOrderMark = "\uFEFF"

// load reads a file, .properties by its name or else YAML. Its faults are kept for validate, each with its line.
func (s *settings) load(path string, text []byte) {
	s.layer(true)
	s.file = path
	rest, marked := bytes.CutPrefix(text, []byte(byteOrderMark))
	switch {
	case bytes.HasPrefix(text, []byte{0xFF, 0xFE}), bytes.HasPrefix(text, []byte{0xFE, 0xFF}):
		s.broken = true
		s.unreadable(path+":1", errors.New("the file is UTF-16: save it as UTF-8"))
	case strings.EqualFold(filepath.Ext(path), ".properties"):
		s.loadProperties(path, rest, marked)
	default:
		s.loadYAML(path, rest)
	}
}

func (s *settings) unreadable(where string, err error) {
	s.faults = append(s.faults, fmt.Errorf("%s: %w", where, err))
}

func (s *settings) loadYAML(path string, text []byte) {
	in := yaml.NewDecoder(bytes.NewReader(text))
	for first := true; ; first = false {
		var doc yaml.Node
		err := in.Decode(&doc)
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			s.broken = true
			s.unreadable(path, errors.New(strings.ReplaceAll(err.Error(), "\n", " ")))
			return
		case len(doc.Content) == 0:
		case first && doc.Content[0].Kind == yaml.ScalarNode && propertyForm.MatchString(doc.Content[0].Value):
			s.broken = true
			s.unreadable(fmt.Sprintf("%s:%d", path, doc.Content[0].Line), errors.New("this is no YAML: lines of key=value are read from a file whose name ends in .properties"))
			return
		case first:
			s.yamlMap(path, "", doc.Content[0])
		case doc.Content[0].Tag != "!!null": // there is something behind the ---
			s.unreadable(fmt.Sprintf("%s:%d", path, doc.Content[0].Line), errors.New("a second YAML document begins here, after a line ---: one file is one document"))
			return
		}
	}
}

// propertyForm is how a line of a .properties file begins.
var propertyForm = regexp.MustCompile(`^[A-Za-z0-9_.]+ *=`)

// maxDepth bounds nested maps: an alias may stand inside of what it stands for.
const maxDepth = 30

// yamlMap walks nested maps: their names are joined with dots. Kafka's keys may stand under `kafka`.
func (s *settings) yamlMap(path, prefix string, n *yaml.Node) {
	if n.Tag == "!!null" && prefix == "" {
		return // the file is empty
	}
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
		v = plainNode(v)
		key := prefix + k.Value
		where := fmt.Sprintf("%s:%d", path, k.Line)
		if k.Tag == "!!merge" {
			s.unreadable(where, errors.New("<< is not read: name each key here, or give the whole map as an alias (kafka: *NAME)"))
			continue
		}
		if first, twice := seen[key]; twice {
			s.unreadable(where, fmt.Errorf("%s is there twice, first on line %d", key, first))
			continue
		}
		seen[key] = k.Line
		switch {
		case v.Kind == yaml.MappingNode && len(v.Content) == 0 && prefix == shipPrefix:
			s.set(key, "", where) // a section without options is a fault, as one without files is
		case v.Kind == yaml.MappingNode:
			s.yamlMap(path, strings.TrimPrefix(key+".", "kafka."), v)
		case v.Kind == yaml.SequenceNode:
			if list, err := plainList(v); err != nil {
				s.unreadable(where, fmt.Errorf("%s %w", key, err))
			} else if at := slices.IndexFunc(v.Content, func(n *yaml.Node) bool { return strings.Contains(plainNode(n).Value, ",") }); at >= 0 && strings.HasPrefix(key, shipPrefix) {
				s.unreadable(where, fmt.Errorf("%s: %q: a comma parts two files: write ? in its place", key, plainNode(v.Content[at]).Value))
			} else {
				s.set(key, list, where)
			}
		default:
			s.set(key, scalar(v), where)
		}
	}
}

// plainNode is the node, or what it is an alias of.
func plainNode(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// plainList is a list of plain values, as it is given on one line.
func plainList(n *yaml.Node) (string, error) {
	var list []string
	for _, item := range n.Content {
		if item = plainNode(item); item.Kind != yaml.ScalarNode {
			return "", fmt.Errorf("is a list of plain values, and on line %d is a map or a list", item.Line)
		}
		list = append(list, scalar(item))
	}
	return strings.Join(list, ","), nil
}

// scalar is a plain value as text.
func scalar(n *yaml.Node) string {
	if n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

// loadProperties reads what Java's Properties writes, which is ISO 8859-1; a file with a byte order mark is UTF-8.
func (s *settings) loadProperties(path string, text []byte, marked bool) {
	loader := properties.Loader{Encoding: properties.ISO_8859_1, DisableExpansion: true}
	if marked {
		loader.Encoding = properties.UTF8
	}
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
				s.remarks = append(s.remarks, fmt.Sprintf("%s: %s is there more than once, first on line %d: the last one counts", where, key, at[0]))
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
