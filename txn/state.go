package txn

import "fmt"

// State is what a transactional id is doing, in Kafka's words.
type State uint8

// States.
const (
	Uninitialized  State = iota // no producer id yet
	Initializing                // InitProducerId is wanted or under way
	Ready                       // between transactions
	InTransaction               // partitions and offsets are being added
	Committing                  // EndTxn(commit) is wanted or under way
	Aborting                    // EndTxn(abort) is wanted or under way
	AbortableError              // the transaction can only be aborted
	FatalError                  // nothing more is sent; Err and Cause say why
	numStates
)

var stateNames = [numStates]string{
	"uninitialized", "initializing", "ready", "in transaction", "committing", "aborting", "abortable error", "fatal error",
}

func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", s)
}

// legal is every transition that may happen: from the row's state to those named. A decided
// transaction that a former process left open is taken up in Committing.
var legal = [numStates][numStates]bool{
	Uninitialized:  {Initializing: true, FatalError: true},
	Initializing:   {Ready: true, FatalError: true},
	Ready:          {InTransaction: true, Initializing: true, FatalError: true},
	InTransaction:  {Committing: true, Aborting: true, AbortableError: true, FatalError: true},
	Committing:     {Ready: true, Initializing: true, FatalError: true},
	Aborting:       {Ready: true, Initializing: true, FatalError: true},
	AbortableError: {Aborting: true, FatalError: true},
	FatalError:     {},
}

// enter changes the state.
func (m *Machine) enter(to State) {
	if !legal[m.state][to] {
		panic(fmt.Sprintf("txn: %s: from %s to %s", m.cfg.ID, m.state, to))
	}
	m.state = to
}

// Cause says why a machine is in FatalError.
type Cause uint8

// Causes.
const (
	NoCause Cause = iota
	// Fenced: the coordinator has a newer epoch. Another producer has taken the id, or the
	// coordinator has aborted the transaction for its time-out: DescribeTransactions shows it.
	Fenced
	// Forgotten: the coordinator has forgotten the producer id.
	Forgotten
	// Denied: a right is missing.
	Denied
	// BadTimeout: transaction.timeout.ms is above what the broker allows.
	BadTimeout
	// Unsupported: the broker does not support the request.
	Unsupported
	// Unexpected: an answer that should not come in this state, or a code that is not known.
	Unexpected
)

var causeNames = [...]string{"none", "fenced", "forgotten", "denied", "bad timeout", "unsupported", "unexpected"}

func (c Cause) String() string { return causeNames[c] }

// Outcome is what became of the transaction that was ended last.
type Outcome uint8

// Outcomes.
const (
	// NotEnded: none was ended, or the answer is still awaited.
	NotEnded Outcome = iota
	Committed
	Aborted
	// Open: the coordinator's answer says nothing. Only the offsets that the transaction
	// carried, or its records, can show it.
	Open
)

var outcomeNames = [...]string{"not ended", "committed", "aborted", "open"}

func (o Outcome) String() string { return outcomeNames[o] }
