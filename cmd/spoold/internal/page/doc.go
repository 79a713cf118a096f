// Package page is the status page on the admin address: static files that are
// part of the program, a stream of server-sent events, and a history of the
// last hour and day that survives a restart.
//
// Promise: the page changes nothing and shows no secret. While nobody looks at
// it, only the history takes a sample every ten seconds; an idle daemon writes
// nothing to its disk for it. A client that reads too slowly is disconnected
// and connects again; it never holds the daemon up.
package page
