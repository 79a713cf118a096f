// Package demo shows the guarantee on a real child process: an outage, kill -9 while
// clients write, a restart, a drain; then the topic is read back by another
// client and counted.
//
// Promise: what was sent is kept apart from what spoold counts (ledger), the kills are SIGKILL to
// a process of its own, and the result says lost, duplicated or reordered if one record was.
package demo
