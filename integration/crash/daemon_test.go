//go:build crash

package crash

import (
	"testing"
	"time"
)

// The promise under SIGKILL: 0 lost, 0 duplicated, 0 reordered per partition, byte for byte,
// whenever the daemon dies, also while it recovers from the death before.
func TestNothingIsLostDoubledOrReorderedWhenTheDaemonIsKilledUnderLoad(t *testing.T) {
	r := newRig(t, setup{brokers: 1, think: 40 * time.Millisecond, records: 4})
	r.start()
	r.load.Run(r.ctx)
	for r.kills < *kills {
		r.wait(r.between(100*time.Millisecond, 1500*time.Millisecond))
		r.kill()
	}
	r.wait(500 * time.Millisecond)
	r.finish()
	t.Logf("%d kills, %d of them within 300 ms of a start; %d starts found batches in doubt", r.kills, r.early, r.inDoubt)
	if r.inDoubt*100 < r.kills*30 {
		t.Errorf("only %d of %d kills left batches in doubt: the run proves little", r.inDoubt, r.kills)
	}
}
