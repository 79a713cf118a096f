package main

import (
	"syscall"

	"github.com/spoold/spoold/cmd/spoold/internal/doctor"
)

// connections is http.max.connections, or what the limit of open files leaves of it: the spool's segments, the connections to
// brokers and everything else come first. Go has raised the soft limit to the hard one already.
func (d *daemon) connections() int {
	want := int(d.s.own.HTTPMaxConnections)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return want
	}
	n := fitConnections(want, limit.Cur)
	if n < want {
		d.log.Warn("fewer HTTP connections at a time than http.max.connections: the limit of open files allows no more (ulimit -n, LimitNOFILE= in the unit)",
			"event", "limits", "http.max.connections", want, "connections", n, "open_files", limit.Cur)
	}
	return n
}

// leastConnections are taken however few files may be open.
const leastConnections = 16

// fitConnections is how many of want connections fit when so many files may be open.
func fitConnections(want int, files uint64) int {
	room := int(min(files, 1<<30)) - doctor.SpareFiles
	return min(want, max(room, leastConnections))
}
