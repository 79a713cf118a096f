package spool

import "fmt"

// NoBlock in a CorruptError means that the damage is not in one block.
const NoBlock = ^uint64(0)

// CorruptError says that what is on disk is not what was written. Nothing of
// the segment may be believed.
type CorruptError struct {
	Segment uint64
	Block   uint64 // NoBlock: in the structure of the file, or in the state
	What    string
}

func (e *CorruptError) Error() string {
	if e.Block == NoBlock {
		return fmt.Sprintf("segment %d is damaged: %s", e.Segment, e.What)
	}
	return fmt.Sprintf("segment %d is damaged: block %d: %s", e.Segment, e.Block, e.What)
}
