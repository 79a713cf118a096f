//go:build crash

package soak

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/poll"
	"github.com/spoold/spoold/integration/proc"
	"github.com/spoold/spoold/integration/proof"
)

// A host on batteries: a daemon that has nothing to do, and at whose page nobody looks, writes nothing to its disk and wakes less
// than twice a second.
func TestADaemonWithNothingToDoSleeps(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	root, err := proof.Root()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := crash.Build(t.Context(), root, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	d, err := crash.NewDaemon(bin, t.TempDir(), cluster.ListenAddrs()[0], map[string]string{"spool.min.free.bytes": "0"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.End() }) // our own child: fails only when it is gone
	if _, err := d.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	res, err := http.Post("http://"+d.HTTP+"/topics/t?wait=acked", "application/vnd.kafka.json.v2+json", strings.NewReader(`{"records":[{"value":1}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
		t.Fatalf("a record was answered %s", res.Status)
	}
	http.DefaultClient.CloseIdleConnections()

	const stretch = 8 * time.Second // of this, no less may be quiet
	var wakes int
	var written int64
	if !poll.Within(time.Minute, func() bool { // what the record set off comes first
		before := use(t, d.Pid())
		wakes = count(t, d.Pid(), stretch)
		written = use(t, d.Pid()).Written - before.Written
		return wakes < 2*int(stretch/time.Second) && written == 0
	}) {
		t.Errorf("in the last %v with nothing to do, the daemon woke %d times and wrote %d bytes", stretch, wakes, written)
	}
	t.Logf("it woke %d times in %v", wakes, stretch)
}

func use(t *testing.T, pid int) proc.Usage {
	t.Helper()
	u, err := proc.Use(pid)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// count looks at a process every 10 ms and counts the looks that found that it had run. Threads that wake each other are one
// waking, and one that takes longer is several.
func count(t *testing.T, pid int, stretch time.Duration) (wakes int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last := int64(-1)
	for end := time.Now().Add(stretch); time.Now().Before(end); <-tick.C {
		n, err := proc.Switches(pid)
		if err != nil {
			t.Fatal(err)
		}
		if last >= 0 && n != last {
			wakes++
		}
		last = n
	}
	return wakes
}
