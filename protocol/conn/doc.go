// Package conn is one connection to one broker.
//
// Promise: every request's done is called exactly once, when nothing of the
// request will be read any more; requests are answered in the order they were
// written; and written is false only if no byte of the request can have left
// this host. Whatever the other side sends, a connection ends with an error that
// says what to check, not with a panic, a leak or a hang.
//
// Requests are pipelined: Do and Produce only queue. One goroutine writes, one
// reads; both end with the connection. A request that is not answered in its
// time closes the connection, because Kafka answers in order: what is behind it
// would wait as long, and an answer that comes later could not be distinguished from silence.
//
// Who owns what: the writer goroutine owns the socket's writing half and the
// encoders; the reader goroutine owns the reading half and reports
// every answer (a request that failed before it was begun may be reported elsewhere);
// Conn.mu guards the queue, what is in flight, and the state.
package conn
