package protocol

import (
	"strconv"
	"strings"
)

// Class says what a producer does about an ErrorCode.
type Class uint8

// Classes. Fatal is also what a code gets that is not in the table: a broker that
// says something new is not taken for one that says "try again".
const (
	// Fatal: nothing that this producer can do makes it better.
	Fatal Class = iota
	// Success: no error.
	Success
	// Duplicate: the batch is there, its offset is not given.
	Duplicate
	// Retriable: the same request to the same broker, after a back-off.
	Retriable
	// RefreshRetriable: the same, but ask for metadata first.
	RefreshRetriable
	// Refused: the batch itself is refused, now and later.
	Refused
	// Misfit: not these records are at fault but how we send or where: a setting of
	// the topic or of ours. Wait, try again slowly, report it to the operator.
	Misfit
	// Authorization: a right is missing; wait, try again slowly, report it to the operator.
	Authorization
	// OutOfOrder: the broker's view of our sequences is not ours.
	OutOfOrder
	// Fenced: the broker has a newer epoch of this producer id.
	Fenced
	// Abortable: the open transaction can only be aborted.
	Abortable
	// ApplicationRecoverable: whoever uses the producer must take it up anew.
	ApplicationRecoverable
)

var classNames = [...]string{
	Fatal: "fatal", Success: "success", Duplicate: "duplicate", Retriable: "retriable",
	RefreshRetriable: "refresh-retriable", Refused: "refused", Misfit: "misfit", Authorization: "authorization",
	OutOfOrder: "out of order", Fenced: "fenced", Abortable: "abortable",
	ApplicationRecoverable: "application-recoverable",
}

func (c Class) String() string {
	if int(c) < len(classNames) {
		return classNames[c]
	}
	return "class " + strconv.Itoa(int(c))
}

// String is Kafka's name of the code.
func (c ErrorCode) String() string {
	if m, ok := codes[c]; ok {
		return m.name
	}
	return "UNKNOWN_ERROR_CODE_" + strconv.Itoa(int(c))
}

// ErrorCodeNamed finds a code by Kafka's name of it.
func ErrorCodeNamed(name string) (ErrorCode, bool) {
	for c, m := range codes {
		if m.name == name {
			return c, true
		}
	}
	return 0, false
}

// Error makes an ErrorCode an error. None is not one: compare with it first.
func (c ErrorCode) Error() string { return c.String() }

// Refusal is what a broker said of a record that it refused for good, with what an operator can do about it where the
// broker's words do not say so; they may be "".
func (c ErrorCode) Refusal(message string) string {
	switch advice := refusals[c]; {
	case advice == "":
		return message
	case message == "":
		return advice
	default:
		return strings.TrimRight(message, ". ") + ": " + advice
	}
}

// refusals are what an operator can do about records that were refused for good.
var refusals = map[ErrorCode]string{
	MessageTooLarge:    "the record is larger than max.message.bytes of the topic allows (message.max.bytes of the broker, if the topic has none): raise that, then replay it",
	RecordListTooLarge: "the record is larger than segment.bytes of the topic: raise that, then replay it",
	InvalidTimestamp:   "its time is outside what message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic allow: raise that and replay it, or replay it with the time of now (--timestamp now)",
}

// Class says what to do about it.
func (c ErrorCode) Class() Class { return codes[c].class }

// NotAppended reports whether this answer to a Produce request proves that the
// copy of the batch which it answers was not appended. It says nothing about
// other copies: a batch is absent only when every copy that
// left this host was answered like this.
//
// Codes that a leader may also give while an appended batch waits for its
// replicas prove nothing: NOT_LEADER_OR_FOLLOWER, UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID,
// KAFKA_STORAGE_ERROR (DelayedProduce looks the partition up again), and
// REQUEST_TIMED_OUT and NOT_ENOUGH_REPLICAS_AFTER_APPEND of course.
func (c ErrorCode) NotAppended() bool { return codes[c].proof == notAppended }

type meaning struct {
	name  string
	class Class
	proof proof
}

type proof bool

const (
	unproven    proof = false
	notAppended proof = true
)

// codes is the one table about error codes: name, what to do, and what it proves.
var codes = map[ErrorCode]meaning{
	UnknownServerError:                     {"UNKNOWN_SERVER_ERROR", Retriable, unproven},
	None:                                   {"NONE", Success, unproven},
	OffsetOutOfRange:                       {"OFFSET_OUT_OF_RANGE", Fatal, unproven},
	CorruptMessage:                         {"CORRUPT_MESSAGE", Retriable, notAppended},
	UnknownTopicOrPartition:                {"UNKNOWN_TOPIC_OR_PARTITION", RefreshRetriable, unproven},
	InvalidFetchSize:                       {"INVALID_FETCH_SIZE", Fatal, unproven},
	LeaderNotAvailable:                     {"LEADER_NOT_AVAILABLE", RefreshRetriable, unproven},
	NotLeaderOrFollower:                    {"NOT_LEADER_OR_FOLLOWER", RefreshRetriable, unproven},
	RequestTimedOut:                        {"REQUEST_TIMED_OUT", Retriable, unproven},
	BrokerNotAvailable:                     {"BROKER_NOT_AVAILABLE", RefreshRetriable, unproven},
	ReplicaNotAvailable:                    {"REPLICA_NOT_AVAILABLE", RefreshRetriable, unproven},
	MessageTooLarge:                        {"MESSAGE_TOO_LARGE", Refused, notAppended},
	StaleControllerEpoch:                   {"STALE_CONTROLLER_EPOCH", Fatal, unproven},
	OffsetMetadataTooLarge:                 {"OFFSET_METADATA_TOO_LARGE", Fatal, unproven},
	NetworkException:                       {"NETWORK_EXCEPTION", RefreshRetriable, unproven},
	CoordinatorLoadInProgress:              {"COORDINATOR_LOAD_IN_PROGRESS", Retriable, unproven},
	CoordinatorNotAvailable:                {"COORDINATOR_NOT_AVAILABLE", RefreshRetriable, unproven},
	NotCoordinator:                         {"NOT_COORDINATOR", RefreshRetriable, unproven},
	InvalidTopicException:                  {"INVALID_TOPIC_EXCEPTION", Misfit, notAppended},
	RecordListTooLarge:                     {"RECORD_LIST_TOO_LARGE", Refused, notAppended},
	NotEnoughReplicas:                      {"NOT_ENOUGH_REPLICAS", Retriable, notAppended},
	NotEnoughReplicasAfterAppend:           {"NOT_ENOUGH_REPLICAS_AFTER_APPEND", Retriable, unproven},
	InvalidRequiredAcks:                    {"INVALID_REQUIRED_ACKS", Misfit, notAppended},
	IllegalGeneration:                      {"ILLEGAL_GENERATION", ApplicationRecoverable, unproven},
	InconsistentGroupProtocol:              {"INCONSISTENT_GROUP_PROTOCOL", Fatal, unproven},
	InvalidGroupID:                         {"INVALID_GROUP_ID", Fatal, unproven},
	UnknownMemberID:                        {"UNKNOWN_MEMBER_ID", ApplicationRecoverable, unproven},
	InvalidSessionTimeout:                  {"INVALID_SESSION_TIMEOUT", Fatal, unproven},
	RebalanceInProgress:                    {"REBALANCE_IN_PROGRESS", Fatal, unproven},
	InvalidCommitOffsetSize:                {"INVALID_COMMIT_OFFSET_SIZE", Fatal, unproven},
	TopicAuthorizationFailed:               {"TOPIC_AUTHORIZATION_FAILED", Authorization, notAppended},
	GroupAuthorizationFailed:               {"GROUP_AUTHORIZATION_FAILED", Authorization, unproven},
	ClusterAuthorizationFailed:             {"CLUSTER_AUTHORIZATION_FAILED", Authorization, notAppended},
	InvalidTimestamp:                       {"INVALID_TIMESTAMP", Refused, notAppended},
	UnsupportedSaslMechanism:               {"UNSUPPORTED_SASL_MECHANISM", Authorization, unproven},
	IllegalSaslState:                       {"ILLEGAL_SASL_STATE", Authorization, notAppended},
	UnsupportedVersion:                     {"UNSUPPORTED_VERSION", Fatal, notAppended},
	TopicAlreadyExists:                     {"TOPIC_ALREADY_EXISTS", Fatal, unproven},
	InvalidPartitions:                      {"INVALID_PARTITIONS", Fatal, unproven},
	InvalidReplicationFactor:               {"INVALID_REPLICATION_FACTOR", Fatal, unproven},
	InvalidReplicaAssignment:               {"INVALID_REPLICA_ASSIGNMENT", Fatal, unproven},
	InvalidConfig:                          {"INVALID_CONFIG", Fatal, unproven},
	NotController:                          {"NOT_CONTROLLER", RefreshRetriable, unproven},
	InvalidRequest:                         {"INVALID_REQUEST", Fatal, notAppended},
	UnsupportedForMessageFormat:            {"UNSUPPORTED_FOR_MESSAGE_FORMAT", Misfit, notAppended},
	PolicyViolation:                        {"POLICY_VIOLATION", Refused, notAppended},
	OutOfOrderSequenceNumber:               {"OUT_OF_ORDER_SEQUENCE_NUMBER", OutOfOrder, notAppended},
	DuplicateSequenceNumber:                {"DUPLICATE_SEQUENCE_NUMBER", Duplicate, unproven},
	InvalidProducerEpoch:                   {"INVALID_PRODUCER_EPOCH", Fenced, notAppended},
	InvalidTxnState:                        {"INVALID_TXN_STATE", Abortable, notAppended},
	InvalidProducerIDMapping:               {"INVALID_PRODUCER_ID_MAPPING", ApplicationRecoverable, notAppended},
	InvalidTransactionTimeout:              {"INVALID_TRANSACTION_TIMEOUT", Fatal, unproven},
	ConcurrentTransactions:                 {"CONCURRENT_TRANSACTIONS", Retriable, notAppended},
	TransactionCoordinatorFenced:           {"TRANSACTION_COORDINATOR_FENCED", Fatal, unproven},
	TransactionalIDAuthorizationFailed:     {"TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Authorization, notAppended},
	SecurityDisabled:                       {"SECURITY_DISABLED", Authorization, unproven},
	OperationNotAttempted:                  {"OPERATION_NOT_ATTEMPTED", Fatal, unproven},
	KafkaStorageError:                      {"KAFKA_STORAGE_ERROR", RefreshRetriable, unproven},
	LogDirNotFound:                         {"LOG_DIR_NOT_FOUND", Fatal, unproven},
	SaslAuthenticationFailed:               {"SASL_AUTHENTICATION_FAILED", Authorization, notAppended},
	UnknownProducerID:                      {"UNKNOWN_PRODUCER_ID", OutOfOrder, notAppended},
	ReassignmentInProgress:                 {"REASSIGNMENT_IN_PROGRESS", Fatal, unproven},
	DelegationTokenAuthDisabled:            {"DELEGATION_TOKEN_AUTH_DISABLED", Fatal, unproven},
	DelegationTokenNotFound:                {"DELEGATION_TOKEN_NOT_FOUND", Fatal, unproven},
	DelegationTokenOwnerMismatch:           {"DELEGATION_TOKEN_OWNER_MISMATCH", Fatal, unproven},
	DelegationTokenRequestNotAllowed:       {"DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", Fatal, unproven},
	DelegationTokenAuthorizationFailed:     {"DELEGATION_TOKEN_AUTHORIZATION_FAILED", Authorization, unproven},
	DelegationTokenExpired:                 {"DELEGATION_TOKEN_EXPIRED", Authorization, unproven},
	InvalidPrincipalType:                   {"INVALID_PRINCIPAL_TYPE", Fatal, unproven},
	NonEmptyGroup:                          {"NON_EMPTY_GROUP", Fatal, unproven},
	GroupIDNotFound:                        {"GROUP_ID_NOT_FOUND", Fatal, unproven},
	FetchSessionIDNotFound:                 {"FETCH_SESSION_ID_NOT_FOUND", Retriable, unproven},
	InvalidFetchSessionEpoch:               {"INVALID_FETCH_SESSION_EPOCH", Retriable, unproven},
	ListenerNotFound:                       {"LISTENER_NOT_FOUND", RefreshRetriable, unproven},
	TopicDeletionDisabled:                  {"TOPIC_DELETION_DISABLED", Fatal, unproven},
	FencedLeaderEpoch:                      {"FENCED_LEADER_EPOCH", RefreshRetriable, unproven},
	UnknownLeaderEpoch:                     {"UNKNOWN_LEADER_EPOCH", RefreshRetriable, unproven},
	UnsupportedCompressionType:             {"UNSUPPORTED_COMPRESSION_TYPE", Misfit, notAppended},
	StaleBrokerEpoch:                       {"STALE_BROKER_EPOCH", RefreshRetriable, unproven},
	OffsetNotAvailable:                     {"OFFSET_NOT_AVAILABLE", Retriable, unproven},
	MemberIDRequired:                       {"MEMBER_ID_REQUIRED", Fatal, unproven},
	PreferredLeaderNotAvailable:            {"PREFERRED_LEADER_NOT_AVAILABLE", RefreshRetriable, unproven},
	GroupMaxSizeReached:                    {"GROUP_MAX_SIZE_REACHED", Fatal, unproven},
	FencedInstanceID:                       {"FENCED_INSTANCE_ID", ApplicationRecoverable, unproven},
	EligibleLeadersNotAvailable:            {"ELIGIBLE_LEADERS_NOT_AVAILABLE", RefreshRetriable, unproven},
	ElectionNotNeeded:                      {"ELECTION_NOT_NEEDED", Fatal, unproven},
	NoReassignmentInProgress:               {"NO_REASSIGNMENT_IN_PROGRESS", Fatal, unproven},
	GroupSubscribedToTopic:                 {"GROUP_SUBSCRIBED_TO_TOPIC", Fatal, unproven},
	InvalidRecord:                          {"INVALID_RECORD", Refused, notAppended},
	UnstableOffsetCommit:                   {"UNSTABLE_OFFSET_COMMIT", Retriable, unproven},
	ThrottlingQuotaExceeded:                {"THROTTLING_QUOTA_EXCEEDED", Retriable, notAppended},
	ProducerFenced:                         {"PRODUCER_FENCED", Fenced, notAppended},
	ResourceNotFound:                       {"RESOURCE_NOT_FOUND", Fatal, unproven},
	DuplicateResource:                      {"DUPLICATE_RESOURCE", Fatal, unproven},
	UnacceptableCredential:                 {"UNACCEPTABLE_CREDENTIAL", Fatal, unproven},
	InconsistentVoterSet:                   {"INCONSISTENT_VOTER_SET", Fatal, unproven},
	InvalidUpdateVersion:                   {"INVALID_UPDATE_VERSION", Fatal, unproven},
	FeatureUpdateFailed:                    {"FEATURE_UPDATE_FAILED", Fatal, unproven},
	PrincipalDeserializationFailure:        {"PRINCIPAL_DESERIALIZATION_FAILURE", Fatal, unproven},
	SnapshotNotFound:                       {"SNAPSHOT_NOT_FOUND", Fatal, unproven},
	PositionOutOfRange:                     {"POSITION_OUT_OF_RANGE", Fatal, unproven},
	UnknownTopicID:                         {"UNKNOWN_TOPIC_ID", RefreshRetriable, unproven},
	DuplicateBrokerRegistration:            {"DUPLICATE_BROKER_REGISTRATION", Fatal, unproven},
	BrokerIDNotRegistered:                  {"BROKER_ID_NOT_REGISTERED", Fatal, unproven},
	InconsistentTopicID:                    {"INCONSISTENT_TOPIC_ID", RefreshRetriable, unproven},
	InconsistentClusterID:                  {"INCONSISTENT_CLUSTER_ID", Fatal, unproven},
	TransactionalIDNotFound:                {"TRANSACTIONAL_ID_NOT_FOUND", Fatal, unproven},
	FetchSessionTopicIDError:               {"FETCH_SESSION_TOPIC_ID_ERROR", Retriable, unproven},
	IneligibleReplica:                      {"INELIGIBLE_REPLICA", Fatal, unproven},
	NewLeaderElected:                       {"NEW_LEADER_ELECTED", RefreshRetriable, unproven},
	OffsetMovedToTieredStorage:             {"OFFSET_MOVED_TO_TIERED_STORAGE", Fatal, unproven},
	FencedMemberEpoch:                      {"FENCED_MEMBER_EPOCH", ApplicationRecoverable, unproven},
	UnreleasedInstanceID:                   {"UNRELEASED_INSTANCE_ID", Fatal, unproven},
	UnsupportedAssignor:                    {"UNSUPPORTED_ASSIGNOR", Fatal, unproven},
	StaleMemberEpoch:                       {"STALE_MEMBER_EPOCH", ApplicationRecoverable, unproven},
	MismatchedEndpointType:                 {"MISMATCHED_ENDPOINT_TYPE", Fatal, unproven},
	UnsupportedEndpointType:                {"UNSUPPORTED_ENDPOINT_TYPE", Fatal, unproven},
	UnknownControllerID:                    {"UNKNOWN_CONTROLLER_ID", Fatal, unproven},
	UnknownSubscriptionID:                  {"UNKNOWN_SUBSCRIPTION_ID", Fatal, unproven},
	TelemetryTooLarge:                      {"TELEMETRY_TOO_LARGE", Fatal, unproven},
	InvalidRegistration:                    {"INVALID_REGISTRATION", Fatal, unproven},
	TransactionAbortable:                   {"TRANSACTION_ABORTABLE", Abortable, notAppended},
	InvalidRecordState:                     {"INVALID_RECORD_STATE", Fatal, unproven},
	ShareSessionNotFound:                   {"SHARE_SESSION_NOT_FOUND", Fatal, unproven},
	InvalidShareSessionEpoch:               {"INVALID_SHARE_SESSION_EPOCH", Fatal, unproven},
	FencedStateEpoch:                       {"FENCED_STATE_EPOCH", Fatal, unproven},
	InvalidVoterKey:                        {"INVALID_VOTER_KEY", Fatal, unproven},
	DuplicateVoter:                         {"DUPLICATE_VOTER", Fatal, unproven},
	VoterNotFound:                          {"VOTER_NOT_FOUND", Fatal, unproven},
	InvalidRegularExpression:               {"INVALID_REGULAR_EXPRESSION", Fatal, unproven},
	RebootstrapRequired:                    {"REBOOTSTRAP_REQUIRED", RefreshRetriable, unproven},
	StreamsInvalidTopology:                 {"STREAMS_INVALID_TOPOLOGY", Fatal, unproven},
	StreamsInvalidTopologyEpoch:            {"STREAMS_INVALID_TOPOLOGY_EPOCH", Fatal, unproven},
	StreamsTopologyFenced:                  {"STREAMS_TOPOLOGY_FENCED", Fatal, unproven},
	ShareSessionLimitReached:               {"SHARE_SESSION_LIMIT_REACHED", Fatal, unproven},
	GroupDeletionFailed:                    {"GROUP_DELETION_FAILED", Fatal, unproven},
	StreamsTopologyDescriptionUpdateFailed: {"STREAMS_TOPOLOGY_DESCRIPTION_UPDATE_FAILED", Fatal, unproven},
	ControllerIDNotRegistered:              {"CONTROLLER_ID_NOT_REGISTERED", Fatal, unproven},
}

// MissingRight is what an operator has to grant where a broker answers a Produce with c, or "".
func (c ErrorCode) MissingRight() string {
	switch c {
	case TopicAuthorizationFailed:
		return "grant WRITE on the topic"
	case ClusterAuthorizationFailed:
		return "grant IDEMPOTENT_WRITE on the cluster, or WRITE on a topic"
	}
	return ""
}
