package txn

import "github.com/spoold/spoold/protocol"

// act is what one code, in answer to one kind of request, leads to.
type act uint8

const (
	unexpected   act = iota // FatalError, Unexpected: the zero value, so what is not listed
	proceed                 // the request did what it should
	again                   // the same request after a pause
	lookUp                  // find the coordinator, then again
	abortable               // AbortableError
	fenced                  // FatalError, Fenced
	forgotten               // FatalError, Forgotten
	denied                  // FatalError, Denied
	badTimeout              // FatalError, BadTimeout
	wasAborted              // EndTxn: the transaction ended with abort
	tellsNothing            // EndTxn: the transaction ended, nobody says how
	doubt                   // again, and the first copy may still act
)

// answers is the one table of what coordinators answer. A code that is not in a kind's row is
// unexpected.
var answers = map[Kind]map[protocol.ErrorCode]act{
	FindCoordinator: {
		protocol.None:                               proceed,
		protocol.CoordinatorNotAvailable:            again,
		protocol.CoordinatorLoadInProgress:          again,
		protocol.NotCoordinator:                     again,
		protocol.RequestTimedOut:                    again,
		protocol.TransactionalIDAuthorizationFailed: denied,
		protocol.GroupAuthorizationFailed:           denied,
		protocol.TransactionAbortable:               abortable,
	},
	InitProducerID: {
		protocol.None:                               proceed,
		protocol.NotCoordinator:                     lookUp,
		protocol.CoordinatorNotAvailable:            lookUp,
		protocol.CoordinatorLoadInProgress:          again,
		protocol.ConcurrentTransactions:             again,
		protocol.RequestTimedOut:                    again,
		protocol.UnknownServerError:                 again,
		protocol.ProducerFenced:                     fenced,
		protocol.InvalidProducerEpoch:               fenced,
		protocol.InvalidProducerIDMapping:           forgotten,
		protocol.InvalidTransactionTimeout:          badTimeout,
		protocol.TransactionalIDAuthorizationFailed: denied,
		protocol.ClusterAuthorizationFailed:         denied,
	},
	AddPartitions: {
		protocol.None:                               proceed,
		protocol.NotCoordinator:                     lookUp,
		protocol.CoordinatorNotAvailable:            lookUp,
		protocol.CoordinatorLoadInProgress:          again,
		protocol.ConcurrentTransactions:             again,
		protocol.RequestTimedOut:                    doubt,
		protocol.UnknownTopicOrPartition:            again,
		protocol.ProducerFenced:                     fenced,
		protocol.InvalidProducerEpoch:               fenced,
		protocol.InvalidProducerIDMapping:           forgotten,
		protocol.UnknownProducerID:                  abortable,
		protocol.TopicAuthorizationFailed:           abortable,
		protocol.OperationNotAttempted:              abortable,
		protocol.TransactionAbortable:               abortable,
		protocol.TransactionalIDAuthorizationFailed: denied,
	},
	AddOffsets: {
		protocol.None:                               proceed,
		protocol.NotCoordinator:                     lookUp,
		protocol.CoordinatorNotAvailable:            lookUp,
		protocol.CoordinatorLoadInProgress:          again,
		protocol.ConcurrentTransactions:             again,
		protocol.RequestTimedOut:                    doubt,
		protocol.ProducerFenced:                     fenced,
		protocol.InvalidProducerEpoch:               fenced,
		protocol.InvalidProducerIDMapping:           forgotten,
		protocol.UnknownProducerID:                  abortable,
		protocol.GroupAuthorizationFailed:           abortable,
		protocol.TransactionAbortable:               abortable,
		protocol.TransactionalIDAuthorizationFailed: denied,
	},
	CommitOffsets: {
		protocol.None:                               proceed,
		protocol.NotCoordinator:                     lookUp,
		protocol.CoordinatorNotAvailable:            lookUp,
		protocol.CoordinatorLoadInProgress:          again,
		protocol.ConcurrentTransactions:             again,
		protocol.RequestTimedOut:                    doubt,
		protocol.UnknownTopicOrPartition:            again,
		protocol.ProducerFenced:                     fenced,
		protocol.InvalidProducerEpoch:               fenced,
		protocol.InvalidProducerIDMapping:           forgotten,
		protocol.InvalidTxnState:                    abortable,
		protocol.UnknownProducerID:                  abortable,
		protocol.UnknownMemberID:                    abortable,
		protocol.IllegalGeneration:                  abortable,
		protocol.FencedInstanceID:                   abortable,
		protocol.StaleMemberEpoch:                   abortable,
		protocol.OffsetMetadataTooLarge:             abortable,
		protocol.GroupAuthorizationFailed:           abortable,
		protocol.TopicAuthorizationFailed:           abortable,
		protocol.TransactionAbortable:               abortable,
		protocol.TransactionalIDAuthorizationFailed: denied,
	},
	EndTxn: {
		protocol.None:                               proceed,
		protocol.NotCoordinator:                     lookUp,
		protocol.CoordinatorNotAvailable:            lookUp,
		protocol.CoordinatorLoadInProgress:          again,
		protocol.ConcurrentTransactions:             again,
		protocol.RequestTimedOut:                    doubt,
		protocol.UnknownServerError:                 doubt, // a race with InitProducerId is answered like this
		protocol.InvalidTxnState:                    wasAborted,
		protocol.ProducerFenced:                     tellsNothing,
		protocol.InvalidProducerEpoch:               tellsNothing,
		protocol.InvalidProducerIDMapping:           tellsNothing,
		protocol.UnknownProducerID:                  tellsNothing,
		protocol.TransactionAbortable:               tellsNothing,
		protocol.TransactionalIDAuthorizationFailed: denied,
	},
}

func actOn(k Kind, code protocol.ErrorCode) act { return answers[k][code] }
