package planted

// Bug is one mistake.
type Bug uint8

// The mistakes, by where the switch is.
const (
	_ Bug = iota
	// sender
	SendBeforeSeal
	SettleBeforeAck
	ResetUnresolved
	SequenceReused
	ForgottenMute
	DoubtForgotten
	WideWindow
	StaleLeader
	EpochForgotten
	ForeignCluster
	CopyUnnoticed
	RollCallUnawaited
	LimboUnread
	TailTooFar
	FewerPartitions
	OutageSpin
	// recovery
	ResendUnasked
	RefusalIsAbsence
	NoMargin
	NamedIsEnough
	NamedForEver
	// idempotence
	TwoBeforeState
	// accumulator
	NoTimestamp
	EvictedTaken
	RewindForgotten
	HandedOutTwice
	FactsForgotten
)

// Bugs are all mistakes, with what each of them does.
var Bugs = []struct {
	Bug  Bug
	Name string
	What string
}{
	{SendBeforeSeal, "send-before-seal", "a batch is sent before its seal is durable"},
	{SettleBeforeAck, "settle-before-ack", "a batch whose answer is lost counts as acked"},
	{ResetUnresolved, "reset-unresolved", "the epoch is raised, and records are numbered anew, while a batch is unresolved (KAFKA-14034)"},
	{SequenceReused, "sequence-reused", "sequences of refused records are given to others in the same epoch"},
	{ForgottenMute, "forgotten-mute", "a partition goes on sending while a batch of it is to be sent again"},
	{DoubtForgotten, "doubt-forgotten", "a batch whose answer is lost counts as never appended"},
	{WideWindow, "wide-window", "eight batches of a partition may be unanswered; a broker remembers five"},
	{StaleLeader, "stale-leader", "metadata of an older leader epoch is believed, and no other broker is asked before a partition is parked for that"},
	{EpochForgotten, "epoch-forgotten", "the leader epoch is not kept over a restart, and no other broker is asked before a partition is parked for that"},
	{ForeignCluster, "foreign-cluster", "a spool is delivered to another cluster than its own"},
	{CopyUnnoticed, "copy-unnoticed", "a producer id that the spool never used on a partition is not noticed there"},
	{RollCallUnawaited, "roll-call-unawaited", "a start sends before all leaders have said whether the spool is a copy"},
	{LimboUnread, "limbo-unread", "a refused batch of which a copy may be in the log is dead-lettered without a look"},
	{TailTooFar, "tail-too-far", "the log's tail is read from one offset too far"},
	{FewerPartitions, "fewer-partitions", "records of a topic that was created anew go to partitions of the former one"},
	{OutageSpin, "outage-spin", "metadata that is overdue wakes the producer every millisecond"},
	{ResendUnasked, "resend-unasked", "a start sends batches in doubt again without asking the leader"},
	{RefusalIsAbsence, "refusal-is-absence", "the refusal of a re-sent batch counts as proof that no copy is in the log"},
	{NoMargin, "no-margin", "a batch is sent again however long the broker may have forgotten the first copy"},
	{NamedIsEnough, "named-is-enough", "a batch that the leader names is settled before it is replicated"},
	{NamedForEver, "named-for-ever", "a batch that the leader names and the log has dropped is looked for without end"},
	{TwoBeforeState, "two-before-state", "several batches are unanswered before the broker has state for the producer"},
	{NoTimestamp, "no-timestamp", "records lose their own timestamps within a batch"},
	{EvictedTaken, "evicted-taken", "records that are given back to the spool to make room are never read again"},
	{RewindForgotten, "rewind-forgotten", "records that were passed over are not come back to"},
	{HandedOutTwice, "handed-out-twice", "settled records of a topic that was created anew are handed out again"},
	{FactsForgotten, "facts-forgotten", "a start has forgotten how many partitions keys were spread over"},
}
