package main

import (
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
