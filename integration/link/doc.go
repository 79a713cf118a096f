// Package link is a network link that a test can break: a TCP proxy on loopback. One made with NewKafka also
// reads where a request and an answer begin and end, and breaks them one by one: from a seed, each kind of
// fault with its own probability.
//
// Promise: while a link is up, what passes, passes unchanged and in order. Refuse answers
// new connections as a host with nobody listening does and resets the open
// ones; Hang lets nothing through and resets nothing, and what was on its way then
// arrives late, when the link heals; Cut resets what is open, once.
// A request is broken in the way the decision says, and only so. Every decision is made from the seed, the link's
// name, the connection's number and the request's number on it, and is given to Log.
// A zombie, which is a former connection's Produce request that arrives later, is
// byte for byte what the client had written, also if nothing of it went through then.
//
// Assumption of NewKafka: every request has one answer, in order (so it is for acks=all).
//
// A broker advertises the link's address (integration/kafka, Options.Links), so
// that a client cannot find a way around it.
package link
