package main

import (
	"strings"
	"testing"
)

// faultsOf are the faults of reading a file, one per line.
func faultsOf(s *settings) string {
	var all []string
	for _, err := range s.faults {
		all = append(all, err.Error())
	}
	return strings.Join(all, "\n")
}

// What stood behind a line of three dashes was not read, and nothing said so.
func TestAConfigurationFileIsOneDocument(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, fault, linger string }{
		{"one", "kafka: {linger.ms: 7}\n", "", "7"},
		{"one with marks", "---\nkafka: {linger.ms: 7}\n...\n", "", "7"},
		{"an end without a beginning", "kafka: {linger.ms: 7}\n---\n# nothing\n", "", "7"},
		{"two", "kafka: {linger.ms: 7}\n---\n\nspool: {path: /s}\n", "c.yaml:4: a second YAML document begins here, after a line ---: one file is one document", "7"},
		{"nothing and one", "---\n---\nkafka: {linger.ms: 7}\n", "c.yaml:3: a second YAML document", "5"},
		{"a second one that is broken", "kafka: {linger.ms: 7}\n---\n  - : [\n", "c.yaml: yaml: line ", "7"},
		{"empty", "", "", "5"},
		{"a comment", "# nothing\n", "", "5"},
		{"a file of properties", "# c\nlinger.ms=9\nacks=all\n", "c.yaml:2: this is no YAML: lines of key=value are read from a file whose name ends in .properties", "5"},
		{"no map", "- a\n", "c.yaml:1: the file must be a map of keys", "5"},
		{"an alias in a list", "x: &x b:9\nkafka:\n  bootstrap.servers: [a:9, *x]\n  linger.ms: 7\n", "c.yaml:1: config: x: unknown key", "7"},
		{"a map in a list", "kafka:\n  bootstrap.servers:\n    - a: 9\n  linger.ms: 7\n", "c.yaml:2: bootstrap.servers is a list of plain values, and on line 3 is a map or a list", "7"},
		{"a merge", "kafka:\n  <<: {linger.ms: 8}\n  linger.ms: 7\n", "c.yaml:2: << is not read", "7"},
	} {
		s := newSettings()
		s.load("c.yaml", []byte(tt.text))
		if got := faultsOf(s); got != tt.fault && (tt.fault == "" || !strings.HasPrefix(got, tt.fault) || strings.Contains(got, "\n")) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.fault)
		}
		if got, _ := s.get("linger.ms"); got != tt.linger {
			t.Errorf("%s: linger.ms is %s, want %s", tt.name, got, tt.linger)
		}
		if servers, _ := s.get("bootstrap.servers"); tt.name == "an alias in a list" && servers != "a:9,b:9" {
			t.Errorf("%s: bootstrap.servers is %s", tt.name, servers)
		}
	}
}

func TestAFileIsRemarkedOnWhereItSaysNothingOfItsTransactionalID(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"kafka: {transactional.id: }": "c.yaml:1: transactional.id has no value: records are delivered without transactions", "kafka: {transactional.id: a}": ""} {
		s := newSettings()
		s.load("c.yaml", []byte(text))
		if got := strings.Join(s.warnings(), "; "); got != want || len(s.faults) > 0 {
			t.Errorf("%s: warnings %q, want %q; %v", text, got, want, s.faults)
		}
	}
}

// The first key of a file from an editor of Windows was not known, with a name that looked right.
func TestAByteOrderMarkIsNoPartOfAConfigurationFile(t *testing.T) {
	t.Parallel()
	const mark = "\xEF\xBB\xBF"
	for name, text := range map[string]string{
		"c.yaml":       mark + "kafka: {linger.ms: 7, client.id: é}\n",
		"C.Properties": mark + "linger.ms=7\nclient.id=é\n",
		"c.properties": mark + "linger.ms=7\nclient.id=é\n",
	} {
		s := newSettings()
		s.load(name, []byte(text))
		linger, _ := s.get("linger.ms")
		id, _ := s.get("client.id")
		if linger != "7" || id != "é" || len(s.faults) > 0 || s.source["linger.ms"] != name+":1" {
			t.Errorf("%s: linger.ms %s at %s, client.id %q, %v", name, linger, s.source["linger.ms"], id, s.faults)
		}
	}
	for _, wide := range []string{"\xFF\xFEl\x00", "\xFE\xFF\x00l"} {
		s := newSettings()
		s.load("c.properties", []byte(wide))
		if got := faultsOf(s); got != "c.properties:1: the file is UTF-16: save it as UTF-8" {
			t.Errorf("a file of UTF-16: %q", got)
		}
	}
}
