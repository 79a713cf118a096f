package keytable

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kind is how a key's value is written.
type Kind string

// Kinds of values.
const (
	Text     Kind = "text"
	List     Kind = "list"     // comma-separated
	Bool     Kind = "bool"     // true or false, in any case of letters
	Int      Kind = "int"      // a whole number
	Size     Kind = "size"     // bytes: see ParseSize
	Millis   Kind = "ms"       // a plain number is milliseconds; 5s works too
	Duration Kind = "duration" // 30s, 24h, 7d
	Choice   Kind = "choice"   // one of Choices
)

// Effect is what setting a key does.
type Effect int

// Effects.
const (
	Works   Effect = iota
	Ignored        // it is for Java alone, or for what is always so here: a warning, unless it has Kafka's default
	Refused        // only the values that change nothing are taken
)

// Spec is what there is to say of a key.
type Spec struct {
	Name    string // a name that ends in a dot stands for all that begin so
	Aliases []string
	Kind    Kind
	Default string // "": none
	// Min and Max bound numbers: bytes for sizes, milliseconds for times. Max 0: the type's own.
	Min, Max   int64
	Also       []int64 // numbers outside of Min to Max that are taken, such as -1 for a default
	Choices    []string
	Help       string
	Note       string // a warning whenever the key is set
	Kafka      bool   // a key of a Kafka client: under `kafka:` in the file
	Secret     bool   // never printed
	References bool   // its value may be ${env:NAME} or ${file:PATH}; so may that of every Secret
	Effect     Effect
	Harmless   []string // values of a key that does not work which change nothing
}

// Row is one key of a configuration C.
type Row[C any] struct {
	Spec
	Field func(*C) any     // to its value; nil where Effect is not Works
	Rule  func(c *C) error // beside type and range; nil: none
}

// Table is all keys of a configuration C. It never changes.
type Table[C any] struct {
	rows   []Row[C]
	byName map[string]*Row[C] // also by aliases
}

// New is a table of rows, in the order in which they should be printed. It panics if a spelling is there twice.
func New[C any](parts ...[]Row[C]) *Table[C] {
	t := &Table[C]{rows: slices.Concat(parts...), byName: make(map[string]*Row[C])}
	for i := range t.rows {
		r := &t.rows[i]
		for _, name := range append([]string{r.Name}, r.Aliases...) {
			if t.byName[name] != nil {
				panic("keytable: " + name + " is there twice")
			}
			t.byName[name] = r
		}
	}
	return t
}

// Specs are copies of all rows.
func (t *Table[C]) Specs() []Spec {
	specs := make([]Spec, len(t.rows))
	for i := range t.rows {
		specs[i] = t.rows[i].clone()
	}
	return specs
}

func (s *Spec) clone() Spec {
	c := *s
	c.Aliases, c.Also, c.Choices, c.Harmless = slices.Clone(s.Aliases), slices.Clone(s.Also), slices.Clone(s.Choices), slices.Clone(s.Harmless)
	return c
}

// row finds a key by its name, by one of its other spellings, or by its beginning.
func (t *Table[C]) row(key string) *Row[C] {
	if r := t.byName[key]; r != nil {
		return r
	}
	for i := range t.rows {
		if r := &t.rows[i]; strings.HasSuffix(r.Name, ".") && strings.HasPrefix(key, r.Name) {
			return r
		}
	}
	return nil
}

// Find is what there is to say of a key, whichever of its spellings it is. The name is the one that its values are kept under: the
// key itself, where the row stands for all that begin so.
func (t *Table[C]) Find(key string) (name string, s Spec, ok bool) {
	r := t.row(key)
	if r == nil {
		return "", Spec{}, false
	}
	if strings.HasSuffix(r.Name, ".") {
		return key, r.clone(), true
	}
	return r.Name, r.clone(), true
}

// Set gives a key its value. The warning is "" if there is nothing to warn of. The fault is what is wrong with the value, which it
// does not hold.
func (t *Table[C]) Set(c *C, key, value string) (warning string, fault error) {
	r := t.row(key)
	if r == nil {
		return "", Unknown(key, t.Names())
	}
	if !r.Secret { // a password may end in a space
		value = strings.TrimSpace(value)
	}
	switch {
	case r.Effect == Works:
		if err := r.set(c, value); err != nil {
			return "", err
		}
		if r.Note != "" {
			warning = r.Name + ": " + r.Note
		}
		return warning, nil
	case value == "" || value == "null" || value == r.Default || slices.Contains(r.Harmless, value):
		return "", nil
	case r.Effect == Ignored:
		return fmt.Sprintf("%s is ignored: %s", key, r.Note), nil
	}
	return "", errors.New(r.Note)
}

// Get is a key's value as text that Set takes, but for secrets. It finds keys that work, by any spelling.
func (t *Table[C]) Get(c *C, key string) (string, bool) {
	r := t.byName[key]
	if r == nil || r.Effect != Works {
		return "", false
	}
	return r.get(c), true
}

// Same reports whether two configurations have the same value of a key; it looks into secrets.
func (t *Table[C]) Same(a, b *C, key string) bool {
	r := t.byName[key]
	return r == nil || r.Effect != Works || r.raw(a) == r.raw(b)
}

// Default sets every key to its default.
func (t *Table[C]) Default(c *C) {
	for i := range t.rows {
		if r := &t.rows[i]; r.Effect == Works && r.Default != "" {
			if err := r.set(c, r.Default); err != nil {
				panic(fmt.Sprintf("keytable: default %q of %s: %v", r.Default, r.Name, err))
			}
		}
	}
}

// Check calls fault with each key whose value is out of its range or breaks its rule.
func (t *Table[C]) Check(c *C, fault func(key string, err error)) {
	for i := range t.rows {
		if r := &t.rows[i]; r.Effect == Works {
			if err := r.check(c); err != nil {
				fault(r.Name, err)
			}
		}
	}
}

// Names are all spellings of all keys.
func (t *Table[C]) Names() []string {
	var names []string
	for i := range t.rows {
		names = append(append(names, t.rows[i].Name), t.rows[i].Aliases...)
	}
	return names
}

// Unknown is the fault of a key that is none of names, with the nearest of them, if one is near.
func Unknown(key string, names []string) error {
	best := nearest(key, names, len(key)/3+2)
	if best == "" {
		for _, name := range names {
			if strings.HasPrefix(name, key+".") {
				return fmt.Errorf("unknown key; keys begin so, such as %s", strings.TrimSuffix(name, "."))
			}
		}
		return errors.New("unknown key")
	}
	return fmt.Errorf("unknown key; did you mean %s?", strings.TrimSuffix(best, "."))
}

// Nearest is that of names which a word is a misspelling of, or "": about a third of its letters may be wrong.
func Nearest(word string, names []string) string {
	return nearest(word, names, min(len(word)/2+1, len(word)/3+2))
}

// nearest is the name with the fewest edits from word, if those are fewer than below.
func nearest(word string, names []string, below int) string {
	best, distance := "", below
	for _, name := range names {
		if d := editDistance(word, name); d < distance || d == distance && name < best {
			best, distance = name, d
		}
	}
	return best
}
