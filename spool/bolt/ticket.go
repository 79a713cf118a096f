package bolt

import (
	"context"
	"fmt"
	"sync"
	"weak"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// Ack is where a record is on the cluster.
type Ack struct {
	Partition int32
	Offset    protocol.Offset // NoOffset: acked, place unknown
	Timestamp int64           // ms, LogAppendTime; -1: the record's own
}

// Ticket is the handle of one record. It is a value; the zero Ticket belongs to nothing
// and its methods fail. Safe for concurrent use.
type Ticket struct {
	receipt *Receipt
	section int32
	ordinal int32
}

// Receipt is what the tickets of one group share. The Store keeps it weakly: when
// the last ticket is gone, so is all that would have been kept for it.
type Receipt struct {
	done chan struct{} // closed when the commit is through, or has failed
	err  error         // set before done is closed

	mu       sync.Mutex
	sections []ackSection
	changed  chan struct{} // closed and replaced when acks come; nil while nobody waits
	closed   error         // no more acks will come
}

// ackSection is what became of a run of a lane's entries.
type ackSection struct {
	lane  spool.LaneID
	first spool.Index
	count int
	acks  []ack         // nil until the first ack; then count
	errs  map[int]error // by ordinal
}

type ack struct {
	offset    protocol.Offset
	timestamp int64
	partition int32
	known     bool
}

func newReceipt() *Receipt { return &Receipt{done: make(chan struct{})} }

// addSection makes room for the acks of a run. Used before done is closed, or
// before the receipt is handed out.
func (r *Receipt) addSection(lane spool.LaneID, first spool.Index, count int) {
	r.mu.Lock()
	r.sections = append(r.sections, ackSection{lane: lane, first: first, count: count})
	r.mu.Unlock()
}

func (r *Receipt) spooled(ctx context.Context) error {
	if r == nil {
		return fmt.Errorf("empty ticket: %w", ErrInvalid)
	}
	select {
	case <-r.done:
		return r.err
	default:
	}
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for the sync: %w", context.Cause(ctx))
	}
}

// Spooled waits until the record is on disk, synced. Only nil says that it is. ErrPoisoned, and an
// error of ctx, mean that it may be stored or not.
func (t Ticket) Spooled(ctx context.Context) error { return t.receipt.spooled(ctx) }

// Acked waits until the record is on the cluster. The error is that of Spooled, or the
// reason why the record was moved to the dead letters, or of ctx, or ErrClosed if the
// Store was closed first: then a later start delivers it.
func (t Ticket) Acked(ctx context.Context) (Ack, error) {
	r := t.receipt
	if err := r.spooled(ctx); err != nil {
		return Ack{}, err
	}
	for {
		a, changed, err := r.look(int(t.section), int(t.ordinal))
		if changed == nil {
			return a, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Ack{}, fmt.Errorf("spooled, waiting for the cluster: %w", context.Cause(ctx))
		}
	}
}

// look gives what is known of one entry, or a channel that is closed when more is.
func (r *Receipt) look(section, ordinal int) (Ack, <-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.sections[section]
	if s.acks != nil && s.acks[ordinal].known {
		a := s.acks[ordinal]
		return Ack{a.partition, a.offset, a.timestamp}, nil, s.errs[ordinal]
	}
	if r.closed != nil {
		return Ack{}, nil, r.closed
	}
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return Ack{}, r.changed, nil
}

// resolve notes what became of the entries of sp, where nothing is known yet. skip is how many entries
// of the delivery come before sp.
func (r *Receipt) resolve(section int, sp spool.Span, d *spool.Delivery, skip int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.sections[section]
	if s.acks == nil {
		s.acks = make([]ack, s.count)
	}
	for i := sp.First; i < sp.End; i++ {
		ordinal := int(i - s.first)
		if s.acks[ordinal].known {
			continue
		}
		offset := d.Offset
		if offset != protocol.NoOffset {
			offset += protocol.Offset(skip) + protocol.Offset(i-sp.First)
		}
		s.acks[ordinal] = ack{offset, d.Timestamp, d.Partition, true}
		if d.Err != nil {
			if s.errs == nil {
				s.errs = make(map[int]error)
			}
			s.errs[ordinal] = d.Err
		}
	}
	r.wake()
}

// close says that no more acks will come.
func (r *Receipt) close(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed == nil {
		r.closed = err
	}
	r.wake()
}

func (r *Receipt) wake() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// Tickets are the handles of one batch, in the order of its records.
type Tickets struct {
	list      []Ticket
	receipt   *Receipt // of the group; for a repeat, of one that is through if all of it is
	others    []*Receipt
	duplicate bool
}

// Len is the number of records.
func (t Tickets) Len() int { return len(t.list) }

// At is the i-th record's ticket.
func (t Tickets) At(i int) Ticket { return t.list[i] }

// Duplicate reports whether the batch is a repeat of an earlier one with the same key.
func (t Tickets) Duplicate() bool { return t.duplicate }

// Spooled waits until all of the batch is on disk.
func (t Tickets) Spooled(ctx context.Context) error {
	if err := t.receipt.spooled(ctx); err != nil {
		return err
	}
	for _, r := range t.others {
		if err := r.spooled(ctx); err != nil {
			return err
		}
	}
	return nil
}

// place says where a receipt's section is in its lane.
type place struct {
	span    spool.Span
	receipt weak.Pointer[Receipt]
	section int
}
