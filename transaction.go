package spoold

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spoold/spoold/sender/loop"
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
	records []bolt.RecordInput // in memory; their bytes are in arena
	arena   bytesArena
	bytes   int64
	groups  []txn.GroupOffsets
	notes   []Note           // by name: the last one
	staged  *bolt.StagedUnit // what did not fit into memory; nil: all of it did
	store   *bolt.Store      // that staged is in
	firsts  int64            // bytes that staged keeps in memory
	topics  map[string]bool  // that it has records for
	over    string           // how it ended; "": it is open

	observed      []observedRecord // its records, in order, if there are interceptors or a tracer
	observedBytes int64            // what these take
	ended         []observedRecord // those of an aborted transaction, to be reported when mu is free
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
	if !p.plain {
		p.observed.add(t)
	}
	return t, nil
}

// Send adds a record to the transaction; its bytes are copied. It waits for the disk where the transaction
// does not fit into memory, and for room there as Producer.Send does. ErrTooLarge: the record is over what is
// taken, or a transaction with SendOffsets is, or what is kept for interceptors of its records is over
// unit.memory.bytes; ErrInvalidRecord: it can never be delivered, or is for one topic more than the 256 that a
// transaction may have; ErrFull: the open transactions together hold unit.staged.bytes on the disk, or that is
// full. After an error the transaction is as before. ErrTransactionOver, ErrClosed.
func (t *Transaction) Send(ctx context.Context, r Record) error {
	err := t.SendBatch(ctx, []Record{r})
	var one *RecordError
	if errors.As(err, &one) {
		return one.Err
	}
	return err
}

// Commit ends the transaction: it returns once the transaction is on the local disk, synced, from where
// it is delivered whatever happens; one with SendOffsets returns once it was committed on the cluster, or was
// aborted (ErrAborted), or ctx has ended meanwhile (ErrUnknown: ask Commitment; one that was not decided on by
// then is aborted). Commitment reports when the Kafka transaction that carries it was committed. With an error the transaction stays open and Commit may be called again, unless the error is ErrAborted,
// ErrUnknown (the disk failed, it may be spooled or not) or ErrTransactionOver.
func (t *Transaction) Commit(ctx context.Context) (Commitment, error) {
	t.mu.Lock()
	defer t.unlock()
	if t.over != "" {
		return Commitment{}, t.overError()
	}
	if len(t.groups) > 0 {
		return t.commitOnline(ctx)
	}
	if t.staged == nil && len(t.records)+len(t.notes) == 0 {
		t.close("committed")
		return Commitment{empty: true}, nil
	}
	if ctx.Err() != nil {
		return Commitment{}, context.Cause(ctx)
	}
	entered, err := t.enter(ctx)
	if err != nil {
		return Commitment{}, err
	}
	var ds Deliveries
	exact := t.staged == nil
	if exact {
		ds, err = t.p.append(ctx, t.input())
	} else {
		ds, err = t.commitStaged(ctx)
	}
	if err != nil {
		if entered {
			t.p.callbacks.leave(1)
		}
		return Commitment{}, err
	}
	of := ds.At
	if !exact {
		of = firstOfTopic(ds, t.observed)
	}
	t.spooled(entered, of, exact)
	t.close("committed")
	c := Commitment{d: ds}
	return c, c.Spooled(ctx)
}

// Abort ends the transaction: none of its records is spooled. Aborting twice is no error;
// ErrTransactionOver: it was committed, or its Commitment says what became of it.
func (t *Transaction) Abort(context.Context) error { return t.end("aborted") }

func (t *Transaction) end(how string) error {
	t.mu.Lock()
	defer t.unlock()
	switch {
	case t.over == "":
		t.close(how)
	case !strings.HasPrefix(t.over, "aborted"):
		return t.overError()
	}
	return nil
}

// close lets go of everything. Under mu.
func (t *Transaction) close(how string) {
	t.over = how
	t.timer.Stop()
	t.p.units.give(t.bytes + t.firsts + t.observedBytes)
	t.firsts, t.observedBytes = 0, 0
	t.ended, t.observed = t.observed, nil
	t.p.observed.remove(t)
	if t.staged != nil {
		t.staged.Abort() // unless it was committed
	}
	t.records, t.bytes, t.groups, t.notes, t.staged, t.store, t.topics, t.arena = nil, 0, nil, nil, nil, nil, nil, bytesArena{}
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
