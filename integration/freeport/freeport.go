package freeport

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Ports below those that Linux gives to listeners on port 0 and to connections (net.ipv4.ip_local_port_range).
const (
	first = 10_000
	end   = 32_000
	tries = 1000
)

// Addr is an address on loopback at which nobody listens. Processes that run at the same time look in places of their own.
func Addr(t testing.TB) string {
	t.Helper()
	for range tries {
		addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(end-first)))
		if l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr); err == nil {
			_ = l.Close() // nothing was accepted
			return addr
		}
	}
	t.Fatalf("none of %d ports is free", tries)
	return ""
}
