//go:build kafka

package txn_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/kafka"
)

func seed(t *testing.T) *rand.Rand {
	n := rand.Uint64()
	if v := os.Getenv("TXN_SEED"); v != "" {
		n, _ = strconv.ParseUint(v, 10, 64)
	}
	t.Logf("replay: TXN_SEED=%d go test -tags kafka ./integration/txn -run '^%s$'", n, t.Name())
	return rand.New(rand.NewPCG(n, 1))
}

// kills is how often the tests that kill a process or the daemon do so: TXN_KILLS, or a few.
func kills(few int) int {
	if n, err := strconv.Atoi(os.Getenv("TXN_KILLS")); err == nil {
		return n
	}
	return few
}

// brokerKills is how often brokers are killed, which take seconds to come back: a tenth of that.
func brokerKills(few int) int { return max(few, kills(0)/10) }

func cluster(t *testing.T, version, brokers int) *kafka.Cluster {
	t.Helper()
	return clusterOf(t, kafka.Options{Brokers: brokers, FormatArgs: []string{"-f", fmt.Sprint("transaction.version=", version)}})
}

func clusterOf(t *testing.T, o kafka.Options) *kafka.Cluster {
	t.Helper()
	c := kafka.Run(t, o)
	for _, topic := range topics {
		if err := c.CreateTopic(t.Context(), topic, 3, nil); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func settings(t *testing.T, c *kafka.Cluster) map[string]string {
	return map[string]string{
		"bootstrap.servers": c.Bootstrap(), "spool.path": t.TempDir(), "spool.min.free.bytes": "1MiB",
		"transactional.id": "orders", "metadata.max.age.ms": "2000",
	}
}

// drain has a last child deliver what is left.
func (l *ledger) drain(t *testing.T, set map[string]string) {
	t.Helper()
	c := startChild(t, set, l.next, 3, "DRAIN=1")
	l.collect(c)
	if err := c.wait(); err != nil {
		t.Fatalf("the last child: %v: %s", err, c.errs)
	}
}

func eachVersion(t *testing.T, f func(t *testing.T, version int)) {
	for _, version := range []int{2, 1} {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) { f(t, version) })
	}
}

func TestUnitsAreDeliveredWholeOnceAndInOrder(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		c := cluster(t, version, 1)
		set, l := settings(t, c), &ledger{spooled: map[int]bool{}}
		began := time.Now()
		x := startChild(t, set, 1, 2000, "DRAIN=1")
		l.collect(x)
		if err := x.wait(); err != nil {
			t.Fatalf("%v: %s", err, x.errs)
		}
		t.Logf("2000 units one after the other in %.1f s", time.Since(began).Seconds())
		l.verify(t, c)
	})
}

func TestKillsOfTheProcessLoseAndDoubleNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		rng := seed(t)
		c := cluster(t, version, 1)
		set, l := settings(t, c), &ledger{spooled: map[int]bool{}, next: 1}
		for range kills(8) {
			x := startChild(t, set, l.next, 1<<20)
			time.AfterFunc(time.Duration(50+rng.IntN(900))*time.Millisecond, func() { _ = x.p.Kill() })
			l.collect(x)
			_ = x.wait()
			if x.errs.Len() > 0 {
				t.Fatalf("%s", x.errs)
			}
		}
		l.drain(t, set)
		l.verify(t, c)
	})
}

// Brokers are killed one at a time, whatever they lead or coordinate, and so is the process.
func TestKillsOfBrokersLoseAndDoubleNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		rng := seed(t)
		c := cluster(t, version, 3)
		set, l := settings(t, c), &ledger{spooled: map[int]bool{}, next: 1}
		for i := range brokerKills(4) {
			x := startChild(t, set, l.next, 1<<20, "PAUSE=2ms")
			time.Sleep(time.Duration(200+rng.IntN(1500)) * time.Millisecond)
			b := rng.IntN(3)
			if err := c.Kill(b); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
			if i%2 == 0 {
				_ = x.p.Kill()
			}
			time.Sleep(time.Duration(rng.IntN(3000)) * time.Millisecond)
			if err := c.Start(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			_ = x.p.Kill()
			l.collect(x)
			_ = x.wait()
			if x.errs.Len() > 0 {
				t.Fatalf("%s", x.errs)
			}
		}
		l.drain(t, set)
		l.verify(t, c)
	})
}

// The whole cluster is away and comes back: what was decided is ended, once.
func TestAClusterThatIsKilledWholeLosesAndDoublesNothing(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		rng := seed(t)
		c := cluster(t, version, 3)
		set, l := settings(t, c), &ledger{spooled: map[int]bool{}, next: 1}
		for range brokerKills(2) {
			x := startChild(t, set, l.next, 1<<20, "PAUSE=2ms")
			time.Sleep(time.Duration(1000+rng.IntN(1500)) * time.Millisecond)
			for b := range 3 {
				if err := c.Kill(b); err != nil {
					t.Fatal(err)
				}
			}
			_ = x.p.Kill()
			var started sync.WaitGroup
			for b := range 3 { // together: none of them is there for clients before the controllers have a majority
				started.Go(func() {
					if err := c.Start(t.Context(), b); err != nil {
						t.Error(err)
					}
				})
			}
			started.Wait()
			l.collect(x)
			_ = x.wait()
		}
		l.drain(t, set)
		l.verify(t, c)
	})
}

// The one broker is killed, and so is the process. Kafka 3.9.1 keeps its transactions through that; 4.3.1
// with one broker loses their markers.
func TestKillsOfTheOneBrokerOfKafka39(t *testing.T) {
	rng := seed(t)
	c := clusterOf(t, kafka.Options{Version: "3.9.1"})
	set, l := settings(t, c), &ledger{spooled: map[int]bool{}, next: 1}
	for i := range brokerKills(3) {
		x := startChild(t, set, l.next, 1<<20, "PAUSE=1ms")
		time.Sleep(time.Duration(500+rng.IntN(1500)) * time.Millisecond)
		if err := c.Kill(0); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			_ = x.p.Kill()
		}
		if err := c.Start(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rng.IntN(2000)) * time.Millisecond)
		_ = x.p.Kill()
		l.collect(x)
		_ = x.wait()
	}
	l.drain(t, set)
	l.verify(t, c)
}
