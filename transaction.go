package spoold

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spoold/spoold/sender/loop"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
	"github.com/spoold/spoold/txn"
)

var (
	// ErrNotTransactional: Begin, and transactional.id is not set.
	ErrNotTransactional = errors.New("transactional.id is not set")
	// ErrTransactionOver: the transaction was committed, aborted or timed out before. Nothing was done.
	ErrTransactionOver = errors.New("the transaction is over")
)

// Transaction is a client's transaction: records for any topics that become visible to read_committed
// readers together, or not at all. It needs no cluster: Commit makes it durable on the local disk, and
// it is delivered inside one Kafka transaction, once, in the order of commits. Several may be open at a
// time. Its records are in memory until Commit (unit.memory.bytes bounds all open transactions together),
// or, if they are too many, on the disk (unit.staged.bytes), where nobody sees them before Commit; one that is open for longer than transaction.timeout.ms is aborted. Safe for concurrent use, but the
// order of records is that of the calls.
type Transaction struct {
	p     *Producer
	timer *time.Timer

	mu      sync.Mutex
	records []Record
	bytes   int64
	groups  []txn.GroupOffsets
	notes   []Note           // by name: the last one
	staged  *bolt.StagedUnit // what did not fit into memory; nil: all of it did
	store   *bolt.Store      // that staged is in
	firsts  int64            // bytes that staged keeps in memory
	over    string           // how it ended; "": it is open
}

// Begin begins a transaction. It does not wait. ErrNotTransactional: transactional.id is not set.
func (p *Producer) Begin(ctx context.Context) (*Transaction, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if p.cfg.TransactionalID == "" {
		return nil, fmt.Errorf("begin: %w", ErrNotTransactional)
	}
	if _, err := p.current(); err != nil {
		return nil, err
	}
	t := &Transaction{p: p}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = time.AfterFunc(p.cfg.TransactionTimeout, func() {
		_ = t.end(fmt.Sprintf("aborted: it was open for transaction.timeout.ms = %d", p.cfg.TransactionTimeout.Milliseconds()))
	})
	return t, nil
}

// Send adds a record to the transaction; its bytes are copied. It waits for the disk where the transaction
// does not fit into memory, and for room there as Producer.Send does. ErrTooLarge: the record is over what is
// taken, or a transaction with SendOffsets is; ErrInvalidRecord: it can never be delivered; ErrFull: the open
// transactions together hold unit.staged.bytes on the disk, or that is full. After an error the
// transaction is as before. ErrTransactionOver, ErrClosed.
func (t *Transaction) Send(ctx context.Context, r Record) error {
	return t.SendBatch(ctx, []Record{r})
}

// SendBatch adds records to the transaction, all of them or, with an error, none. Otherwise as Send.
func (t *Transaction) SendBatch(ctx context.Context, records []Record) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, err := t.p.current(); err != nil {
		return err
	}
	size := int64(0)
	partitions := make([]Partition, len(records))
	for i := range records {
		err := t.p.rules.check(&records[i])
		if err == nil {
			partitions[i], err = t.p.chooser.choose(ctx, t.p, &records[i])
		}
		if err != nil {
			return fmt.Errorf("record %d of %d: %w", i, len(records), err)
		}
		size += recordMemory(&records[i])
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over != "" {
		return t.overError()
	}
	return t.add(ctx, records, partitions, size)
}

// Commit ends the transaction: it returns once the transaction is on the local disk, synced, from where
// it is delivered whatever happens; one with SendOffsets returns once it was committed on the cluster, or was
// aborted (ErrAborted), or ctx has ended and nobody knows yet (ErrUnknown: ask Commitment). Commitment tells when the Kafka transaction that carries it was
// committed. With an error the transaction stays open and Commit may be called again, unless the error is
// ErrUnknown (the disk failed, it may be spooled or not) or ErrTransactionOver.
func (t *Transaction) Commit(ctx context.Context) (Commitment, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over != "" {
		return Commitment{}, t.overError()
	}
	if len(t.groups) > 0 {
		return t.commitOnline(ctx)
	}
	if t.staged != nil {
		return t.commitStaged(ctx)
	}
	if len(t.records)+len(t.notes) == 0 {
		t.close("committed")
		return Commitment{empty: true}, nil
	}
	d, err := t.p.SendBatch(ctx, Batch{Records: t.records, Notes: t.notes})
	if err != nil {
		return Commitment{}, err
	}
	t.close("committed")
	c := Commitment{d: d}
	return c, c.Spooled(ctx)
}

// Abort ends the transaction: none of its records is spooled. Aborting twice is no error;
// ErrTransactionOver: it was committed.
func (t *Transaction) Abort(context.Context) error { return t.end("aborted") }

func (t *Transaction) end(how string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over == "committed" {
		return t.overError()
	}
	if t.over == "" {
		t.close(how)
	}
	return nil
}

// close lets go of everything. Under mu.
func (t *Transaction) close(how string) {
	t.over = how
	t.timer.Stop()
	t.p.units.give(t.bytes + t.firsts)
	t.firsts = 0
	if t.staged != nil {
		t.staged.Abort() // unless it was committed
	}
	t.records, t.bytes, t.groups, t.notes, t.staged, t.store = nil, 0, nil, nil, nil, nil
}

func (t *Transaction) overError() error {
	return fmt.Errorf("%w: it was %s", ErrTransactionOver, t.over)
}

// Commitment is a committed transaction: a value that can be asked, any number of times and from any
// goroutine, what became of it.
type Commitment struct {
	d      Deliveries
	empty  bool
	online *loop.Online // not spooled
}

// Spooled waits as Delivery.Spooled does. After Commit without an error it returns at once.
func (c Commitment) Spooled(ctx context.Context) error {
	if c.empty {
		return nil
	}
	return c.d.Spooled(ctx)
}

// Committed waits until the Kafka transaction with all of its records was committed. ErrDeadLettered (and
// *RefusedError): the cluster refused one of the records for good, so all of them are dead letters now.
// ErrClosed: the Producer was closed first; the next Open delivers it. The context's error: not yet.
func (c Commitment) Committed(ctx context.Context) error {
	if c.online != nil {
		return onlineCommitted(ctx, c.online)
	}
	if c.empty {
		return nil
	}
	_, err := c.d.Acked(ctx)
	return err
}

// Deliveries are those of the records, in the order they were sent; of a transaction that did not fit into
// memory, those of the first record for each topic: what becomes of them becomes of all.
func (c Commitment) Deliveries() Deliveries { return c.d }

// unitMemory counts what open transactions hold.
type unitMemory struct {
	mu   sync.Mutex
	used int64
}

func (m *unitMemory) take(n, most int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.used+n > most {
		return false
	}
	m.used += n
	return true
}

func (m *unitMemory) give(n int64) {
	m.mu.Lock()
	m.used -= n
	m.mu.Unlock()
}

// recordMemory is about what a record takes in an open transaction, and more than its entry in the spool.
func recordMemory(r *Record) int64 {
	return int64(spool.EntrySize(spool.BodySize(r.Key, r.Value, r.Headers), r.Partition.Number())) + 128 + 40*int64(len(r.Headers))
}

func copyRecord(p *Producer, r *Record) Record {
	c := *r
	c.Key, c.Value = slices.Clone(r.Key), slices.Clone(r.Value)
	c.Headers = slices.Clone(r.Headers)
	for i := range c.Headers {
		c.Headers[i].Value = slices.Clone(c.Headers[i].Value)
	}
	if c.Timestamp.IsZero() {
		c.Timestamp = p.env.Now()
	}
	return c
}
