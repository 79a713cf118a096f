package spoold

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// DeadLetterFilter says which dead letters are meant. The zero value means all of them.
type DeadLetterFilter struct {
	Topic     string        `json:"topic,omitempty"`      // "": of all topics
	Partition *int32        `json:"partition,omitempty"`  // nil: of all partitions
	Code      *int16        `json:"code,omitempty"`       // Kafka's error code; nil: any
	OlderThan time.Duration `json:"older_than,omitempty"` // that became dead letters so long ago; 0: at any time
	Serials   []uint64      `json:"serials,omitempty"`    // these; none: all
	InDoubt   *bool         `json:"in_doubt,omitempty"`   // that may have reached the cluster all the same, or that have not; nil: both
}

// DeadLetterInfo is a record that the cluster refused for good, as it is listed.
type DeadLetterInfo struct {
	Serial    uint64 `json:"serial"` // its number; rises with every dead letter of the spool
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"` // that refused it
	Code      string `json:"code"`      // Kafka's name of the error
	CodeID    int16  `json:"code_id"`
	Message   string `json:"message"` // the broker's words, or ""
	Attempts  int32  `json:"attempts"`
	At        int64  `json:"at"`    // when it became one, ms since 1970
	Bytes     int64  `json:"bytes"` // that it takes in the spool
	Index     uint64 `json:"index"` // its place among the topic's records in the spool
	// InDoubt: it may have reached the cluster all the same. An operator put it aside before that was known.
	InDoubt bool `json:"in_doubt"`
}

// DeadLetterRecord is a dead letter with the record itself.
type DeadLetterRecord struct {
	DeadLetterInfo
	Timestamp int64    `json:"timestamp"` // of the record, ms since 1970
	Key       []byte   `json:"key"`       // nil: null
	Value     []byte   `json:"value"`     // nil: null
	Headers   []Header `json:"headers,omitempty"`
}

func (f *DeadLetterFilter) inner(now time.Time) bolt.DeadFilter {
	d := bolt.DeadFilter{Topic: f.Topic, Partition: f.Partition, Code: f.Code, Serials: f.Serials, InDoubt: f.InDoubt}
	if f.OlderThan > 0 {
		d.Before = now.Add(-f.OlderThan).UnixMilli()
	}
	return d
}

func deadLetterInfos(list []bolt.DeadLetter) []DeadLetterInfo {
	out := make([]DeadLetterInfo, 0, len(list))
	for i := range list {
		d := &list[i]
		out = append(out, DeadLetterInfo{
			Serial: d.Serial, Topic: d.Topic, Partition: d.Partition, Code: d.Code.String(), CodeID: int16(d.Code), Message: d.Message,
			Attempts: d.Attempts, At: d.At, Bytes: d.Bytes, Index: uint64(d.Index), InDoubt: d.InDoubt,
		})
	}
	return out
}

// deadLetterRecord takes an entry apart.
func deadLetterRecord(d bolt.DeadLetter, raw []byte) (*DeadLetterRecord, error) {
	e, _, err := spool.NextEntry(raw)
	if err != nil {
		return nil, err
	}
	r, err := e.Record()
	if err != nil {
		return nil, err
	}
	out := &DeadLetterRecord{
		DeadLetterInfo: deadLetterInfos([]bolt.DeadLetter{d})[0],
		Timestamp:      r.Timestamp, Key: slices.Clone(r.Key), Value: slices.Clone(r.Value),
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, Header{Key: h.Key, Value: slices.Clone(h.Value)})
	}
	return out, nil
}

// DeadLetters lists dead letters, oldest first, at most so many; with a negative number, all. It reads no record and does not
// block. Safe for concurrent use.
func (p *Producer) DeadLetters(f DeadLetterFilter, most int) []DeadLetterInfo {
	return deadLetterInfos(p.engines.now.Load().store.DeadLetters(f.inner(time.Now()), most))
}

// DeadLetter reads one dead letter with its record. It blocks on the disk. Safe for concurrent use.
func (p *Producer) DeadLetter(serial uint64) (*DeadLetterRecord, error) {
	store := p.engines.now.Load().store
	list := store.DeadLetters(bolt.DeadFilter{Serials: []uint64{serial}}, 1)
	if len(list) == 0 {
		return nil, noDeadLetter(serial)
	}
	raw, err := store.DeadEntry(list[0].Lane, list[0].Index)
	if err != nil {
		return nil, public(err)
	}
	return deadLetterRecord(list[0], raw)
}

// ErrNoDeadLetter: no dead letter has that number, or it was dropped or replayed.
var ErrNoDeadLetter = errors.New("there is no such dead letter")

func noDeadLetter(serial uint64) error { return fmt.Errorf("%w: number %d", ErrNoDeadLetter, serial) }

// DeadLetterDrop says how dead letters are given up. The zero value refuses to drop a part of a transaction or batch. Not both.
type DeadLetterDrop struct {
	// WholeUnits drops the other records of a transaction or batch as well, where the filter means some of them only.
	WholeUnits bool `json:"whole_units,omitempty"`
	// DivideUnits drops those records of a transaction or batch that the filter means without the others of it. These can be sent
	// again only with DivideUnits then.
	DivideUnits bool `json:"divide_units,omitempty"`
}

// DropDeadLetters gives up dead letters and says how many: their room is free, and the spool keeps a record that they are gone.
// With a transactional id, those of a transaction or batch go in one commit; ErrPartOfUnit if f means only some of those that are
// there. It returns when that is on disk. Safe for concurrent use.
func (p *Producer) DropDeadLetters(ctx context.Context, f DeadLetterFilter, how DeadLetterDrop) (int, error) {
	e, err := p.current()
	if err != nil {
		return 0, err
	}
	return dropDead(ctx, e.store, f, how)
}

func dropDead(ctx context.Context, store *bolt.Store, f DeadLetterFilter, how DeadLetterDrop) (int, error) {
	if how.WholeUnits && how.DivideUnits {
		return 0, errBothUnits
	}
	n, err := store.DropDead(ctx, f.inner(time.Now()), bolt.Drop(how))
	return n, public(err)
}

// DeadLetterReplay says how dead letters are sent again.
type DeadLetterReplay struct {
	// MayDuplicate sends those in doubt as well: where the first copy has reached the cluster, it is there twice then.
	MayDuplicate bool `json:"may_duplicate,omitempty"`
	// TimestampNow gives each the time of the replay instead of its own: for those that have become too old for their topic.
	TimestampNow bool `json:"timestamp_now,omitempty"`
	// ChoosePartition has the partition of each chosen anew, as of a record that names none: for those of a partition that is not there.
	ChoosePartition bool `json:"choose_partition,omitempty"`
	// WholeUnits sends the other records of a transaction or batch as well, where the filter means some of them only.
	WholeUnits bool `json:"whole_units,omitempty"`
	// DivideUnits sends those records of a transaction or batch that the filter means without the others of it: in one Kafka transaction, too.
	// Not together with WholeUnits.
	DivideUnits bool `json:"divide_units,omitempty"`
}

// ErrPartOfUnit: with a transactional id, a part of the records of a transaction or batch was to be sent again or dropped. Nothing was
// changed. The text names the others.
var ErrPartOfUnit = errors.New("the dead letters of a transaction or batch go together")

var errBothUnits = fmt.Errorf("%w: whole transactions and batches, or parts of them, not both", ErrPartOfUnit)

// DeadLettersReplayed is what ReplayDeadLetters did.
type DeadLettersReplayed struct {
	Records int `json:"records"`  // that were sent again
	InDoubt int `json:"in_doubt"` // that are dead letters still, because they may have reached the cluster all the same
}

// ReplayDeadLetters sends dead letters again: a copy of each goes to the end of its topic, as a record that
// has just come, counted accepted again, and the dead letter is gone; each copy in the same commit as that. Their order
// is that in which they became dead letters. With a transactional id, the dead letters of a transaction or batch come again in one
// commit, and readers of committed records see all of them or none; one in doubt keeps all of them dead letters; ErrPartOfUnit if f
// means only some. One larger than a commit is first written to the disk, within unit.staged.bytes. It returns when
// all are on disk. ErrFull: the spool had no room before ctx ended, and what is left are dead letters still. Safe for
// concurrent use.
func (p *Producer) ReplayDeadLetters(ctx context.Context, f DeadLetterFilter, how DeadLetterReplay) (DeadLettersReplayed, error) {
	e, err := p.current()
	if err != nil {
		return DeadLettersReplayed{}, err
	}
	return replayDead(ctx, e.store, f, how)
}

func replayDead(ctx context.Context, store *bolt.Store, f DeadLetterFilter, how DeadLetterReplay) (DeadLettersReplayed, error) {
	if how.WholeUnits && how.DivideUnits {
		return DeadLettersReplayed{}, errBothUnits
	}
	again := bolt.Replay{MayDuplicate: how.MayDuplicate, Choose: how.ChoosePartition, WholeUnits: how.WholeUnits, DivideUnits: how.DivideUnits}
	if how.TimestampNow {
		again.Timestamp = time.Now().UnixMilli()
	}
	n, left, err := store.ReplayDead(ctx, f.inner(time.Now()), again)
	switch {
	case errors.Is(err, bolt.ErrStagedFull):
		err = fmt.Errorf("%w: a transaction that is sent again is larger than what open ones may hold on the disk (unit.staged.bytes): %w", ErrFull, err)
	case errors.Is(err, bolt.ErrUnitOver):
		err = fmt.Errorf("%w: the spool was opened again meanwhile, because its disk was full: what is left are dead letters still", ErrFull)
	}
	return DeadLettersReplayed{Records: n, InDoubt: left}, public(err)
}

// InspectDeadLetters is Producer.DeadLetters for the spool at path, with no Producer: nothing is changed. The errors are those
// of Inspect.
func InspectDeadLetters(path string, f DeadLetterFilter, most int) ([]DeadLetterInfo, error) {
	in, err := bolt.Look(path)
	if err != nil {
		return nil, public(err)
	}
	defer in.Close()
	list, err := in.DeadLetters(f.inner(time.Now()), most)
	return deadLetterInfos(list), public(err)
}

// InspectDeadLetter is Producer.DeadLetter for the spool at path, with no Producer.
func InspectDeadLetter(path string, serial uint64) (*DeadLetterRecord, error) {
	in, err := bolt.Look(path)
	if err != nil {
		return nil, public(err)
	}
	defer in.Close()
	list, err := in.DeadLetters(bolt.DeadFilter{Serials: []uint64{serial}}, 1)
	if err == nil && len(list) == 0 {
		err = noDeadLetter(serial)
	}
	if err != nil {
		return nil, public(err)
	}
	raw, err := in.DeadEntry(list[0].Lane, list[0].Index)
	if err != nil {
		return nil, public(err)
	}
	return deadLetterRecord(list[0], raw)
}

// DropDeadLettersOf is Producer.DropDeadLetters on the spool at path, with no Producer. The errors are those of Open.
func DropDeadLettersOf(ctx context.Context, path string, f DeadLetterFilter, how DeadLetterDrop) (n int, err error) {
	err = changeDeadLetters(ctx, path, func(s *bolt.Store) (err error) {
		n, err = dropDead(ctx, s, f, how)
		return err
	})
	return n, err
}

// ReplayDeadLettersOf is Producer.ReplayDeadLetters on the spool at path, with no Producer. No cluster is needed: what is replayed
// is sent by the next one. The errors are those of Open.
func ReplayDeadLettersOf(ctx context.Context, path string, f DeadLetterFilter, how DeadLetterReplay) (r DeadLettersReplayed, err error) {
	err = changeDeadLetters(ctx, path, func(s *bolt.Store) (err error) {
		r, err = replayDead(ctx, s, f, how)
		return err
	})
	return r, err
}

// changeDeadLetters opens the spool at path for a change.
func changeDeadLetters(ctx context.Context, path string, change func(*bolt.Store) error) error {
	in, err := bolt.Look(path) // a path without a spool is not made one
	if err != nil {
		return public(err)
	}
	in.Close()
	store, _, err := bolt.Open(bolt.Options{
		Path: path, MinFreeBytes: -1, MaxBytes: 1 << 50, DeadBytes: 1 << 50, StagedBytes: 1 << 50, // an operator's word counts more than limits
		KeyWindow: 100 * 365 * 24 * time.Hour, MaxKeys: 1 << 30, MaxTopics: 1 << 30, // what is known of keys and topics stays
	})
	if err != nil {
		return public(err)
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for c := range store.Commits() {
			c.Release()
		}
	}()
	err = change(store)
	if closed := store.Close(ctx); err == nil {
		err = closed
	}
	<-drained
	return public(err)
}

// ErrorCodeNumber is the number of a Kafka error, given that or its name, and whether there is one.
func ErrorCodeNumber(text string) (int16, bool) {
	if n, err := strconv.ParseInt(text, 10, 16); err == nil {
		return int16(n), true
	}
	c, ok := protocol.ErrorCodeNamed(text)
	return int16(c), ok
}
