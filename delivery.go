package spoold

import (
	"context"
	"time"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool/bolt"
)

// Delivery is what Send returns: a value that can be asked, any number of times
// and from any goroutine, what became of a record. Dropping it costs nothing. The
// zero Delivery answers ErrUnknown.
type Delivery struct {
	ticket    bolt.Ticket
	timestamp int64 // the record's, ms since 1970, or bolt.NoTimestamp
}

// Spooled waits until the record is on disk, synced. nil: it survives whatever
// happens to this host but the loss of its disk, and will be delivered. ErrUnknown: the disk
// failed at that moment, the record may be there or not. The context's error: not
// known yet; ask again.
func (d Delivery) Spooled(ctx context.Context) error {
	if d.isZero() {
		return errNoRecord
	}
	return public(d.ticket.Spooled(ctx))
}

func (d Delivery) isZero() bool { return d.ticket == bolt.Ticket{} }

// noAck is where a record is that is nowhere yet.
var noAck = Ack{Partition: protocol.NoPartition, Offset: int64(protocol.NoOffset)}

// Acked waits until the record is on all in-sync replicas and says where. With an error partition and offset are -1. A
// *RefusedError: the cluster refused it for good, it is a dead letter now. ErrClosed: the
// Producer was closed first; the record is spooled and the next Open delivers it. ErrUnknown
// as for Spooled. The context's error: not acked yet; it stays spooled.
func (d Delivery) Acked(ctx context.Context) (Ack, error) {
	if d.isZero() {
		return noAck, errNoRecord
	}
	a, err := d.ticket.Acked(ctx)
	if err != nil {
		return noAck, public(err)
	}
	return d.ack(a), nil
}

// TryAcked is Acked without waiting; ok is false while there is no answer.
func (d Delivery) TryAcked() (a Ack, err error, ok bool) {
	if d.isZero() {
		return noAck, errNoRecord, true
	}
	b, err, ok := d.ticket.Poll()
	if !ok || err != nil {
		return noAck, public(err), ok
	}
	return d.ack(b), nil, true
}

func (d Delivery) ack(a bolt.Ack) Ack {
	ack := Ack{Partition: a.Partition, Offset: int64(a.Offset)}
	switch {
	case a.Timestamp >= 0:
		ack.Timestamp = time.UnixMilli(a.Timestamp)
	case d.timestamp != bolt.NoTimestamp:
		ack.Timestamp = time.UnixMilli(d.timestamp)
	}
	return ack
}

// Deliveries are those of one Batch, in the order of its records.
type Deliveries struct {
	tickets bolt.Tickets
	records []bolt.RecordInput // as they were asked for: their timestamps
}

// Len is how many records the batch has.
func (d Deliveries) Len() int { return d.tickets.Len() }

// At is the delivery of record i, 0 ≤ i < Len.
func (d Deliveries) At(i int) Delivery { return Delivery{d.tickets.At(i), d.records[i].Timestamp} }

// Duplicate reports whether the batch's Key was seen before: these are the deliveries of the
// first batch, and nothing was spooled twice.
func (d Deliveries) Duplicate() bool { return d.tickets.Duplicate() }

// Spooled waits as Delivery.Spooled does. A batch is one commit: all or nothing.
func (d Deliveries) Spooled(ctx context.Context) error {
	if d.isZero() {
		return errNoRecord
	}
	return public(d.tickets.Spooled(ctx))
}

func (d Deliveries) isZero() bool { return d.records == nil }

// Acked waits for all records and returns where they are. The first error ends it.
func (d Deliveries) Acked(ctx context.Context) ([]Ack, error) {
	if err := d.Spooled(ctx); err != nil {
		return nil, err
	}
	acks := make([]Ack, d.Len())
	for i := range acks {
		var err error
		if acks[i], err = d.At(i).Acked(ctx); err != nil {
			return nil, err
		}
	}
	return acks, nil
}
