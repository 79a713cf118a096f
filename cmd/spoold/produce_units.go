package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship/follow"
)

// unitFlags are those of produce in transactions.
func unitFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "transactional-id", Usage: "commit the whole input as one transaction under `ID`, or each --unit-records of it"},
		&cli.IntFlag{Name: "unit-records", Usage: "with --transactional-id: `N` records are one transaction; 0: the whole input is"},
	}
}

// unitOptions reads unitFlags.
func unitOptions(w *world, c *cli.Context, s *settings, o *produceOpts) error {
	o.transactional, o.unitRecords = s.cfg.TransactionalID != "", c.Int("unit-records")
	switch {
	case c.IsSet("transactional-id") && c.String("transactional-id") == "":
		return usagef("produce: --transactional-id: the ID is empty: leave the flag out to send without transactions")
	case o.unitRecords < 0:
		return usagef("produce: --unit-records %d: it must not be below 0", o.unitRecords)
	case !o.transactional && c.IsSet("unit-records"):
		return usagef("produce: --unit-records is about transactions: use it with --transactional-id ID")
	case !o.transactional:
		return nil
	case o.exact:
		return nil
	}
	// One spool uses an id: the directory goes by it, whatever the topic is.
	state, err := w.stateDir()
	if err != nil {
		return err
	}
	o.exact = true
	s.cfg.SpoolPath = filepath.Join(state, "produce", "txn-"+shortHash(s.cfg.TransactionalID))
	return nil
}

// unitSender makes transactions of records.
type unitSender struct {
	p     *spoold.Producer
	every int // records of one; 0: all
	tx    *spoold.Transaction
	n     int // records in tx

	committed int // records of a file
}

// send adds a record, and commits when there are enough. It returns how many were committed.
func (u *unitSender) send(ctx context.Context, r spoold.Record) (committed int, err error) {
	if u.tx == nil {
		if u.tx, err = u.p.Begin(ctx); err != nil {
			return 0, err
		}
	}
	if err := u.tx.Send(ctx, r); err != nil {
		_ = u.tx.Abort(ctx)
		if (errors.Is(err, spoold.ErrTooLarge) || errors.Is(err, spoold.ErrFull)) && u.every != 1 {
			err = fmt.Errorf("%w: nothing of this transaction is sent; --unit-records makes them smaller", err)
		}
		return 0, err
	}
	if u.n++; u.every > 0 && u.n >= u.every {
		return u.commit(ctx)
	}
	return 0, nil
}

// commit ends the transaction at hand, if there is one, and comes back when it is spooled.
func (u *unitSender) commit(ctx context.Context) (committed int, err error) {
	if u.tx == nil {
		return 0, nil
	}
	if _, err := u.tx.Commit(context.WithoutCancel(ctx)); err != nil {
		return 0, err
	}
	committed, u.tx, u.n = u.n, nil, 0
	return committed, nil
}

// sendUnit hands one record on, into a transaction.
func (r *produceRun) sendUnit(ctx context.Context, line []byte) error {
	n, err := r.units.send(ctx, r.o.shape.record(line))
	r.sent.Add(uint64(n))
	if err != nil {
		return &exitError{codeOf(err), fmt.Errorf("record %s: %w; %s committed before are spooled in %s",
			comma(r.sent.Load()+uint64(r.units.n)+1), err, plural(r.sent.Load(), "record"), r.dirs.where())}
	}
	return nil
}

// endUnits commits what is left, or, after an interrupt, leaves it out: nobody sees half of it.
func (r *produceRun) endUnits(ctx context.Context) error {
	if ctx.Err() != nil {
		if r.units.tx != nil {
			_ = r.units.tx.Abort(ctx)
			fmt.Fprintf(r.w.stderr, "spoold: interrupted: the transaction of %s that was not complete is left out\n", plural(r.units.n, "record"))
		}
		return nil
	}
	n, err := r.units.commit(ctx)
	r.sent.Add(uint64(n))
	if err != nil {
		return &exitError{codeOf(err), err}
	}
	return nil
}

// unitSink makes transactions of a followed file's batches: the position in the file commits with the transaction.
type unitSink struct{ *unitSender }

// inTransaction says that a batch is spooled when its transaction is.
type inTransaction struct{}

func (inTransaction) Spooled(context.Context) error { return nil }

func (s unitSink) Notes(prefix string) map[string][]byte { return s.p.Notes(prefix) }

func (s unitSink) SendBatch(ctx context.Context, b spoold.Batch) (follow.Commit, error) {
	var err error
	if s.tx == nil {
		if s.tx, err = s.p.Begin(ctx); err != nil {
			return nil, err
		}
	}
	if len(b.Records) > 0 {
		err = s.tx.SendBatch(ctx, b.Records)
	}
	for i := 0; err == nil && i < len(b.Notes); i++ {
		err = s.tx.SetNote(b.Notes[i])
	}
	if err != nil {
		return nil, err
	}
	if s.n += len(b.Records); s.every > 0 && s.n >= s.every {
		n, err := s.commit(ctx)
		s.committed += n
		return inTransaction{}, err
	}
	return inTransaction{}, nil
}

// room says how many records are left in the transaction at hand; nil: there is no limit.
func (u *unitSender) room() func() int {
	if u == nil || u.every == 0 {
		return nil
	}
	return func() int { return u.every - u.n }
}

// sink is what a file is followed into.
func (r *produceRun) sink() follow.Sink {
	if r.units != nil {
		return unitSink{r.units}
	}
	return sinkOf{r.dirs.own}
}

// endFileUnits commits what is left of a file, or leaves it out after an interrupt or an error: the next run begins there.
func (r *produceRun) endFileUnits(ctx context.Context, err error) error {
	u := r.units
	if u == nil {
		return err
	}
	if err == nil && ctx.Err() == nil {
		var n int
		n, err = u.commit(ctx)
		u.committed += n
	} else if u.tx != nil {
		_ = u.tx.Abort(ctx)
		fmt.Fprintf(r.w.stderr, "spoold: the transaction of %s that was not complete is left out: the same command begins there\n", plural(u.n, "record"))
		u.tx = nil
	}
	return err
}

// transactionalIDOf is the transactional id of a spool that was delivered under one, or "": what is left in it
// is delivered in the same way.
func transactionalIDOf(dir string) string {
	st, err := spoold.Inspect(dir)
	if err != nil || st.Transaction == nil {
		return "" // whoever opens it next says what is wrong
	}
	return st.Transaction.ID
}
