// Package link is the wire between a daemon and its brokers, so that it can be cut.
//
// Promise: while the link is down, no byte passes in either direction and new connections
// are refused; what was cut stays cut. Up again, new connections pass.
//
// It speaks HTTP CONNECT, because brokers name each other: a plain port forward would be
// left behind at the first Metadata answer.
package link
