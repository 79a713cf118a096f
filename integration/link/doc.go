// Package link is a network link that a test can break: a TCP proxy on loopback.
//
// Promise: while a link is up, bytes pass unchanged and in order. Refuse answers
// new connections as a host with nobody listening does and resets the open
// ones; Hang lets nothing through and resets nothing, and what was on its way then
// arrives late, when the link heals; Cut resets what is open, once.
//
// A broker advertises the link's address (integration/kafka, Options.Links), so
// that a client cannot find a way around it.
package link
