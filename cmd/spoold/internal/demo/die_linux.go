package demo

import "syscall"

// dieWithParent keeps no daemon behind when the demo itself is killed.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
