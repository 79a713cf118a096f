// Package probe asks a cluster what it is, for diagnosis: who answers at which
// address, which topics there are, how they are configured, and what this
// client may do with them.
//
// Promise: nothing is changed at the cluster, no topic is created, and nothing
// outlasts a call. Every wait is bounded by the context.
package probe
