package spoold

import (
	"slices"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// PendingRecord is a record that has neither left the spool nor become a dead letter.
type PendingRecord struct {
	Topic     string   `json:"topic"`
	Index     uint64   `json:"index"`     // its place among the topic's records in the spool
	Partition int32    `json:"partition"` // as it was asked for; -1: spoold chooses
	Timestamp int64    `json:"timestamp"` // ms since 1970
	Key       []byte   `json:"key"`       // nil: null
	Value     []byte   `json:"value"`     // nil: null
	Headers   []Header `json:"headers,omitempty"`
}

func pendingRecord(topic string, i spool.Index, raw []byte) (*PendingRecord, error) {
	e, _, err := spool.NextEntry(slices.Clone(raw))
	if err != nil {
		return nil, err
	}
	r, err := e.Record()
	if err != nil {
		return nil, err
	}
	return &PendingRecord{topic, uint64(i), r.Partition, r.Timestamp, r.Key, r.Value, r.Headers}, nil
}

// Pending calls yield with the records of a topic, or with "" of all topics, that are pending, topic by topic in their order,
// until it returns false. What is acked meanwhile may be among them, what comes meanwhile is not. It blocks on the disk. Safe
// for concurrent use.
func (p *Producer) Pending(topic string, yield func(*PendingRecord) bool) error {
	e, err := p.current()
	if err != nil {
		return err
	}
	return public(e.store.Pending(topic, func(topic string, i spool.Index, raw []byte) (bool, error) {
		r, err := pendingRecord(topic, i, raw)
		return err == nil && yield(r), err
	}))
}

// InspectPending is Producer.Pending for the spool at path, with no Producer: nothing is changed. The errors are those of
// Inspect.
func InspectPending(path, topic string, yield func(*PendingRecord) bool) error {
	in, err := bolt.Look(path)
	if err != nil {
		return public(err)
	}
	defer in.Close()
	var bad error
	err = in.Entries(func(e bolt.EntryInfo) bool {
		if topic != "" && e.Topic != topic {
			return true
		}
		r, err := pendingRecord(e.Topic, e.Index, e.Raw)
		if bad = err; err != nil {
			return false
		}
		return yield(r)
	})
	if err == nil {
		err = bad
	}
	return public(err)
}

// SpoolReport is what Check has found.
type SpoolReport struct {
	Segments int            `json:"segments"` // files that are as they were written
	Bytes    int64          `json:"bytes"`
	Blocks   int            `json:"blocks"`
	Records  int            `json:"records"` // in these files: those too that have left, and dead letters
	Problems []SpoolProblem `json:"problems"`
}

// SpoolProblem is something that is not as it was written.
type SpoolProblem struct {
	Path string `json:"path"`
	What string `json:"what"`
}

// Check reads every byte of the spool at path and compares it with its checksums, and what belongs together. Nothing is
// changed. read is called after each file with the bytes that were read, and all there are. What is wrong is in the report; the
// error is a *LockedError or the file system's.
func Check(path string, read func(done, all int64)) (*SpoolReport, error) {
	rep, err := bolt.Check(path, read)
	if err != nil {
		return nil, public(err)
	}
	out := &SpoolReport{Segments: rep.Segments, Bytes: rep.Bytes, Blocks: rep.Blocks, Records: rep.Records, Problems: []SpoolProblem{}}
	for _, p := range rep.Problems {
		out.Problems = append(out.Problems, SpoolProblem{p.Path, p.Err.Error()})
	}
	return out, nil
}
