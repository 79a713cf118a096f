// Package deploy tests the alert rules, recording rules and the dashboard that are files of this folder. It is a module of
// its own, so that spoold does not depend on Prometheus.
package deploy
