// Package service reports the daemon's state to the service manager, and takes
// the sockets that it passes.
//
// Promise: systemd sees READY=1 only after the daemon takes records, and
// WATCHDOG=1 only while the loop answers and no failure of the disk has
// stopped it. Outside systemd nothing is sent and no goroutine runs.
package service
