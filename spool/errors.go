package spool

import (
	"errors"
	"fmt"
)

// ErrLost is what became of a record that damage to the disk has taken.
var ErrLost = errors.New("the record is lost: the disk did not give back what was written")

// NoBlock in a CorruptError means that the damage is not in one block.
const NoBlock = ^uint64(0)

// CorruptError says that what is on disk is not what was written. Nothing of
// the segment may be believed.
type CorruptError struct {
	Segment uint64
	Block   uint64 // NoBlock: in the structure of the file, or in the state
	What    string
	Path    string // of the file; "": not known
}

func (e *CorruptError) Error() string {
	what := e.What
	if e.Block != NoBlock {
		what = fmt.Sprintf("block %d: %s", e.Block, what)
	}
	if e.Path != "" {
		return fmt.Sprintf("segment %d is damaged: %s: %s (nothing is guessed and nothing more is sent: copy the spool's directory before anything else; spoold check lists all that is wrong)", e.Segment, e.Path, what)
	}
	return fmt.Sprintf("segment %d is damaged: %s", e.Segment, what)
}
