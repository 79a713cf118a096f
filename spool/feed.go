package spool

import "fmt"

// Time is the moment that pure code is given. Timers, ages and margins go by Age;
// Wall is for people and for records that carry no timestamp.
type Time struct {
	Wall int64 // ms since 1970; may jump either way
	// Age is the spool clock, ms: it began with the spool, counts while the host
	// runs (suspended or not), is stored with every commit and never goes back.
	Age int64
}

// Section is a run of entries of one lane, as committed or as read back.
type Section struct {
	Lane  LaneID
	Spans []Span // indexes of the entries in Bytes, ascending; one span unless it was rewritten
	Bytes []byte // entries, see AppendEntry; read only, valid until released
}

// Each calls yield with the entries and their indexes, until it returns false. An entry is valid until the next one. The error is that of an
// entry that cannot be read.
func (s *Section) Each(yield func(Index, *Entry) bool) error {
	rest := s.Bytes
	var e Entry
	var err error
	for _, sp := range s.Spans {
		for i := sp.First; i < sp.End; i++ {
			if e, rest, err = NextEntry(rest); err != nil {
				return fmt.Errorf("entry %d: %w", i, err)
			}
			if !yield(i, &e) {
				return nil
			}
		}
	}
	return nil
}

// NewLane says that a topic got its lane.
type NewLane struct {
	ID    LaneID
	Topic string
}

// Committed is what one spool commit made durable, as the core receives it.
type Committed struct {
	Writes   uint64 // every Write with an ID up to this one is durable
	Lanes    []NewLane
	Sections []Section // in spool order; one without Bytes is to be read from the disk
	// DeadFull: dead letters take as much as they may, and none of them is to be dropped for another one.
	DeadFull bool
}
