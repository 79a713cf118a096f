package sender

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

// TransactionTrouble says that nothing can be delivered under the transactional id for now.
type TransactionTrouble struct {
	ID      string
	Fenced  bool // another producer has taken it
	Message string
}
