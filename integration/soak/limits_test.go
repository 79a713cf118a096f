package soak

import (
	"strings"
	"testing"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/proc"
)

// status is one that nothing is wrong with.
func status() *crash.Status { return &crash.Status{Accepted: 10, Acked: 8, Pending: 2} }

// The oracle itself: each violation must be seen, and nothing else.
func TestEachViolationInASampleIsSeen(t *testing.T) {
	limits := Limits{Anon: 100, Disk: 100, Descriptors: 10, Threads: 10, Routines: 10}
	parked := status()
	parked.Topics = []crash.TopicStatus{{Topic: "t", State: "parked", Detail: "why"}}
	dead := status()
	dead.Acked, dead.DeadLettered = 7, 1
	tests := []struct {
		name   string
		sample Sample
		want   string // "": nothing is wrong
	}{
		{"all is well", Sample{Answered: 10, Disk: 100, Use: &proc.Usage{Anon: 100, Descriptors: 10, Threads: 10}, Status: status()}, ""},
		{"nothing runs", Sample{Answered: 10}, ""},
		{"too much disk", Sample{Disk: 101}, "occupy 101 bytes"},
		{"too much memory", Sample{Use: &proc.Usage{Anon: 101}}, "anonymous memory is 101"},
		{"too many descriptors", Sample{Use: &proc.Usage{Descriptors: 11}}, "11 descriptors"},
		{"too many threads", Sample{Use: &proc.Usage{Threads: 11}}, "11 threads"},
		{"too many goroutines", Sample{Routines: 11}, "11 goroutines"},
		{"an answer before the record was there", Sample{Answered: 11, Status: status()}, "told that 11"},
		{"a parked topic", Sample{Status: parked}, "t: why"},
		{"a dead letter", Sample{Status: dead}, "1 records are dead-lettered"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := limits.Check(&tt.sample)
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Check() = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestCountersThatGoBackAreSeenAlsoAcrossAKill(t *testing.T) {
	tests := []struct {
		name            string
		accepted, acked uint64
		ok              bool
	}{
		{"they grow", 11, 9, true},
		{"they stay", 10, 8, true},
		{"accepted goes back", 9, 8, false},
		{"acked goes back", 10, 7, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var h History
			samples := []Sample{{Status: status()}, {}, {Status: &crash.Status{Accepted: tt.accepted, Acked: tt.acked}}}
			var err error
			for i := range samples { // the second: killed
				err = h.Check(&samples[i])
			}
			if (err == nil) != tt.ok {
				t.Errorf("Check() = %v, want an error: %v", err, !tt.ok)
			}
		})
	}
}
