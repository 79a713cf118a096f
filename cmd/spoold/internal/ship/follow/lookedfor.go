package follow

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/spoold/spoold"
)

// lookedFor is which patterns were looked for before: their logs were followed from the beginning, so a rotated file
// that turns up is a new one.
type lookedFor struct {
	options   *Options
	seen      map[string]bool // names of notes
	seenNotes map[string]bool // those that were sent
}

// see makes a note of every pattern that was looked for: rotated files that turn up from now on are new. hidden: it could not be.
func (l *lookedFor) see(hidden func(string) bool) (notes []spoold.Note) {
	if l.options.Single {
		return nil
	}
	for _, pattern := range l.options.Patterns {
		if name := l.seenName(pattern); !l.seenNotes[name] && !hidden(pattern) {
			l.seen[name], l.seenNotes[name] = true, true
			notes = append(notes, spoold.Note{Name: name, Value: []byte(pattern[:min(len(pattern), 1024)])})
		}
	}
	return append(notes, l.seeBehind()...)
}

// looked reports whether a pattern that names this log was looked for before.
func (l *lookedFor) looked(base string) bool {
	return slices.ContainsFunc(l.options.Patterns, func(p string) bool { return names(p, base) && l.seen[l.seenName(p)] })
}

func (l *lookedFor) seenName(pattern string) string {
	sum := sha256.Sum256([]byte(pattern))
	return fmt.Sprintf("%s%s%x", l.options.prefix(), seenPrefix, sum[:8])
}

const seenPrefix = "seen-"
