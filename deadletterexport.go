package spoold

import (
	"time"

	"github.com/spoold/spoold/spool/bolt"
)

// ExportedDeadLetter is a dead letter as an export has it: the record as a PendingRecord has it, and why it is a dead letter.
type ExportedDeadLetter struct {
	PendingRecord
	Serial  uint64 `json:"serial"`     // its number
	Refused int32  `json:"refused_by"` // partition that refused it; -1: none
	Code    string `json:"code"`       // Kafka's name of the error
	CodeID  int16  `json:"code_id"`
	Message string `json:"message"` // the broker's words, or ""
	// Attempts is how often it was sent.
	Attempts int32 `json:"attempts"`
	At       int64 `json:"at"` // when it became one, ms since 1970
	// InDoubt: it may have reached the cluster all the same.
	InDoubt bool `json:"in_doubt"`
}

// ExportDeadLetters calls yield with dead letters, oldest first, until it returns false. Those that come meanwhile are not among
// them; those that are dropped or replayed meanwhile may be. A few are in memory at once. It blocks on the disk. Safe for concurrent use.
func (p *Producer) ExportDeadLetters(f DeadLetterFilter, yield func(*ExportedDeadLetter) bool) error {
	e, err := p.current()
	if err != nil {
		return err
	}
	return public(bolt.EachDead(e.store, f.inner(time.Now()), exportDead(yield)))
}

// InspectDeadLetterExport is Producer.ExportDeadLetters for the spool at path, with no Producer: nothing is changed. The errors are
// those of Inspect.
func InspectDeadLetterExport(path string, f DeadLetterFilter, yield func(*ExportedDeadLetter) bool) error {
	in, err := bolt.Look(path)
	if err != nil {
		return public(err)
	}
	defer in.Close()
	return public(in.EachDead(f.inner(time.Now()), exportDead(yield)))
}

func exportDead(yield func(*ExportedDeadLetter) bool) func(bolt.DeadLetter, []byte) (bool, error) {
	return func(d bolt.DeadLetter, raw []byte) (bool, error) {
		r, err := pendingRecord(d.Topic, d.Index, raw)
		if err != nil {
			return false, err
		}
		i := deadLetterInfos([]bolt.DeadLetter{d})[0]
		return yield(&ExportedDeadLetter{
			PendingRecord: *r, Serial: i.Serial, Refused: i.Partition, Code: i.Code, CodeID: i.CodeID, Message: i.Message,
			Attempts: i.Attempts, At: i.At, InDoubt: i.InDoubt,
		}), nil
	}
}
