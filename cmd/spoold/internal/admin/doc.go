// Package admin is how a running daemon is looked at: health, readiness, metrics and
// status over HTTP, on an address and on a unix socket in the spool directory.
//
// Promise: what is asked over the address changes nothing, unless its user may operate. Else an operator's decision
// (resolve) goes over the socket only, which the spool's owner and root alone can reach. All answers of one
// request come from one snapshot.
package admin
