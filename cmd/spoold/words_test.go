package main

import (
	"strings"
	"testing"
)

func TestMisspeltVariablesAreNamedAndForeignOnesAreNot(t *testing.T) {
	got := strayVariables([]string{
		"SPOOLD_LINGERMS=3", "SPOOLD_LINGER_MS=3", "SPOOLD_ADMIN_TOKEN=x", "HOME=/root",
		// What Kubernetes sets for a service with the name spoold.
		"SPOOLD_SERVICE_HOST=10.0.0.1", "SPOOLD_SERVICE_PORT=8082", "SPOOLD_PORT=tcp://10.0.0.1:8082", "SPOOLD_PORT_8082_TCP=x", "SPOOLD_PORT_8082_TCP_ADDR=x",
	})
	if want := "SPOOLD_LINGERMS is not read; did you mean SPOOLD_LINGER_MS?"; len(got) != 1 || got[0] != want {
		t.Errorf("strayVariables: %q, want only %q", got, want)
	}
}

func TestOpenListenerIsRefusedWithTheAddressThatWasGiven(t *testing.T) {
	s := newSettings()
	s.layer(false)
	s.set("http.listen", "0.0.0.0:18083", "--http")
	errs := s.validateAccess()
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "http.listen 0.0.0.0:18083 can be reached") {
		t.Errorf("validateAccess: %v", errs)
	}
}

func TestFlushCountsNothingOfSpoolsThatCannotBeRead(t *testing.T) {
	for _, c := range []struct {
		sum  flushed
		want string
	}{
		{flushed{}, "nothing is pending"},
		{flushed{Spools: 1, Acked: 305638}, "305,638 records acked, 0 pending in 1 spool"},
		{flushed{Unreadable: 1}, "nothing was delivered; 1 spool cannot be looked into: what is pending there is not known"},
	} {
		if got := c.sum.line(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.sum, got, c.want)
		}
	}
}
