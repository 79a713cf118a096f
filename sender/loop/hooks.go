package loop

import (
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool/bolt"
)

// Hooks tell a program what happens. Each func may be nil. They are called on the
// goroutine that delivers (SpoolCommit: on the one that commits): they must not block
// and must not call back into the producer.
type Hooks struct {
	BatchAcked         func(sender.BatchAcked)
	BatchRetried       func(sender.BatchRetried)
	PartitionParked    func(sender.PartitionParked)
	PartitionUnparked  func(sender.PartitionUnparked)
	RecordDeadLettered func(sender.RecordDeadLettered)
	LinkChanged        func(sender.LinkChanged)
	TopicTrouble       func(sender.TopicTrouble)
	EpochBumped        func(sender.EpochBumped)
	CopyUnchecked      func(sender.CopyUnchecked)
	Recovery           func(sender.Recovery)
	SpoolCommit        func(bolt.CommitStats)
}

// tell passes an event to its hook.
func (h *Hooks) tell(e sender.Event) {
	switch e := e.(type) {
	case sender.BatchAcked:
		call(h.BatchAcked, e)
	case sender.BatchRetried:
		call(h.BatchRetried, e)
	case sender.PartitionParked:
		call(h.PartitionParked, e)
	case sender.PartitionUnparked:
		call(h.PartitionUnparked, e)
	case sender.RecordDeadLettered:
		call(h.RecordDeadLettered, e)
	case sender.LinkChanged:
		call(h.LinkChanged, e)
	case sender.TopicTrouble:
		call(h.TopicTrouble, e)
	case sender.EpochBumped:
		call(h.EpochBumped, e)
	case sender.CopyUnchecked:
		call(h.CopyUnchecked, e)
	case sender.Recovery:
		call(h.Recovery, e)
	}
}

func call[E any](hook func(E), e E) {
	if hook != nil {
		hook(e)
	}
}
