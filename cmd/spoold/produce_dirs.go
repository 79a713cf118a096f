package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/spoold/spoold"
)

// produceDirs are the spools of one run: its own, and those beside it in which an ended
// run left something. The others are delivered first: until they are empty, the own
// producer takes records but reaches no broker.
type produceDirs struct {
	family   *family
	own      *spoold.Producer
	ownDir   string
	cfg      spoold.Config
	base     spoold.Status // of own, when it was opened
	others   []leftover
	gate     chan struct{} // closed when all others are delivered
	drained  chan struct{} // closed when nobody waits for the others any more
	endDrain context.CancelFunc
	refused  refusals
}

// leftover is what an ended run left in a directory beside ours.
type leftover struct {
	p    *spoold.Producer
	dir  string
	base spoold.Status
}

// maxDirs bounds how many runs on one topic may go on at once.
const maxDirs = 256

// openDirs opens the spools of a family: the one that has a file's position, or else the first that no other process has,
// or else a new one; and all others that hold records.
func openDirs(ctx context.Context, s *settings, f *family, job *fileJob, log *slog.Logger) (*produceDirs, error) {
	d := &produceDirs{cfg: s.cfg, gate: make(chan struct{}), drained: make(chan struct{})}
	own := ""
	if job != nil {
		own = job.dir(f)
	}
	dirs := f.dirs
	if own != "" { // first, so that it becomes ours
		dirs = append([]string{own}, slices.DeleteFunc(slices.Clone(dirs), func(dir string) bool { return dir == own })...)
	}
	for _, dir := range dirs {
		err := d.openOne(ctx, dir, log)
		var locked *spoold.LockedError
		if errors.As(err, &locked) && !f.exact() && dir != own {
			continue
		}
		if err != nil {
			return nil, errors.Join(err, d.abandon())
		}
	}
	for n := 0; d.own == nil; n++ {
		err := d.openOne(ctx, f.fresh(n), log)
		var locked *spoold.LockedError
		if err != nil && (!errors.As(err, &locked) || n >= maxDirs) {
			return nil, errors.Join(err, d.abandon())
		}
	}
	if err := errors.Join(f.record(d.ownDir, ""), job.record(d.ownDir)); err != nil {
		return nil, errors.Join(&exitError{exitCannotCreate, err}, d.abandon(), d.own.Close(ctx))
	}
	d.family = f
	ctx, d.endDrain = context.WithCancel(context.WithoutCancel(ctx))
	go d.drain(ctx)
	return d, nil
}

// openOne opens one spool: as ours if we have none, or to deliver what it holds.
func (d *produceDirs) openOne(ctx context.Context, dir string, log *slog.Logger) error {
	cfg := d.cfg
	cfg.SpoolPath = dir
	if cfg.TransactionalID == "" {
		cfg.TransactionalID = transactionalIDOf(dir)
	}
	env := spoold.Env{Hooks: spoold.Hooks{RecordDeadLettered: d.refused.hook, RecordsDropped: d.refused.drop, SegmentDamaged: d.refused.damage}, Logger: log}
	if d.own == nil {
		env.Dial = d.gatedDial
	}
	p, err := spoold.Open(cfg, env)
	switch {
	case err != nil:
		return err
	case d.own == nil:
		d.own, d.ownDir, d.base = p, dir, *p.Status()
	case p.Status().Pending == 0:
		return p.Close(ctx)
	default:
		d.others = append(d.others, leftover{p, dir, *p.Status()})
	}
	return nil
}

// drain waits until the others are delivered, and then lets the own producer reach
// its brokers.
func (d *produceDirs) drain(ctx context.Context) {
	defer close(d.drained)
	for _, o := range d.others {
		if o.p.Flush(ctx) != nil {
			return
		}
	}
	close(d.gate)
}

func plainDial(ctx context.Context, network, addr string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, addr)
}

func (d *produceDirs) gatedDial(ctx context.Context, network, addr string) (net.Conn, error) {
	select {
	case <-d.gate:
		return plainDial(ctx, network, addr)
	case <-ctx.Done():
		return nil, fmt.Errorf("records of an earlier run in %s go first: %w", d.where(), ctx.Err())
	}
}

// flush waits until everything in all directories is delivered.
func (d *produceDirs) flush(ctx context.Context) error {
	select {
	case <-d.drained:
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, o := range d.others {
		if err := o.p.Err(); err != nil {
			return err
		}
	}
	return d.own.Flush(ctx)
}

// awaitAcks waits until everything is delivered, for timeout at most, or shortly after an interrupt. then
// says what to do if it is not, at the end of the wait.
func (d *produceDirs) awaitAcks(ctx context.Context, timeout time.Duration, then func() string) error {
	wait := ctx
	within := fmt.Sprintf("within %v", timeout)
	if errors.Is(ctx.Err(), context.Canceled) {
		wait, timeout, within = context.WithoutCancel(ctx), min(timeout, interruptGrace), "before the interrupt"
	}
	wait, cancel := context.WithTimeout(wait, timeout)
	defer cancel()
	err := d.flush(wait)
	if err != nil && wait.Err() == nil {
		return err
	}
	pending := d.pending()
	if err == nil || pending == 0 {
		return d.refusedError()
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		within = "before the interrupt"
	case ctx.Err() != nil:
		within = "in time"
	}
	return exitf(exitUnavailable, "the cluster did not ack %s %s: what is pending stays spooled in %s; %s%s%s",
		plural(pending, "record"), within, d.where(), then(), d.only(), d.trouble())
}

// noRoom is the error of a run that ended because a record waited for room for as long as timeout says; then says how to go on. Another
// error is given back as it is.
func (d *produceDirs) noRoom(err error, timeout time.Duration, then string) error {
	if !errors.Is(err, spoold.ErrFull) || !errors.Is(err, spoold.ErrMaxBlock) || d.cfg.MaxBlock < timeout {
		return err
	}
	why := strings.TrimSuffix(err.Error(), ": "+spoold.ErrMaxBlock.Error())
	return exitf(exitUnavailable, "%s, and the cluster acked nothing within %v that would have made room: %s pending in %s; %s%s%s",
		why, timeout, plural(d.pending(), "record"), d.where(), then, d.only(), d.trouble())
}

// refusedError says so when the cluster refused records for good, or policy dropped some.
func (d *produceDirs) refusedError() error {
	n := d.deadLettered()
	if n == 0 {
		return d.refused.droppedError(d.where())
	}
	kept := "they are kept as dead letters"
	if n == 1 {
		kept = "it is kept as a dead letter"
	}
	what, why := "the cluster refused "+plural(n, "record")+" for good", d.refused.text()
	if strings.Contains(why, "REQUEST_TIMED_OUT") {
		what = plural(n, "record") + " expired, delivery.timeout.ms is over"
	}
	see := "spoold dlq ls shows it"
	if d.family.exact() {
		see = "spoold dlq ls --spool " + shellWord(d.ownDir) + " shows it"
	}
	return exitf(exitProblem, "%s: %s in %s%s; %s", what, kept, d.where(), why, see)
}

// hasPartition refuses a partition that the topic does not have. With no answer from the cluster its records are taken, and wait.
func (d *produceDirs) hasPartition(ctx context.Context, command string, r *spoold.Record) error {
	n := r.Partition.Number()
	if n < 0 {
		return nil
	}
	if count := d.own.PartitionCount(ctx, r.Topic); count > 0 && n >= count {
		return usagef("%s: -p %d: topic %s has %s, numbered from 0: nothing was read", command, n, r.Topic, plural(uint64(count), "partition"))
	}
	return nil
}

// sum is what a run came to that sent so many records. What an earlier run left is delivered first, so the first acks are
// counted as its.
func (d *produceDirs) sum(sent uint64) produced {
	out := produced{Accepted: sent, Spooled: sent, Pending: d.pending(), DeadLettered: d.deadLettered(), Recovered: d.recovered()}
	acked := d.acked()
	out.recoveredAcked = min(acked, out.Recovered-min(d.lost(), out.Recovered))
	out.Acked = min(acked-out.recoveredAcked, sent)
	return out
}

// each calls f with the state of every directory, now and as it was at the start.
func (d *produceDirs) each(f func(now *spoold.Status, base spoold.Status)) {
	f(d.own.Status(), d.base)
	for _, o := range d.others {
		f(o.p.Status(), o.base)
	}
}

func (d *produceDirs) pending() (n uint64) {
	d.each(func(now *spoold.Status, _ spoold.Status) { n += now.Pending })
	return n
}

func (d *produceDirs) acked() (n uint64) {
	d.each(func(now *spoold.Status, base spoold.Status) { n += now.Acked - base.Acked })
	return n
}

// deadLettered counts what the cluster refused: as it is reported, for the counters have it only when it
// is on disk.
func (d *produceDirs) deadLettered() (n uint64) {
	d.each(func(now *spoold.Status, base spoold.Status) { n += now.DeadLettered - base.DeadLettered })
	return max(n, d.refused.count())
}

// lost counts what damage took of what was pending when the spools were opened.
func (d *produceDirs) lost() (n uint64) {
	d.each(func(now *spoold.Status, base spoold.Status) { n += now.Lost - base.Lost })
	return n
}

func (d *produceDirs) recovered() uint64 {
	n := d.base.Pending
	for _, o := range d.others {
		n += o.base.Pending
	}
	return n
}

// where names the directories that hold something of this run or an earlier one.
func (d *produceDirs) where() string {
	where := d.ownDir
	for _, o := range d.others {
		where += ", " + o.dir
	}
	return where
}

// close ends every producer. It does not wait for the cluster: whoever wanted that has
// waited already. The error also says what damage to the spools has taken, whatever the run waited for.
func (d *produceDirs) close(ctx context.Context) error {
	d.endDrain()
	<-d.drained
	var recorded error
	if id := d.own.Status().ClusterID; id != "" {
		recorded = d.family.record(d.ownDir, id)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(d.own.Close(ctx), d.abandon(), recorded, d.refused.lostError())
}

// abandon closes the others.
func (d *produceDirs) abandon() error {
	var errs []error
	for _, o := range d.others {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		errs = append(errs, o.p.Close(ctx))
		cancel()
	}
	return errors.Join(errs...)
}

// trouble says why nothing is delivered, as far as it is known.
func (d *produceDirs) trouble() string {
	text := ""
	d.each(func(now *spoold.Status, _ spoold.Status) {
		if now.Link != "up" && now.LinkError != "" {
			text = fmt.Sprintf(" (link down: %s)", now.LinkError)
		}
		if x := now.Transaction; x != nil && x.Fenced != "" {
			text = fmt.Sprintf(" (%s; here: spoold txn take-over --spool %s)", x.Fenced, shellWord(now.SpoolPath))
			return
		}
		for i := range now.Topics {
			t := &now.Topics[i]
			if t.Trouble != "" {
				text = fmt.Sprintf(", once this is mended: topic %s is %s: %s; see spoold resolve %s --spool %s", t.Topic, t.State, t.Trouble, t.Topic, shellWord(now.SpoolPath))
			} else if t.Detail != "" {
				text = fmt.Sprintf(" (topic %s is %s: %s)", t.Topic, t.State, t.Detail)
			}
			for _, p := range t.Partitions {
				if p.ParkReason != "" {
					text = fmt.Sprintf(" (%s:%d is parked: %s, %s; see spoold resolve)", t.Topic, p.Partition, p.ParkReason, p.Detail)
				}
			}
		}
	})
	return text
}
