//go:build !planted

package planted

import "errors"

// Is reports whether a mistake was chosen: none can be.
func Is(Bug) bool { return false }

// Choose says that nothing can be chosen.
func Choose(string) error {
	return errors.New("planted: this program was built without the mistakes: build it with -tags planted")
}
