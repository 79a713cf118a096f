package spoold_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

// What left the spool was pending in the status until acks had a commit of their own, a second later.
func TestTheStatusShowsWhatWasAnsweredBefore(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "a"))
	p := c.open(t, t.TempDir(), transactional("t1"), func(cfg *spoold.Config) { cfg.SpoolSettle = time.Hour })
	defer closeNow(t, p)
	for n := uint64(1); n <= 3; n++ {
		committed(t, p, unit(t, p, "v", "a"))
		if st := p.Status(); st.Acked != n || st.Pending != 0 {
			t.Errorf("after unit %d: acked %d, pending %d", n, st.Acked, st.Pending)
		}
	}
}
