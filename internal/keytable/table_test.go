package keytable

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// secret is a text that shows itself as dots.
type secret string

func (s secret) String() string                { return strings.Repeat(".", len(s)) }
func (s *secret) UnmarshalText(b []byte) error { *s = secret(b); return nil }
func (s secret) Reveal() string                { return string(s) }

type config struct {
	name     string
	list     []string
	on       bool
	count    int64
	size     int64
	level    int64
	user     string
	pause    time.Duration
	window   time.Duration
	password secret
	color    string
}

var rows = []Row[config]{
	{Spec: Spec{Name: "name", Kind: Text, Default: "x"}, Field: func(c *config) any { return &c.name }, Rule: func(c *config) error {
		if c.name == "bad" {
			return errors.New("must not be bad")
		}
		return nil
	}},
	{Spec: Spec{Name: "list", Kind: List}, Field: func(c *config) any { return &c.list }},
	{Spec: Spec{Name: "on", Kind: Bool, Default: "true"}, Field: func(c *config) any { return &c.on }},
	{Spec: Spec{Name: "count", Aliases: []string{"number", "n"}, Kind: Int, Default: "3", Min: 1, Max: 5, Note: "has an effect"}, Field: func(c *config) any { return &c.count }},
	{Spec: Spec{Name: "size", Kind: Size, Default: "1KiB", Min: -1, Max: 1 << 20}, Field: func(c *config) any { return &c.size }},
	{Spec: Spec{Name: "level", Kind: Int, Default: "-1", Min: 1, Max: 9, Also: []int64{-1}}, Field: func(c *config) any { return &c.level }},
	{Spec: Spec{Name: "user", Kind: Text, References: true}, Field: func(c *config) any { return &c.user }},
	{Spec: Spec{Name: "pause.ms", Kind: Millis, Min: 10, Max: 100}, Field: func(c *config) any { return &c.pause }},
	{Spec: Spec{Name: "window", Kind: Duration, Default: "24h"}, Field: func(c *config) any { return &c.window }},
	{Spec: Spec{Name: "password", Kind: Text, Secret: true}, Field: func(c *config) any { return &c.password }},
	{Spec: Spec{Name: "color", Kind: Choice, Default: "RED", Choices: []string{"RED", "BLUE"}}, Field: func(c *config) any { return &c.color }},
	{Spec: Spec{Name: "java.", Effect: Ignored, Note: "there is no Java here", Harmless: []string{"coffee"}}},
	{Spec: Spec{Name: "later", Effect: Refused, Note: "not yet", Harmless: []string{"no"}}},
}

func TestAValueIsTakenReadBackOrRefused(t *testing.T) {
	table := New(rows)
	for _, tt := range []struct{ key, value, want, warning, fault string }{
		{"name", " y ", "y", "", ""},
		{"name", "bad", "", "", "must not be bad"},
		{"list", "a, b,,c", "a,b,c", "", ""},
		{"on", "false", "false", "", ""},
		{"on", "no", "", "", "true or false"},
		{"on", "FALSE", "false", "", ""},
		{"on", "True", "true", "", ""},
		{"count", "5", "5", "count: has an effect", ""},
		{"n", "4", "4", "count: has an effect", ""},
		{"count", "6", "", "", "between 1 and 5"},
		{"count", "0", "", "", "between 1 and 5"},
		{"count", "many", "", "", "whole number"},
		{"size", "-1", "-1", "", ""},
		{"size", "2KiB", "2048", "", ""},
		{"size", "64kib", "65536", "", ""},
		{"size", "64k", "65536", "", ""},
		{"size", "64K", "65536", "", ""},
		{"size", "64kb", "64000", "", ""},
		{"size", "64 KB", "64000", "", ""},
		{"size", "1M", "1048576", "", ""},
		{"size", "0.5 MiB", "524288", "", ""},
		{"size", "0.7k", "", "", "must be a size"},
		{"size", "-0.5k", "", "", "from 0"},
		{"size", "k", "", "", "must be a size"},
		{"size", "9223372036854775807T", "", "", "is too large"},
		{"level", "-1", "-1", "", ""},
		{"level", "0", "", "", "must be -1, or 1 to 9"},
		{"name", "a${b}", "a${b}", "", ""},
		{"name", "a${env:B}", "", "", "only secrets"},
		{"name", "${file:/b:c}", "", "", "only secrets"},
		{"password", "${file:/b:c}", "............", "", ""},
		{"user", "${env:B}", "${env:B}", "", ""},
		{"size", "2MiB", "", "", "between -1 and 1MiB"},
		{"pause.ms", "", "0", "", ""}, // not given
		{"pause.ms", "10", "10", "", ""},
		{"pause.ms", "9", "", "", "between 10 ms and 100 ms"},
		{"window", "7d", "168h", "", ""},
		{"password", " s ", "...", "", ""},
		{"color", "blue", "BLUE", "", ""},
		{"color", "green", "", "", "one of RED, BLUE"},
		{"java.x", "1", "", "java.x is ignored: there is no Java here", ""},
		{"java.x", "coffee", "", "", ""},
		{"java.x", "", "", "", ""},
		{"later", "no", "", "", ""},
		{"later", "null", "", "", ""},
		{"later", "yes", "", "", "not yet"},
		{"namee", "x", "", "", "did you mean name?"},
		{"something.else", "x", "", "", "unknown key"},
		{"pause", "x", "", "", "keys begin so, such as pause.ms"},
		{"java", "x", "", "", "did you mean"},
	} {
		var c config
		table.Default(&c)
		warning, err := table.Set(&c, tt.key, tt.value)
		if warning != tt.warning || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("Set(%s, %q) = %q, %v, want %q, %q", tt.key, tt.value, warning, err, tt.warning, tt.fault)
		}
		if got, _ := table.Get(&c, tt.key); err != nil {
			var usual config
			table.Default(&usual)
			if former, _ := table.Get(&usual, tt.key); got != former {
				t.Errorf("%s = %q, which is refused, reads back as %q, want %q as before", tt.key, tt.value, got, former)
			}
		} else if got != tt.want {
			t.Errorf("%s = %q reads back as %q, want %q", tt.key, tt.value, got, tt.want)
		}
	}
}

func TestSecretsAreComparedThoughTheyAreNotShown(t *testing.T) {
	table := New(rows)
	a, b := config{password: "one"}, config{password: "two"}
	if x, _ := table.Get(&a, "password"); x != "..." || table.Same(&a, &b, "password") || !table.Same(&a, &a, "password") {
		t.Errorf("shown as %q", x)
	}
	a.count, b.count = 1, 2
	if table.Same(&a, &b, "n") || !table.Same(&a, &b, "later") || !table.Same(&a, &b, "unknown") {
		t.Error("other keys are compared wrongly")
	}
}

func TestCheckNamesEveryFault(t *testing.T) {
	var c config
	c.name, c.pause = "bad", time.Hour
	var faults []string
	New(rows).Check(&c, func(key string, _ error) { faults = append(faults, key) })
	if got := strings.Join(faults, " "); got != "name count level pause.ms color" {
		t.Errorf("faults of %s", got)
	}
}

func TestASpellingIsThereOnce(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a spelling that is there twice is taken")
		}
	}()
	New(rows, []Row[config]{{Spec: Spec{Name: "number"}}})
}

func TestFindTakesEverySpelling(t *testing.T) {
	table := New(rows)
	for key, want := range map[string]string{"count": "count", "n": "count", "java.a.b": "java.a.b", "x": ""} {
		if name, _, ok := table.Find(key); name != want || ok != (want != "") {
			t.Errorf("Find(%s) = %q, %v", key, name, ok)
		}
	}
	_, s, _ := table.Find("n")
	s.Aliases[0] = "damaged"
	if _, _, ok := table.Find("number"); !ok || len(table.Specs()) != len(rows) || table.Names()[0] != "name" {
		t.Error("the table was damaged")
	}
}

func TestNearestNamesOnlyWhatIsMisspelt(t *testing.T) {
	names := []string{"print", "explain", "export", "doctor", "serve", "bench", "ls"}
	for word, want := range map[string]string{"pritn": "print", "exprot": "export", "sl": "", "l": "", "adopt": "", "resend": "", "nosuch": "", "lss": "ls", "": ""} {
		if got := Nearest(word, names); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
