//go:build crash

package soak

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/link"
)

// The whole promise, for as long as one likes: nothing is lost, doubled, reordered, changed or parked, everything
// stays inside its limits, and what piled up drains when trouble ends.
func TestTheDaemonKeepsItsPromiseInAllKindsOfTrouble(t *testing.T) {
	r := newRig(t)
	t.Cleanup(r.report)
	watching, stop := context.WithCancel(r.ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.watch.Run(watching) })
	wg.Go(func() { r.progress(watching) })
	err := r.run()
	stop()
	wg.Wait()
	if cause := context.Cause(r.ctx); cause != nil && !errors.Is(err, cause) {
		err = errors.Join(cause, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.enough()
}

func (r *rig) run() error {
	for {
		if err := r.begin(); err != nil {
			return err
		}
		for {
			if err := r.act(); err != nil {
				return err
			}
			if err := r.rest(); err != nil {
				return err
			}
			if r.over() || r.full() {
				break
			}
			r.pace.Go()
		}
		if err := r.settle(); err != nil {
			return err
		}
		if r.over() {
			return r.killer.Stop()
		}
	}
}

// An epoch ends with one of these, or with a third of the run: what is read back takes time, and Kafka's disk is not
// without end.
const (
	epochTime    = 12 * time.Minute
	epochRecords = 4_000_000
	epochBytes   = 4 << 30
)

func (r *rig) full() bool {
	records, bytes := 0, int64(0)
	for _, t := range r.topics {
		n, _ := t.ledger.Total()
		records += n
		bytes += t.load.Bytes()
	}
	return time.Since(r.figure.epochBegan) > min(epochTime, *timeFlag/3) || records > epochRecords || bytes > epochBytes
}

// begin begins an epoch: new topics, another configuration, clients.
func (r *rig) begin() error {
	epoch := r.epoch + 1
	dice := rand.New(rand.NewPCG(r.seed, 1000+uint64(epoch)))
	r.gentle = epoch%3 == 0
	keys := r.configuration(epoch, dice)
	r.figure.epochBegan = time.Now()
	fmt.Printf("%8s  epoch %d, nothing ends the daemon: %v, configuration %v\n", r.elapsed(), epoch, r.gentle, keys)
	r.note("epoch %d: %v", epoch, keys)
	for _, f := range r.cluster.Links() {
		f.Begin(r.seed+uint64(epoch), link.Mix{}, func(d link.Decision) { r.note("%v", d) })
	}
	var topics []*topic
	for i, partitions := range []int32{3, 6, 1, 2} {
		topics = append(topics, r.topic(epoch, i, partitions))
		t := topics[i]
		if err := r.cluster.CreateTopic(r.ctx, t.name, t.partitions, map[string]string{"file.delete.delay.ms": "1000"}); err != nil {
			return err
		}
	}
	if epoch > 1 {
		if err := r.killer.Stop(); err != nil {
			return err
		}
		r.book.Once(Stop)
	}
	r.onlookers.configure(keys)
	r.watch.Begin(epoch, r.limits())
	r.daemon.Keys = keys
	if err := errors.Join(r.killer.Start(r.ctx), r.onlookers.open(r.daemon.Admin)); err != nil {
		return err
	}
	r.mu.Lock()
	r.epoch, r.topics = epoch, topics
	r.mu.Unlock()
	r.pace.Go()
	for _, t := range topics {
		t.load.Run(r.ctx)
	}
	return nil
}

// configuration is the defaults, apart from the small disk's, in a long run's first epoch; later ones draw their own.
func (r *rig) configuration(epoch int, dice *rand.Rand) map[string]string {
	keys := map[string]string{
		"spool.min.free.bytes": fmt.Sprint(minFree), "spool.max.bytes": fmt.Sprint(maxSpool), "shutdown.timeout": "3s",
	}
	r.requestTimeout, r.maxSegment = 30*time.Second, 64<<20
	pick := func(key string, values ...string) string {
		v := values[dice.IntN(len(values))]
		if v != "" {
			keys[key] = v
		}
		return v
	}
	if !r.long || epoch > 1 && dice.IntN(2) == 0 {
		keys["request.timeout.ms"], keys["metadata.max.age.ms"] = "5000", "5000"
		r.requestTimeout = 5 * time.Second
	}
	if epoch == 1 {
		return keys
	}
	switch pick("spool.segment.bytes", "", "1MiB", "8MiB") {
	case "1MiB":
		r.maxSegment = 1 << 20
	case "8MiB":
		r.maxSegment = 8 << 20
	}
	pick("batch.size", "", "4KiB", "16KiB")
	pick("linger.ms", "", "0", "50")
	pick("compression.type", "", "lz4", "zstd", "snappy", "gzip")
	pick("max.in.flight.requests.per.connection", "", "1")
	pick("retry.backoff.ms", "", "20")
	return keys
}

// clients is how many there are, over all topics.
func (r *rig) clients() int {
	if r.long {
		return 48
	}
	return 32
}

// topic prepares one. The last of an epoch's is the one that grows.
func (r *rig) topic(epoch, i int, partitions int32) *topic {
	t := &topic{name: fmt.Sprintf("soak-%x-%d-%c", r.seed, epoch, 'a'+i), partitions: partitions, grows: i == 3}
	seed := r.seed ^ uint64(epoch)<<16 ^ uint64(i)<<8
	t.ledger = crash.NewLedger(seed, r.clients()/4, 200)
	t.ledger.Size = t.size
	t.load = &crash.Load{Ledger: t.ledger, URL: "http://" + r.daemon.HTTP + "/topics/" + t.name, Seed: seed, Pace: r.pace, Manner: manner}
	return t
}

// size is how many bytes a client's next value has: from 1 to 900 KB. Each client has a class of its own.
func (t *topic) size(client int, dice *rand.Rand) int {
	span := func(low, high float64) int { // each order of magnitude as often as any other
		return int(math.Exp(math.Log(low) + dice.Float64()*(math.Log(high)-math.Log(low))))
	}
	switch {
	case client%6 == 5:
		return span(16<<10, 900_000)
	case client%6 == 4:
		return span(1<<10, 16<<10)
	case client%6 == 0 && !t.grows:
		return span(1, 32)
	}
	return span(32, 600)
}

// manner: those with small values send many at once.
func manner(client int) (think time.Duration, records int) {
	switch client % 6 {
	case 5:
		return 4 * time.Second, 2
	case 4:
		return 600 * time.Millisecond, 3
	case 0:
		return 300 * time.Millisecond, 60
	case 1: // as many keys as records: within half an hour, more than are remembered
		return 120 * time.Millisecond, 1
	}
	return 300 * time.Millisecond, 20
}

// settle ends an epoch while everything is at rest: old requests arrive once more, all is read back and
// compared, and the topics are deleted.
func (r *rig) settle() error {
	for _, t := range r.topics {
		if err := t.load.Stop(); err != nil {
			return err
		}
		answered, again := t.load.Requests()
		r.figure.requests += answered
		r.figure.again += again
		r.figure.refused += t.load.Refused()
		r.figure.bytes += t.load.Bytes()
	}
	st, err := r.daemon.Status(r.ctx)
	if err != nil {
		return err
	}
	var wrong error
	if want := r.answered(); st.Accepted != want || st.Acked != want {
		wrong = fmt.Errorf("soak: accepted %d, acked %d, and clients were told of %d", st.Accepted, st.Acked, want)
	}
	if err := errors.Join(r.onlookers.check(st.Acked), r.replay()); err != nil {
		return errors.Join(wrong, err)
	}
	for _, t := range r.topics {
		wrong = errors.Join(wrong, r.compare(t))
	}
	if wrong != nil {
		return wrong
	}
	r.mu.Lock()
	old := r.topics
	for _, t := range old {
		n, _ := t.ledger.Total()
		r.past += n
	}
	r.topics = nil
	r.mu.Unlock()
	fmt.Printf("%8s  epoch %d: %d records in all were read back and are as they should be\n", r.elapsed(), r.epoch, r.past)
	for _, t := range old {
		if err := r.cluster.DeleteTopic(r.ctx, t.name); err != nil {
			return err
		}
	}
	return nil
}

// replay lets the last requests of former connections arrive once more.
func (r *rig) replay() error {
	ctx, cancel := context.WithTimeout(r.ctx, 2*time.Minute)
	defer cancel()
	for _, f := range r.cluster.Links() {
		r.figure.broken.Add(f.Counts())
		f.Cut()
		answers, err := f.ReplayAll(ctx)
		if err != nil {
			return err
		}
		for what, n := range answers {
			r.figure.replayed += n
			r.note("replayed at the end of epoch %d: %d were answered %s", r.epoch, n, what)
		}
	}
	return nil
}
