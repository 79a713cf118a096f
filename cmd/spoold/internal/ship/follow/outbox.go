package follow

import (
	"context"
	"errors"
	"fmt"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/ship"
)

// outbox gives batches to the spool, and waits for their commits.
type outbox struct {
	options *Options
	sink    Sink
	stats   *counters
	window  []sent        // oldest first
	stale   []spoold.Note // take away positions that are not used, with the next batch
}

// sent is a batch whose commit is awaited.
type sent struct {
	d       Commit
	log     string
	records int64
	bytes   int64
}

// send gives a batch of a log to the spool. It waits while the spool is full, and for the commit of the log's last
// batch: if that one fails, this one must not be in the spool, which may have been opened again meanwhile.
func (b *outbox) send(ctx context.Context, log string, batch spoold.Batch, bytes int64) error {
	most := maxWindow - 1
	for i := range b.window {
		if b.window[i].log == log {
			most = min(most, len(b.window)-1-i)
		}
	}
	if err := b.settle(ctx, most); err != nil {
		return err
	}
	batch.Notes = append(batch.Notes, b.stale...)
	for {
		d, err := b.sink.SendBatch(ctx, batch)
		switch {
		case err == nil:
			b.stale = nil
			b.window = append(b.window, sent{d, log, int64(len(batch.Records)), bytes})
			return nil
		case errors.Is(err, spoold.ErrFull) && ctx.Err() == nil && !b.options.Once:
			b.options.Report(Event{Kind: Waiting, Detail: err.Error()})
		case ctx.Err() != nil:
			return ctx.Err()
		default:
			return err
		}
	}
}

// settle waits for commits until at most so many batches are outstanding.
func (b *outbox) settle(ctx context.Context, most int) error {
	for len(b.window) > most {
		s := b.window[0]
		if err := s.d.Spooled(ctx); err != nil {
			return err
		}
		b.window = b.window[1:]
		b.stats.records.Add(s.records)
		b.stats.bytes.Add(s.bytes)
	}
	return nil
}

// Prefix begins the names of all notes of followers.
const Prefix = "file/"

func (o *Options) prefix() string { return Prefix + o.Namespace + "/" }

func (o *Options) noteName(id uint64) string { return fmt.Sprintf("%s%016x", o.prefix(), id) }

func (o *Options) note(p *ship.Position) spoold.Note {
	return spoold.Note{Name: o.noteName(p.ID), Value: p.Encode()}
}
