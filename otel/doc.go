// Package otel turns what a Producer reports through its hooks, and its status, into
// OpenTelemetry metrics, and serves them to Prometheus.
//
// Promise: a hook costs a few atomic additions and never blocks; labels are bounded
// (topic, reason, ingress, error), never a key. Names are in snake case with base units once they
// are Prometheus', and `_total` stands on counters only.
//
// Assumption: one Metrics watches one Producer.
package otel
