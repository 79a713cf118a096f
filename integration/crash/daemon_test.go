//go:build crash

package crash

import (
	"testing"
	"time"

	"github.com/spoold/spoold/integration/link"
)

// The promise under SIGKILL: 0 lost, 0 duplicated, 0 reordered per partition, byte for byte,
// whenever the daemon dies, also while it recovers from the death before.
func TestPromiseHoldsWhenTheDaemonIsKilledUnderLoad(t *testing.T) {
	r := newRig(t, setup{brokers: 1, think: 40 * time.Millisecond, records: 4})
	r.start()
	r.load.Run(r.ctx)
	for r.killer.Kills < *kills {
		r.wait(r.between(100*time.Millisecond, 1500*time.Millisecond))
		r.kill()
	}
	r.wait(500 * time.Millisecond)
	r.finish()
	t.Log(r.killer)
	if r.killer.InDoubt*100 < r.killer.Kills*30 {
		t.Errorf("only %d of %d kills left batches in doubt: the run proves little", r.killer.InDoubt, r.killer.Kills)
	}
}

func TestBrokerKilledAndRestartedUnderLoad(t *testing.T) {
	r := newRig(t, setup{brokers: 1, think: 40 * time.Millisecond, records: 4})
	r.start()
	r.load.Run(r.ctx)
	for range *brokerKills {
		r.wait(r.between(time.Second, 2*time.Second))
		r.killBroker(0)
		r.wait(r.between(0, 2*time.Second))
		r.must(r.cluster.Start(r.ctx, 0))
	}
	r.wait(time.Second)
	r.finish()
}

func TestRollingRestartOfThreeBrokersUnderLoad(t *testing.T) {
	r := newRig(t, setup{brokers: 3, think: 40 * time.Millisecond, records: 4})
	r.start()
	r.load.Run(r.ctx)
	r.roll()
	r.wait(time.Second)
	r.finish()
}

// roll restarts the brokers one after the other, as an upgrade does.
func (r *rig) roll() {
	r.t.Helper()
	r.must(r.cluster.Roll(r.ctx, func() error { r.wait(500 * time.Millisecond); return nil }, r.topic))
}

func TestLeaderFailOverWithBatchesInFlight(t *testing.T) {
	r := newRig(t, setup{brokers: 3, think: 20 * time.Millisecond, records: 4})
	r.start()
	r.load.Run(r.ctx)
	for p := range int32(partitions) {
		r.wait(time.Second)
		r.failOver(p)
	}
	r.wait(time.Second)
	r.finish()
}

// failOver kills the leader of a partition, and brings it back.
func (r *rig) failOver(partition int32) {
	r.t.Helper()
	r.must(r.cluster.InSync(r.ctx, r.topic))
	leader, err := r.cluster.Leader(r.ctx, r.topic, partition)
	r.must(err)
	r.killBroker(leader)
	r.wait(r.between(500*time.Millisecond, 4*time.Second))
	r.must(r.cluster.Start(r.ctx, leader))
	r.must(r.cluster.InSync(r.ctx, r.topic))
}

func TestLinkThatRefusesForMinutes(t *testing.T) { testOutage(t, (*link.Link).Refuse) }

func TestLinkThatHangsForMinutesWithoutAReset(t *testing.T) { testOutage(t, (*link.Link).Hang) }

func testOutage(t *testing.T, fault func(*link.Link)) {
	r := newRig(t, setup{brokers: 1, think: 40 * time.Millisecond, records: 4})
	r.start()
	r.load.Run(r.ctx)
	r.wait(time.Second)
	r.breakLinks(fault, *outage)
	r.wait(time.Second)
	r.finish()
}

// breakLinks breaks all links for so long. Records are taken all the while.
func (r *rig) breakLinks(fault func(*link.Link), d time.Duration) {
	r.t.Helper()
	for _, l := range r.cluster.Links() {
		fault(l)
	}
	before, _ := r.load.Requests()
	r.wait(d)
	if after, _ := r.load.Requests(); after == before {
		r.t.Errorf("no request was answered while the link was broken for %v", d)
	}
	for _, l := range r.cluster.Links() {
		r.must(l.Heal())
	}
}

func TestKillsOutagesFailOversAndRestartsAllTogether(t *testing.T) {
	r := newRig(t, setup{brokers: 3, think: 40 * time.Millisecond, records: 4})
	r.start()
	r.load.Run(r.ctx)
	r.wait(time.Second)
	for range 2 {
		r.breakLinks((*link.Link).Hang, *outage/4)
		r.kill()
		r.failOver(int32(r.rand.IntN(partitions)))
		for _, l := range r.cluster.Links() {
			l.Refuse()
		}
		r.kill()
		r.wait(*outage / 4)
		r.kill()
		for _, l := range r.cluster.Links() {
			r.must(l.Heal())
		}
		r.wait(r.between(0, time.Second))
		for _, l := range r.cluster.Links() {
			l.Cut()
		}
		r.kill()
	}
	r.roll()
	r.kill()
	r.wait(time.Second)
	r.finish()
	t.Log(r.killer)
}
