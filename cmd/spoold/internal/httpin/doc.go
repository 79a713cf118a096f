// Package httpin is the HTTP way into the spool: Confluent REST Proxy v2's
// produce calls, with the Strimzi bridge's timestamp and headers.
//
// Promise: a 2xx answer means that every record of the request is spooled, all
// in one commit; a 4xx answer means that none of them is and none will be. 504
// says that they are spooled and not acked yet. Only 500 leaves it open, and says so: the same request
// with the same Idempotency-Key settles it.
//
// Nothing is kept of a request whose client hangs up before its body is whole. Memory is
// bounded: by connections, by the size of a body, by a budget that all large bodies share, and by
// the number of requests that may wait for acks.
//
// The package decides nothing about delivery: it needs a Sink, and uses no other ingress.
package httpin
