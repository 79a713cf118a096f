package poll

import "flag"

// Parallel sets how many tests of the binary run at once, unless -parallel is given. Tests that mostly wait, for a
// disk, a broker or a time-out, need no core each. For TestMain, before it runs the tests.
func Parallel(n string) {
	if err := flag.Set("test.parallel", n); err != nil {
		panic(err) // not a test binary
	}
}
