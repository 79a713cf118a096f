package main

import (
	"strings"
	"testing"

	"github.com/spoold/spoold"
)

// A monitoring plugin looks at the exit code alone.
func TestStatusIsDegradedByWhatAnOperatorHasToLookAt(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*spoold.Status)
		want  int
	}{
		"nothing":              {func(*spoold.Status) {}, statusHealthy},
		"link":                 {func(s *spoold.Status) { s.Link = "down" }, statusDegraded},
		"dead letters":         {func(s *spoold.Status) { s.DeadLetters = 1 }, statusDegraded},
		"a damaged segment":    {func(s *spoold.Status) { s.DamagedFiles = []string{"x"} }, statusDegraded},
		"fenced":               {func(s *spoold.Status) { s.Transaction.Fenced = "by another" }, statusDegraded},
		"a parked transaction": {func(s *spoold.Status) { s.Transaction.Parked = 1 }, statusDegraded},
		"trouble":              {func(s *spoold.Status) { s.Topics[0].Trouble = "why" }, statusDegraded},
		"full":                 {func(s *spoold.Status) { s.SpoolFull = "why" }, statusCritical},
		"stopped":              {func(s *spoold.Status) { s.State = "stopped" }, statusCritical},
	} {
		s := &spoold.Status{State: "running", Link: "up", Transaction: &spoold.TransactionStatus{}, Topics: make([]spoold.TopicStatus, 1)}
		tt.spoil(s)
		if code := severity(s, 1); code != tt.want {
			t.Errorf("%s: %d, want %d", name, code, tt.want)
		}
		s.Transaction = nil
		if code := severity(s, 0); code != statusNotRunning {
			t.Errorf("%s: %d without a process", name, code)
		}
	}
}

// That nothing is free is what matters most of all.
func TestStatusShowsADiskWithoutRoom(t *testing.T) {
	var b strings.Builder
	if err := (&statusView{dir: "d"}).print(&b, &spoold.Status{}, 1); err != nil || !strings.Contains(b.String(), "disk free 0 B") {
		t.Errorf("%v: %s", err, &b)
	}
}

// Connections without work are closed, and made when there is something to send: no fault.
func TestAnIdleLinkIsNotShownAsAFault(t *testing.T) {
	for _, tt := range []struct {
		link       string
		brokers    int
		want, none string
	}{
		{"up", 0, "link      up 0ms (idle: no connection is open)\n", "connected"},
		{"up", 1, "1 broker connected", "idle"},
		{"down", 0, "0 brokers connected", "idle"},
	} {
		var b strings.Builder
		if err := (&statusView{dir: "d"}).print(&b, &spoold.Status{Link: tt.link, Brokers: tt.brokers}, 1); err != nil || !strings.Contains(b.String(), tt.want) || strings.Contains(b.String(), tt.none) {
			t.Errorf("link %s, %d brokers: %v: want %q and no %q in %s", tt.link, tt.brokers, err, tt.want, tt.none, &b)
		}
	}
}
