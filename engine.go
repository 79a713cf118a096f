package spoold

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/sender/loop"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// engine is one life of the spool: what opens with it and dies with it. A Producer has one
// after the other if the disk was full when a commit was made: nothing that was in
// memory is believed then, and the spool is opened again exactly as at a start.
type engine struct {
	store    *bolt.Store
	loop     *loop.Loop
	replaced chan struct{} // closed when another engine, or none, has taken its place
}

// engines are the lives of a Producer's spool, one after the other.
type engines struct {
	p     *Producer
	now   atomic.Pointer[engine]
	clock func() time.Time // Env.Now; nil: this host's

	// Tests come between.
	seam     func(*bolt.Store) loop.Store // what the loop sees of the store
	pause    time.Duration                // before the spool is opened again
	suspects suspects
}

// clusterAway reports whether the cluster is known to be out of reach.
func (es *engines) clusterAway() bool {
	core := es.now.Load().loop.Snapshot().Core
	return !core.LinkUp && core.LinkErr != ""
}

// open wires spool/bolt, sender and loop. receipts are those of the engine before, or nil.
func (es *engines) open(receipts *bolt.Receipts) (*engine, error) {
	p := es.p
	c, space := &p.cfg, p.limits.Load()
	store, rec, err := bolt.Open(bolt.Options{
		Path:         c.SpoolPath,
		SegmentBytes: c.segmentBytes(),
		GroupBytes:   int(c.groupBytes()), // what a segment owns ahead follows from it
		MaxBytes:     space.maxBytes,
		MinFreeBytes: minFree(space.minFreeBytes),
		MaxBatch:     int(max(c.MaxRequestSize, c.SpoolCommitMax) + 1024),
		SettleAfter:  c.SpoolSettle,
		KeyWindow:    c.IdempotencyWindow,
		MaxKeys:      int(c.IdempotencyKeys),
		KeyBytes:     c.IdempotencyBytes,
		StateBytes:   c.SpoolStateMax,
		MaxTopics:    int(c.SpoolMaxTopics),
		DeadBytes:    c.DeadLetterBytes,
		StagedBytes:  c.UnitStaged,
		DeadBlock:    c.DeadLetterFull == "block",
		Adopt:        p.env.AdoptSpool,
		Now:          es.clock,
		KeepReceipts: true,
		AgeEvery:     c.ageEvery(),
		Quota:        c.quotas(),
		StopOnDamage: c.SpoolCorrupt == "stop",
		Verify:       es.suspects,
		Observe:      p.deadTopic.observe(p),
	})
	if err != nil {
		return nil, public(err)
	}
	if receipts != nil {
		store.Adopt(receipts)
	}
	e := &engine{store: store, replaced: make(chan struct{})}
	p.env.Hooks.tellDamage(rec.Damage)
	e.loop = es.newLoop(es.seam(store), rec)
	e.loop.Run()
	return e, nil
}

// groupBytes is the size at which a group of records stops gathering while a commit is under way.
func (c *Config) groupBytes() int64 { return min(1<<20, c.segmentBytes()/16) }

// groupsAndReads is how many times groupBytes all takes that is in memory beside batches: two groups that wait for the loop, one that it
// hands on, the one that is committed and the open one, each full at twice groupBytes; the pages of the commit; and the blocks that are read.
const groupsAndReads = 16

// Sizes of a segment.
const (
	leastSegment = 64 << 10
	usualSegment = 64 << 20
)

// segmentBytes is spool.segment.bytes or, where that is not set, what fits the spool's size.
func (c *Config) segmentBytes() int64 {
	if c.SpoolSegmentBytes > 0 {
		return c.SpoolSegmentBytes
	}
	return min(max(c.SpoolMaxBytes/16, leastSegment), usualSegment)
}

// ageEvery is how exactly the spool keeps since when records wait: a record is dropped so much later than spool.max.age, and what lies between two looks.
func (c *Config) ageEvery() time.Duration {
	if c.SpoolMaxAge == 0 || c.TransactionalID != "" {
		return 0
	}
	return min(max(c.SpoolMaxAge/64, 10*time.Millisecond), time.Hour)
}

// minFree: in the configuration 0 means no floor; for the store it means the default.
func minFree(bytes int64) int64 {
	if bytes == 0 {
		return -1
	}
	return bytes
}

func (es *engines) newLoop(store loop.Store, rec *spool.Recovered) *loop.Loop {
	p := es.p
	c := &p.cfg
	codec, level := c.codec()
	common := sender.Config{
		BatchSize:         int(max(c.BatchSize, 1)),
		BufferMemory:      int(c.BufferMemory - min(groupsAndReads*c.groupBytes(), c.BufferMemory/2)),
		Compressed:        codec != protocol.CodecNone,
		MaxRequestSize:    int(c.MaxRequestSize),
		MaxInFlight:       int(c.MaxInFlight),
		Partitioner:       c.partitioner(),
		Uniform:           !c.Adaptive,
		AvailabilityMs:    c.Availability.Milliseconds(),
		LingerMs:          c.Linger.Milliseconds(),
		RequestTimeoutMs:  c.RequestTimeout.Milliseconds(),
		RetryBackoffMs:    c.RetryBackoff.Milliseconds(),
		RetryBackoffMaxMs: c.RetryBackoffMax.Milliseconds(),
		MetadataMaxAgeMs:  c.MetadataMaxAge.Milliseconds(),
		MetadataMaxIdleMs: c.MetadataMaxIdle.Milliseconds(),
		MarginMs:          c.ProducerStateMargin.Milliseconds(),
		AutoCreate:        c.TopicsCreate,
		CheckCluster:      p.env.CheckCluster,
		Seed:              p.env.Seed,
	}
	core := newCore(c.TransactionalID, common, c.TransactionTimeout.Milliseconds(), rec)
	return loop.New(core, store, rec, loop.Options{
		Servers:           c.BootstrapServers,
		ClientID:          c.ClientID,
		Version:           Version(),
		Codec:             codec,
		Level:             level,
		ReconnectBackoff:  c.ReconnectBackoff,
		ReconnectMax:      max(c.ReconnectMax, c.ReconnectBackoff),
		ConnectTimeout:    c.ConnectTimeout,
		ConnectTimeoutMax: c.ConnectTimeoutMax,
		Rebootstrap:       c.Rebootstrap,
		MaxIdle:           c.ConnectionsMaxIdle,
		DeliveryTimeout:   c.DeliveryTimeout,
		MaxAge:            c.SpoolMaxAge,
		DropOldest:        c.dropsOldest(),
		Dial:              p.env.Dial,
		Security:          p.keeper.Security,
		Stamp:             p.keeper.Stamp,
		Event:             p.observer.event,
		Produced:          p.observer.produced,
		Delivered:         p.callbacks.poke,
	})
}

// flush waits for the open group's commit, then for everything in it and before it.
func (e *engine) flush(ctx context.Context) error {
	if err := e.store.Sync(ctx); err != nil {
		return err
	}
	return e.loop.Flush(ctx, e.store.Stats().Counters.Accepted)
}

// supervise waits for the engine's end, closes its spool, and opens another one if
// the reason was a full disk. One goroutine runs it.
func (es *engines) supervise(e *engine) {
	p := es.p
	for {
		opened := time.Now()
		<-e.loop.Over()
		err := public(e.loop.Err())
		if closeErr := e.close(); err == nil {
			err = closeErr
		}
		receipts := e.store.Receipts()
		p.callbacks.poke() // the outcome of what was not on disk yet is unknown now
		next, err := es.reopen(opened, err, receipts)
		if next == nil {
			receipts.Close()
			p.life.stopped(err)
			p.callbacks.poke()
			close(e.replaced)
			return
		}
		es.now.Store(next)
		close(e.replaced)
		e = next
	}
}

// closeTime bounds the last commit: it needs no cluster, only the disk.
const closeTime = 30 * time.Second

func (e *engine) close() error {
	go func() { // the loop is over and takes no more of them, and the committer waits with the third
		for range e.store.Commits() {
			continue
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	return public(e.store.Close(ctx))
}

// reopenPause keeps a disk that stays full from being opened over and over.
const reopenPause = 5 * time.Second

// reopen gives the engine that follows one that ended with err, or nil and why there is none. As long as
// the disk is too full for a first commit, it tries again.
func (es *engines) reopen(opened time.Time, err error, receipts *bolt.Receipts) (*engine, error) {
	p := es.p
	for as[*SpaceError](err) || errors.Is(err, sender.ErrFinished) || p.cfg.SpoolCorrupt != "stop" && es.suspects.add(err) {
		if !as[*SpaceError](err) {
			opened = time.Time{} // this happens once, or once for each segment
		}
		if lived := time.Since(opened); lived < es.pause {
			t := time.NewTimer(es.pause - lived)
			select {
			case <-t.C:
			case <-p.life.quit:
			}
			t.Stop()
		}
		select {
		case <-p.life.quit:
			if errors.Is(err, sender.ErrFinished) {
				err = nil // nothing has failed
			}
			return nil, err
		default:
		}
		p.env.Logger.Warn(reopenWhy(err), "event", "spool.reopen", "err", err)
		opened = time.Now()
		next, openErr := es.open(receipts)
		if openErr == nil {
			return next, nil
		}
		err = openErr
	}
	return nil, err
}
