// Package loop is the one goroutine that owns the Sender and carries out what it
// decides: spool commits, encoding, requests, read-back, deliveries, events.
//
// Promise: Effects are carried out in field order and before the core is called
// again. Each Request gets exactly one Response, in the order in which the
// requests of a connection were written, and only when nothing of it is read any
// more. Disconnected comes after the last Response of its connection. The loop
// blocks on nothing but its select, and does nothing per record.
//
// Who owns what:
//
//	goroutine            how many        owns                                        talks through
//	caller of Send       any             its record until Send returns               the open group's lock (spool/bolt)
//	committer            1               bbolt, segments, the committing group       Submit in, Commits out (spool/bolt)
//	loop                 1               Sender, batches, links, address book,       its select: inbox, Commits, timer
//	                                     encodings' life, flushes, snapshots
//	encoder              GOMAXPROCS ≤ 4  the encoding it took from the queue         done channel of the encoding
//	reader               1               read-back buffers, until they are fed       inbox (Fed), buffers back by channel
//	dialer               1 per broker    the connection until it is handed over,     inbox
//	                                     then nothing: it waits for the end of it
//	connection writer    1 per broker    what it is writing: batches' bytes           done callbacks → inbox (protocol/conn)
//	connection reader    1 per broker    the answer's bytes                           done callbacks → inbox (protocol/conn)
//	callback runner      1               outstanding callbacks of SendFunc           (root package)
//	supervisor           1               which engine (store and loop) is the one    Over, and the spool's Close (root package)
//
// A batch's bytes go from the loop to an encoder or a connection's writer and
// back: the core writes them before Sealed, nobody writes them after, but for the
// 61 bytes of header that whoever encodes fills in once.
//
// Files: loop.go (the goroutine, and what it does with Effects), links.go, dial.go, pace.go and anybroker.go (the
// connections), requests.go and produced.go (what goes over them), encode.go (batches' bytes), feed.go (read-back),
// flush.go (callers that wait for delivery, and the age of records), snapshot.go, resolve.go, operate.go and online.go (what callers
// want), inbox.go, end.go.
package loop
