package find

import (
	"fmt"
	"slices"
)

// Find is the first seed that breaks a law, of those that were tried. Seed 0: none does.
type Find struct {
	Disks Disks
	Seed  uint64
	Law   string
	Text  string
}

// Disks are what the hosts of a plan have.
type Disks int

// The disks.
const (
	AsDrawn  Disks = iota // a model of spool/bolt, and in one seed of ninety spool/bolt
	Bolt                  // spool/bolt itself
	Compared              // spool/bolt itself, and its model beside it: the first difference ends the run
)

var names = []string{"drawn", "bolt", "compared"}

func (d Disks) String() string { return names[d] }

// MarshalText gives the name.
func (d Disks) MarshalText() ([]byte, error) { return []byte(names[d]), nil }

// UnmarshalText takes a name.
func (d *Disks) UnmarshalText(text []byte) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("find: %q is none of %q", text, names)
	}
	*d = Disks(i)
	return nil
}
