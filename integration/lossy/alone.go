package lossy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"github.com/spoold/spoold/integration/proc"
)

// envAlone says that a process has a mount namespace of its own.
const envAlone = "LOSSY_ALONE"

// Alone runs this program again, with the same arguments, in a mount namespace of its own, and gives its
// exit code; inside of that it reports false. However the program ends, its mounts end with it.
func Alone() (code int, ran bool, err error) {
	if os.Getenv(envAlone) != "" {
		return 0, false, nil
	}
	cmd := exec.CommandContext(context.Background(), "/proc/self/exe", os.Args[1:]...) // it ends with us
	cmd.Env = append(os.Environ(), envAlone+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	p, err := proc.Start(cmd)
	if errors.Is(err, syscall.EPERM) {
		return 1, true, fmt.Errorf("lossy: a mount namespace and FUSE need root (CAP_SYS_ADMIN): %w", err)
	}
	if err != nil {
		return 1, true, fmt.Errorf("lossy: %w", err)
	}
	return p.ExitCode(), true, nil
}
