// Package crash is what the crash tests are made of: a daemon that is killed, load
// that insists on an answer, and a ledger that knows what must be in the topic.
//
// Promise: the ledger is kept apart from anything spoold knows, and the topic is
// read back from its start by another client. What the ledger holds and the topic does
// not is lost; twice there is duplicated; out of a client's order is reordered; other
// bytes are changed. Every run prints its seed and the command that repeats it.
//
// The tests are behind the build tag "crash": they need Java 17 and Maven, and
// fail without.
package crash
