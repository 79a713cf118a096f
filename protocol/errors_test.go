package protocol

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
)

func TestEveryCodeOfTheProducePathHasItsClassAndProof(t *testing.T) {
	for _, tt := range []struct {
		code        ErrorCode
		name        string
		class       Class
		notAppended bool
	}{
		{None, "NONE", Success, false},
		{DuplicateSequenceNumber, "DUPLICATE_SEQUENCE_NUMBER", Duplicate, false},
		{OutOfOrderSequenceNumber, "OUT_OF_ORDER_SEQUENCE_NUMBER", OutOfOrder, true},
		{UnknownProducerID, "UNKNOWN_PRODUCER_ID", OutOfOrder, true},
		{InvalidProducerEpoch, "INVALID_PRODUCER_EPOCH", Fenced, true},
		{ProducerFenced, "PRODUCER_FENCED", Fenced, true},
		{InvalidProducerIDMapping, "INVALID_PRODUCER_ID_MAPPING", ApplicationRecoverable, true},
		{InvalidTxnState, "INVALID_TXN_STATE", Abortable, true},
		{TransactionAbortable, "TRANSACTION_ABORTABLE", Abortable, true},
		{ConcurrentTransactions, "CONCURRENT_TRANSACTIONS", Retriable, true},
		{NotLeaderOrFollower, "NOT_LEADER_OR_FOLLOWER", RefreshRetriable, false},
		{FencedLeaderEpoch, "FENCED_LEADER_EPOCH", RefreshRetriable, false},
		{UnknownLeaderEpoch, "UNKNOWN_LEADER_EPOCH", RefreshRetriable, false},
		{UnknownTopicOrPartition, "UNKNOWN_TOPIC_OR_PARTITION", RefreshRetriable, false},
		{UnknownTopicID, "UNKNOWN_TOPIC_ID", RefreshRetriable, false},
		{InconsistentTopicID, "INCONSISTENT_TOPIC_ID", RefreshRetriable, false},
		{LeaderNotAvailable, "LEADER_NOT_AVAILABLE", RefreshRetriable, false},
		{KafkaStorageError, "KAFKA_STORAGE_ERROR", RefreshRetriable, false},
		{ReplicaNotAvailable, "REPLICA_NOT_AVAILABLE", RefreshRetriable, false},
		{ListenerNotFound, "LISTENER_NOT_FOUND", RefreshRetriable, false},
		{NetworkException, "NETWORK_EXCEPTION", RefreshRetriable, false},
		{NotEnoughReplicas, "NOT_ENOUGH_REPLICAS", Retriable, true},
		{NotEnoughReplicasAfterAppend, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", Retriable, false},
		{RequestTimedOut, "REQUEST_TIMED_OUT", Retriable, false},
		{UnknownServerError, "UNKNOWN_SERVER_ERROR", Retriable, false},
		{CorruptMessage, "CORRUPT_MESSAGE", Retriable, true},
		{ThrottlingQuotaExceeded, "THROTTLING_QUOTA_EXCEEDED", Retriable, true},
		{MessageTooLarge, "MESSAGE_TOO_LARGE", Refused, true},
		{RecordListTooLarge, "RECORD_LIST_TOO_LARGE", Refused, true},
		{InvalidRecord, "INVALID_RECORD", Refused, true},
		{InvalidTimestamp, "INVALID_TIMESTAMP", Refused, true},
		{UnsupportedCompressionType, "UNSUPPORTED_COMPRESSION_TYPE", Misfit, true},
		{PolicyViolation, "POLICY_VIOLATION", Refused, true},
		{InvalidRequiredAcks, "INVALID_REQUIRED_ACKS", Misfit, true},
		{InvalidTopicException, "INVALID_TOPIC_EXCEPTION", Misfit, true},
		{UnsupportedForMessageFormat, "UNSUPPORTED_FOR_MESSAGE_FORMAT", Misfit, true},
		{TopicAuthorizationFailed, "TOPIC_AUTHORIZATION_FAILED", Authorization, true},
		{ClusterAuthorizationFailed, "CLUSTER_AUTHORIZATION_FAILED", Authorization, true},
		{TransactionalIDAuthorizationFailed, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Authorization, true},
		{UnsupportedVersion, "UNSUPPORTED_VERSION", Fatal, true},
		{InvalidRequest, "INVALID_REQUEST", Fatal, true},
	} {
		if got := tt.code.String(); got != tt.name {
			t.Errorf("code %d is named %s, want %s", int16(tt.code), got, tt.name)
		}
		if got := tt.code.Class(); got != tt.class {
			t.Errorf("%s is %v, want %v", tt.name, got, tt.class)
		}
		if got := tt.code.NotAppended(); got != tt.notAppended {
			t.Errorf("%s.NotAppended() = %v, want %v", tt.name, got, tt.notAppended)
		}
	}
}

// A leader looks its partition up again while an appended batch waits for its
// replicas (DelayedProduce.tryComplete): what that look-up can answer proves nothing.
func TestCodesALeaderMayGiveAfterAnAppendProveNothing(t *testing.T) {
	for _, code := range []ErrorCode{
		NotLeaderOrFollower, UnknownTopicOrPartition, UnknownTopicID, InconsistentTopicID, KafkaStorageError,
		NotEnoughReplicasAfterAppend, RequestTimedOut, UnknownServerError, NetworkException,
	} {
		if code.NotAppended() {
			t.Errorf("%v.NotAppended() = true, but it is also answered after an append", code)
		}
	}
}

func TestEveryCodeOfKafkaHasItsName(t *testing.T) {
	renamed := map[ErrorCode]string{NotLeaderOrFollower: "NOT_LEADER_FOR_PARTITION"} // kerr keeps the old name
	for code := ErrorCode(-1); code <= ControllerIDNotRegistered; code++ {
		if code == None {
			continue
		}
		var want *kerr.Error
		if !errors.As(kerr.ErrorForCode(int16(code)), &want) || want.Code != int16(code) {
			t.Errorf("code %d is not known to kerr", int16(code))
			continue
		}
		name := want.Message
		if old, ok := renamed[code]; ok && old == name {
			continue
		}
		if code.String() != name {
			t.Errorf("code %d is named %s, want %s", int16(code), code, name)
		}
	}
}

// Operators may say an error's name where they mean its code. Case counts.
func TestACodeIsFoundByItsName(t *testing.T) {
	for code := range codes {
		if got, ok := ErrorCodeNamed(code.String()); got != code || !ok {
			t.Errorf("%v is found as %v, %v", code, got, ok)
		}
	}
	for _, name := range []string{"", "UNKNOWN_ERROR_CODE_9999", "none"} {
		if got, ok := ErrorCodeNamed(name); ok {
			t.Errorf("%q is found as %v", name, got)
		}
	}
}

func TestACodeThatNobodyKnowsIsFatalAndProvesNothing(t *testing.T) {
	const code ErrorCode = 9999
	if code.Class() != Fatal || code.NotAppended() || code.String() != "UNKNOWN_ERROR_CODE_9999" {
		t.Errorf("code 9999: class %v, not appended %v, name %s", code.Class(), code.NotAppended(), code)
	}
	if err := fmt.Errorf("produce: %w", RequestTimedOut); !errors.Is(err, RequestTimedOut) {
		t.Errorf("errors.Is does not find the code in %v", err)
	}
}

// A broker says nothing of a record that is too large: what is kept with it says what to do all the same.
func TestARefusalSaysWhatToDoAndKeepsTheBrokersWords(t *testing.T) {
	for _, c := range []struct {
		code       ErrorCode
		said, want string
	}{
		{MessageTooLarge, "", "the record is larger than max.message.bytes"},
		{InvalidTimestamp, "Timestamp 7 is out of range.", "Timestamp 7 is out of range: its time is outside what message.timestamp.before.max.ms"},
		{InvalidRecord, "no key", "no key"},
		{InvalidRecord, "", ""},
	} {
		if got := c.code.Refusal(c.said); !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%v of %q is %q, want it to begin with %q", c.code, c.said, got, c.want)
		}
	}
}
