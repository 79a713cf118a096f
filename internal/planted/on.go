//go:build planted

package planted

import "fmt"

var chosen Bug

// Is reports whether a mistake was chosen.
func Is(b Bug) bool { return chosen == b }

// Choose makes a mistake, by its name; "" makes none. Nothing may be running.
func Choose(name string) error {
	if name == "" {
		chosen = 0
		return nil
	}
	for i := range Bugs {
		if Bugs[i].Name == name {
			chosen = Bugs[i].Bug
			return nil
		}
	}
	return fmt.Errorf("planted: there is no mistake called %q", name)
}
