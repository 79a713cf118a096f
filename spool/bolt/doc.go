// Package bolt keeps a spool on disk: numbered bbolt files, one commit at a time.
//
// Promise: when Ticket.Spooled returns nil, the record survives a kill, a crash of the
// kernel and a power cut, in its place in its lane; when it returns an error
// from the context, nothing is known; and no error says "not stored" of a record that a later start
// finds, except ErrPoisoned, which says that the outcome is unknown.
// A damaged file is refused with a *spool.CorruptError, before bbolt sees it.
//
// Assumptions: a sync is honest; nobody else writes in the directory. Sectors
// need not be written atomically.
//
// # Who owns what
//
//	callers (any)      Append, AppendBatch: encode into the open group under mu
//	committer (1)      the group being committed, the state, the active bbolt file
//	the loop (1)       Submit, Commits, Resolve
//	a reader (1)       Read
//	background (0–1)   unlinks files, reads segments that are to be rewritten
//
// mu guards the open group, lanes' ends, tickets' whereabouts, idempotency keys
// and pending Writes. view guards what readers see: the settled sets and
// where blocks are. mu is taken before view, never after.
//
// Each responsibility has a type: committer (one commit after the other), space (what the files
// may own), rewriter (what is left of older segments), deadLetters, answers (who gets which answer), opening.
// All of them share the Store.
//
// # A commit
//
// The committer swaps the open group for an empty one, applies the pending
// Writes to the state in memory, and writes in one bbolt transaction: the block, the changed pairs
// of the state, deletes of blocks that are settled wholly, and the head. Nobody learns of
// any of it before the sync. If the transaction fails, nothing in memory is believed any more: the
// Store is poisoned, and only a new start finds out what is true.
package bolt
