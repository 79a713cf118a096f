package spoold

import (
	"time"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// TransactionEnded: a Kafka transaction of the Producer ended. What was aborted is sent again in
// another one.
type TransactionEnded struct {
	TransactionalID string
	Ordinal         uint64 // rises with every transaction of this spool that is committed
	Committed       bool
	Records         int
	Partitions      int
	Open            time.Duration // how long it was
	Recovered       bool          // an earlier process had decided to commit it
	Why             string        // it was aborted
}

// TransactionTrouble: nothing can be delivered under the transactional id for now. Records stay spooled.
type TransactionTrouble struct {
	TransactionalID string
	Fenced          bool // another producer has taken the id; an operator has to say which of them goes on
	Message         string
}

// TransactionRecovered: what TransactionTrouble said is over. A transaction was committed since.
type TransactionRecovered struct {
	TransactionalID string
}

// TransactionStatus is what is known of the transactional id.
type TransactionStatus struct {
	ID string `json:"id"`
	// State is "looking", "finishing", "initialising", "judging" and "searching" while a start finds out what became of
	// the last transaction; then "ready", "in transaction", "committing", "aborting", …; or "fenced", or "parked" if the transactional id was changed with
	// a transaction parked.
	State       string  `json:"state"`
	Version     int16   `json:"version"`     // of the protocol that runs: 1 or 2; 0: not known yet
	Finalized   int16   `json:"finalized"`   // transaction.version of the cluster: with 0, as with 1, version 1 runs
	Coordinator int32   `json:"coordinator"` // broker; -1: not known
	Producer    string  `json:"producer"`    // producer id/epoch
	Ordinal     uint64  `json:"ordinal"`     // of the last transaction that was decided
	Open        bool    `json:"open"`
	OpenSeconds float64 `json:"open_seconds"`
	Records     int     `json:"records"` // in the open one
	InDoubt     bool    `json:"in_doubt"`
	// Unconfirmed is how many transactions were committed, as their coordinator says, and wait until their markers are seen in all logs.
	Unconfirmed    int                `json:"unconfirmed"`
	MarkersMissing int                `json:"markers_missing"`       // that a broker has lost, and that are being written now
	MarkersWritten int                `json:"markers_written"`       // that a broker had lost, and that were written since the start
	Parked         int                `json:"parked"`                // transactions that wait for an operator to say what became of them
	ParkReason     string             `json:"park_reason,omitempty"` // of the oldest of them
	Fenced         string             `json:"fenced,omitempty"`
	Detail         string             `json:"detail,omitempty"`
	Broker         *BrokerTransaction `json:"broker,omitempty"` // nil: it was not asked yet
}

// BrokerTransaction is the coordinator's own view of the transactional id (DescribeTransactions). It is asked now and then after
// something has changed, so it may be some seconds old, and the rest of the status newer.
type BrokerTransaction struct {
	State           string     `json:"state"` // in Kafka's words: Empty, Ongoing, PrepareCommit, PrepareAbort, CompleteCommit, CompleteAbort, …
	Coordinator     int32      `json:"coordinator"`
	Producer        string     `json:"producer"`   // producer id/epoch
	TimeoutMs       int32      `json:"timeout_ms"` // that its transactions have
	Started         *time.Time `json:"started,omitempty"`
	Partitions      int        `json:"partitions"` // in the open transaction
	AskedSecondsAgo float64    `json:"asked_seconds_ago"`
	Error           string     `json:"error,omitempty"` // why it did not say
}

func brokerTransaction(b *sender.BrokerTransaction) *BrokerTransaction {
	if b == nil {
		return nil
	}
	v := &BrokerTransaction{
		State: b.State, Coordinator: b.Coordinator, Producer: identityText(b.Identity), TimeoutMs: b.TimeoutMs, Partitions: b.Partitions,
		AskedSecondsAgo: float64(b.AgoMs) / 1000, Error: b.Err,
	}
	if b.StartedAt > 0 {
		at := time.UnixMilli(b.StartedAt).UTC()
		v.Started = &at
	}
	return v
}

func (st *Status) transaction(t *sender.TransactionStatus) {
	if t == nil {
		return
	}
	st.Committed = min(t.Committed, st.Acked) // both count when they are on disk
	st.Transaction = &TransactionStatus{
		ID: t.ID, State: t.State, Version: t.Version, Finalized: t.Finalized, Coordinator: t.Coordinator, Producer: identityText(t.Identity), Ordinal: t.Ordinal,
		Open: t.Open, OpenSeconds: float64(t.OpenMs) / 1000, Records: t.Records, InDoubt: t.InDoubt,
		Unconfirmed: t.Unconfirmed, MarkersMissing: t.Missing, MarkersWritten: t.Written,
		Parked: t.Parked, ParkReason: t.Park.Reason, Fenced: t.Fenced, Detail: firstOf(t.Park.Detail, t.Detail),
		Broker: brokerTransaction(t.Broker),
	}
}

// offlineTransaction is what the spool holds of the transactional id.
func (st *Status) offlineTransaction(t *spool.Transaction) {
	if t.ID == "" {
		return
	}
	d := &t.Decision
	st.Committed = t.Committed
	st.Transaction = &TransactionStatus{
		ID: t.ID, State: "stopped", Coordinator: -1, Producer: identityText(t.Identity), Ordinal: d.Ordinal, InDoubt: d.Open(),
		Unconfirmed: len(t.Unconfirmed), ParkReason: d.Park.Reason, Fenced: t.Fenced, Detail: d.Park.Detail,
	}
	switch {
	case t.Fenced != "":
		st.Transaction.State = "fenced"
	case len(t.Parked) > 0:
		st.Transaction.Parked, st.Transaction.InDoubt = len(t.Parked), true
		st.Transaction.ParkReason, st.Transaction.Detail = t.Parked[0].Park.Reason, t.Parked[0].Park.Detail
	}
}
