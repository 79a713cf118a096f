package proc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// RunWith builds a command once for all tests of a package, has binary name it, and runs them: m is TestMain's. It
// returns the exit code.
func RunWith(m interface{ Run() int }, command string, binary *string) (code int) {
	dir, err := os.MkdirTemp("", "spoold-built-")
	if err != nil {
		fmt.Fprintf(os.Stderr, "proc: %v\n", err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is in the temporary directory
	*binary = filepath.Join(dir, filepath.Base(command))
	if out, err := exec.CommandContext(context.Background(), "go", "build", "-o", *binary, command).CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "proc: build %s: %v\n%s", command, err, out)
		return 1
	}
	return m.Run()
}
