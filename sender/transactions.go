package sender

import "github.com/spoold/spoold/txn"

// OnlineUnit is a client's transaction that commits consumer offsets with its records: it is not
// spooled, but delivered at once, after all that was committed before it, or aborted.
type OnlineUnit struct {
	ID      uint64 // chosen by the caller, and not given before
	Topics  []string
	Entries [][]byte // of each of Topics, see spool.AppendEntry
	Groups  []txn.GroupOffsets
}

// OnlineEnd says what became of an OnlineUnit.
type OnlineEnd struct {
	ID        uint64
	Committed bool
	Why       string // it was aborted
}

// TransactionEnded says that a transaction of ours ended.
type TransactionEnded struct {
	ID         string // transactional id
	Ordinal    uint64
	Committed  bool
	Records    int
	Partitions int
	Ms         int64  // it was open
	Recovered  bool   // an earlier process had decided to commit it
	Why        string // it was aborted
}

// TransactionRecovered says that what a TransactionTrouble said is over: a transaction was committed since. The loop makes it.
type TransactionRecovered struct{ ID string }

// TransactionTrouble says that nothing can be delivered under the transactional id for now.
type TransactionTrouble struct {
	ID      string
	Fenced  bool // another producer has taken it
	Message string
}
