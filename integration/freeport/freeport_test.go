package freeport

import (
	"net"
	"strconv"
	"testing"
)

func TestAnAddressIsFreeAndNoneThatTheSystemGives(t *testing.T) {
	for range 20 {
		_, port, err := net.SplitHostPort(Addr(t))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := strconv.Atoi(port); err != nil || n < first || n >= end {
			t.Errorf("port %s, want one from %d on and below %d", port, first, end)
		}
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err != nil {
			t.Errorf("nobody can listen on port %s: %v", port, err)
			continue
		}
		_ = l.Close() // nothing was accepted
	}
}
