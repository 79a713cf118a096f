// Package chaos is a TCP proxy in front of a Kafka broker that knows where a request
// and an answer begin and end, and breaks them: from a seed, each kind of fault
// with its own probability.
//
// Promise: what passes, passes unchanged and in order; what is broken is broken in the way the
// decision says, and only so. Every decision is made from the seed, the proxy's
// name, the connection's number and the request's number on it, and is told to Log.
// A zombie, which is a former connection's Produce request that arrives later, is
// byte for byte what the client had written, also if nothing of it went through then.
//
// Assumption: every request has one answer, in order (so it is for acks=all).
package chaos
