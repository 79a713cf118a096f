package poll

import "os"

// InMemory puts the temporary files of the binary's tests on a file system in memory, where there is one with room
// on which programs can be run: a test of what a sync promises brings its own disk, all others need not wait for one.
// A TMPDIR that is set stays. For TestMain, before it runs the tests.
func InMemory() {
	const memory = "/dev/shm"
	if os.Getenv("TMPDIR") != "" || !roomy(memory) {
		return
	}
	if err := os.Setenv("TMPDIR", memory); err != nil {
		panic(err) // the name has no "="
	}
}
