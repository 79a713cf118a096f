package spoold

import (
	"context"
	"errors"
	"fmt"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/loop"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/txn"
)

// ErrAborted: the transaction was aborted. None of its records is visible, none of its offsets committed.
var ErrAborted = errors.New("the transaction was aborted")

// ConsumedOffset is how far an input topic was read: the offset of the next record to read.
type ConsumedOffset struct {
	Topic       string
	Partition   int32
	Offset      int64
	LeaderEpoch int32 // of the last record that was read; -1: not known
	Metadata    string
}

// ConsumerGroup is a consumer's group metadata (KIP-447): offsets are committed only while the member
// is in that generation.
type ConsumerGroup struct {
	ID         string
	Generation int32
	Member     string
	Instance   string // group.instance.id, or ""
}

// SendOffsets has the transaction commit a consumer's offsets with its records: both or neither. Such a
// transaction is not spooled: Commit waits for the cluster. It may be called again, also for other groups.
func (t *Transaction) SendOffsets(ctx context.Context, offsets []ConsumedOffset, g ConsumerGroup) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch {
	case g.ID == "":
		return fmt.Errorf("%w: the consumer group has no id", ErrInvalidRecord)
	case g.Generation >= 0 && g.Member == "":
		return fmt.Errorf("%w: consumer group %s has generation %d and no member id", ErrInvalidRecord, g.ID, g.Generation)
	case g.ID == txn.GroupID(t.p.cfg.TransactionalID):
		return fmt.Errorf("%w: group %s is the one that progress is kept under", ErrInvalidRecord, g.ID)
	}
	group := txn.GroupOffsets{Group: txn.Group{ID: g.ID, Generation: g.Generation, Member: g.Member, Instance: g.Instance}}
	for _, o := range offsets {
		if err := checkTopic(o.Topic); err != nil {
			return err
		}
		if o.Partition < 0 || o.Offset < 0 {
			return fmt.Errorf("%w: offset %d of %s-%d", ErrInvalidRecord, o.Offset, o.Topic, o.Partition)
		}
		group.Offsets = append(group.Offsets, txn.Offset{
			TopicPartition: protocol.TopicPartition{Topic: o.Topic, Partition: o.Partition}, Offset: o.Offset,
			LeaderEpoch: o.LeaderEpoch, Metadata: o.Metadata,
		})
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over != "" {
		return t.overError()
	}
	if len(t.notes) > 0 {
		return fmt.Errorf("%w: a transaction with notes is spooled, one with consumer offsets is not", ErrInvalidRecord)
	}
	if t.staged != nil {
		return fmt.Errorf("%w: the transaction does not fit into memory any more: one with consumer offsets has to", ErrTooLarge)
	}
	if len(offsets) > 0 {
		t.groups = append(t.groups, group)
	}
	return nil
}

// commitOnline delivers a transaction that is not spooled, and waits for its end. Under mu.
func (t *Transaction) commitOnline(ctx context.Context) (Commitment, error) {
	e, err := t.p.current()
	if err != nil {
		return Commitment{}, err
	}
	u := &sender.OnlineUnit{Groups: t.groups}
	at := make(map[string]int)
	for i := range t.records {
		r := &t.records[i]
		n, ok := at[r.Topic]
		if !ok {
			n = len(u.Topics)
			at[r.Topic] = n
			u.Topics, u.Entries = append(u.Topics, r.Topic), append(u.Entries, nil)
		}
		size := spool.BodySize(r.Key, r.Value, r.Headers)
		u.Entries[n] = spool.AppendEntry(u.Entries[n], r.Timestamp, r.Partition, r.Key, r.Value, r.Headers, size)
	}
	if len(u.Topics) == 0 { // offsets alone: their own topic is as good as any to keep progress on
		u.Topics, u.Entries = []string{t.groups[0].Offsets[0].Topic}, [][]byte{nil}
	}
	o, err := e.loop.Online(u, e.store.Stats().Counters.Accepted)
	if err != nil {
		return Commitment{}, public(err)
	}
	if list := t.observed; len(list) > 0 {
		t.observed = nil
		t.p.callbacks.ended.Go(func() { t.p.interceptors.onlineEnded(list, onlineCommitted(context.Background(), o)) }) // o ends before callbacks do
	}
	t.close("committed")
	c := Commitment{online: o, empty: true}
	err = c.Committed(ctx)
	switch {
	case err == nil:
	case errors.Is(err, ErrAborted):
		t.over = fmt.Sprintf("aborted: %s", o.End().Why)
	case ctx.Err() != nil:
		o.Cancel() // if it was not decided on, it is aborted now
		err = fmt.Errorf("%w: Committed of its Commitment returns it later: %w", ErrUnknown, context.Cause(ctx))
		fallthrough
	default:
		t.over = "committed or aborted, its Commitment says which"
	}
	return c, err
}

// onlineCommitted waits for the end of a transaction that is not spooled.
func onlineCommitted(ctx context.Context, o *loop.Online) error {
	select {
	case <-o.Done():
	default:
		select {
		case <-o.Done():
		case <-o.Over():
			select {
			case <-o.Done():
			default:
				return fmt.Errorf("%w: the Producer ended first; the offsets of the group say whether it was committed", ErrUnknown)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if end := o.End(); !end.Committed {
		return fmt.Errorf("%w: %s", ErrAborted, end.Why)
	}
	return nil
}
