//go:build crash

package lossy

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/powercut"
	"github.com/spoold/spoold/integration/proof"
)

var (
	seedFlag = flag.Uint64("seed", 0, "repeats a run's decisions; 0: a new one")
	cutsFlag = flag.Int("cuts", 60, "how often the power is cut")
)

// cutsPerSpool is how often the power of one spool is cut. Then it is drained and compared, and another
// one begins on a blank disk, of another shape.
const cutsPerSpool = 25

func seed(t *testing.T) uint64 {
	t.Helper()
	s := *seedFlag
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("seed %d; another run like it (what meets what is a matter of timing, so it is not the same): go test -tags crash -count=1 -v -timeout 0 ./integration/lossy -run '^%s$' -seed %d -cuts %d",
		s, t.Name(), s, *cutsFlag)
	return s
}

// The promise under power cuts: 0 lost, 0 duplicated, 0 reordered per partition, byte for byte, whenever
// the power is cut, also while the daemon recovers from the cut before, and after a disk that failed.
func TestPromiseHoldsWhenThePowerIsCutUnderLoad(t *testing.T) {
	first := seed(t)
	cluster(t) // its start is not counted
	run := proof.Begin("power-cuts", "Power cuts of the real daemon on a lossy file system", "make power")
	run.What = "`spoold serve` with its spool on a FUSE file system that loses, tears and reorders what was not synced; HTTP clients with " +
		"Idempotency-Key; one Apache Kafka broker. A violation: an answered record that is not in the topic exactly once, in its client's order, byte for " +
		"byte; a start that refuses what a power cut left; a 2xx after the disk has failed; numbers that do not add up."
	run.NotCovered = notCovered
	tally := powercut.Tally{}
	total, records, late, began := 0, 0, 0, time.Now()
	for round := uint64(0); total < *cutsFlag; round++ {
		r := newRig(t, first+round, Setting{})
		err := r.suffer(min(cutsPerSpool, *cutsFlag-total))
		if err != nil {
			run.Violations++
			t.Errorf("seed %d, after %d power cuts: %v", r.seed, r.cuts, err)
			r.keep(t)
		}
		total += r.cuts
		sent, _ := r.ledger.Total()
		records += sent
		late += int(r.late.Load())
		for k, n := range r.tally {
			tally[k] += n
		}
		if err != nil {
			break
		}
	}
	took := time.Since(began)
	t.Logf("%d power cuts in %.1f s, %.2f s each, with %d records; %d answers to requests that were sent after a failed call; injected:%s",
		total, took.Seconds(), took.Seconds()/float64(total), records, late, lines(tally))
	run.Count("power cuts", total)
	run.Count("records compared", records)
	run.Count("answers to requests that were sent after a failed write or sync", late)
	run.Say("seconds a cut", fmt.Sprintf("%.2f", took.Seconds()/float64(total)))
	for k, n := range tally {
		run.Inject(k, n)
	}
	must(t, run.Keep())
	for _, kind := range kinds {
		if total >= kind.after && tally[kind.name] == 0 {
			t.Errorf("nothing was injected of %q: the run proves less than it says", kind.name)
		}
	}
	if total >= 100 && late == 0 {
		t.Error("no request was sent after a failed call and before the daemon's end: whether it is answered was not seen")
	}
	if n := tally["start with batches in doubt"]; n*10 < total && !t.Failed() {
		t.Errorf("only %d of %d power cuts left batches in doubt: the run proves little", n, total)
	}
}

// kinds must all be there in a run of so many cuts.
var kinds = []struct {
	name  string
	after int
}{
	{"torn write", 40}, {"lost write", 40}, {"lost allocate", 200}, {"writes: any sectors kept", 40}, {"names: none kept", 40},
	{"lost creation of a temporary file", 200}, {"lost rename of a segment", 200}, {"lost unlink of a segment", 150}, {"kept unlink of a segment", 150},
	{"cut before a start took records", 20}, {"cut before the first start had made the spool", 200}, {"cut while at work", 20}, {"start with batches in doubt", 20},
	{"sync failed: input/output error", 40}, {"write failed: input/output error", 100}, {"write failed: no space left on device", 200},
	{"lost write by a failed sync", 150}, {"start on the page cache of a failed sync", 100},
	{"cut with a call under way: sync", 150}, {"cut with a call done but not answered: sync", 150},
}

// notCovered is what such a rig leaves open.
var notCovered = []string{
	"real file systems: their journals, their bugs, what their check makes of a directory after a power cut",
	"disks that write half a sector, rot, or lose what was synced long ago",
	"the making of the spool's own directory, which is there before the first cut",
	"a power cut that takes the broker or the clients along",
	"connections that a power cut leaves half-open: those of a killed daemon are closed",
	"a clock that goes on without power, or goes back",
	"directory syncs that fail and lose names for good",
	"reads that fail: bad sectors",
	"memory pressure, under which the page cache forgets what a failed sync has lost while the daemon still runs",
}

// suffer is a spool's life of so many power cuts.
func (r *rig) suffer(cuts int) error {
	r.load.Run(r.ctx)
	if err := r.begin(); err != nil {
		return err
	}
	for r.cuts < cuts {
		if err := r.episode(); err != nil {
			return err
		}
	}
	return r.finish()
}

// A rig that finds nothing on a disk that lies would find nothing at all.
func TestADiskThatLiesAboutSyncsIsFoundOut(t *testing.T) {
	first := seed(t)
	for i, lie := range []Setting{{LieFile: true}, {LieDir: true}} {
		foundOut(t, first+uint64(i)*1000, lie, func(r *rig) error {
			for r.cuts < 8 {
				if err := r.cut(); err != nil {
					return err
				}
			}
			return r.finish()
		})
	}
}

// The page cache that a failed sync has left holds, as written, what never got to the disk. A start that built on that
// would lose answered records at the next power cut. A start drops it: then nothing is lost.
func TestAStartOnThePageCacheOfAFailedSyncLosesNothing(t *testing.T) {
	r := newRig(t, seed(t), Setting{})
	r.load.Run(r.ctx)
	if err := errors.Join(r.begin(), r.warmStarts(*cutsFlag/3)); err != nil {
		r.keep(t)
		t.Error(err)
	}
	t.Logf("%d power cuts:%s", r.cuts, lines(r.tally))
}

// The same, where the disk gives what was lost also to a start that has dropped the cache: as if it had not.
func TestAStartThatReadThePageCacheOfAFailedSyncWouldBeFoundOut(t *testing.T) {
	foundOut(t, seed(t), Setting{KeepCache: true}, func(r *rig) error { return r.warmStarts(20) })
}

// warmStarts lets syncs fail, and daemons start on what they have left, until the power was cut so often.
func (r *rig) warmStarts(cuts int) error {
	for r.cuts < cuts {
		if err := r.fail(Sync, true); err != nil {
			return err
		}
	}
	return r.finish()
}

// foundOut lets spools live on a disk that does not keep its promises, until a violation is found.
func foundOut(t *testing.T, first uint64, set Setting, live func(*rig) error) {
	t.Helper()
	const spools = 6
	for i := range uint64(spools) {
		r := newRig(t, first+i, set)
		r.patience = 10 * time.Second
		r.load.Run(r.ctx)
		err := r.begin()
		if err == nil {
			err = live(r)
		}
		switch {
		case errors.As(err, new(violation)):
			t.Logf("%+v: found out after %d power cuts: %.600v", set, r.cuts, err)
			return
		case err != nil:
			t.Fatal(err)
		}
	}
	t.Errorf("%+v: nothing was noticed in %d spools' lives", set, spools)
}
