package spoold_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
)

func aging(age time.Duration) func(*spoold.Config) {
	return func(cfg *spoold.Config) { cfg.RequestTimeout, cfg.SpoolMaxAge = 200*time.Millisecond, age }
}

// checkDropped waits until n records were dropped by policy, and looks at what is said of them.
func checkDropped(t *testing.T, p *spoold.Producer, n int, rule string) {
	t.Helper()
	eventually(t, "the records to be dropped", func() bool { return p.Status().Expired == uint64(n) })
	st := p.Status()
	if sum := st.Acked + st.Pending + st.DeadLettered + st.Expired + st.Lost; st.Accepted != sum || st.DeadLetters != 0 {
		t.Errorf("accepted %d, the others are %d; %d dead letters", st.Accepted, sum, st.DeadLetters)
	}
	found := 0
	for _, topic := range st.Topics {
		for _, g := range topic.Gaps {
			if found += g.Count; g.Outcome != "expired" || !strings.Contains(g.Why, rule) {
				t.Errorf("gap %+v", g)
			}
		}
	}
	if found != n {
		t.Errorf("gaps of %d records, want %d", found, n)
	}
}

func TestRecordsAreDroppedByAgeAndNeverSilently(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	dir := t.TempDir()
	p, err := c.expire(t, dir, aging(500*time.Millisecond))
	if !strings.Contains(err.Error(), "spool.max.age") {
		t.Errorf("Acked = %v, want the key that it was dropped by", err)
	}
	checkDropped(t, p, 3, "spool.max.age")
	closeNow(t, p)
	p = c.open(t, dir, aging(time.Hour))
	checkDropped(t, p, 3, "spool.max.age")
	c.onlyTheFourth(t, p)
}

// expire opens a producer without a cluster and sends three records, which expire.
func (c *cluster) expire(t *testing.T, dir string, config func(*spoold.Config)) (*spoold.Producer, error) {
	t.Helper()
	c.link.down()
	p := c.open(t, dir, config)
	_, err := send(t, p, "t", 0, 3)[2].Acked(patient(t))
	if !errors.Is(err, spoold.ErrExpired) {
		t.Fatalf("Acked = %v, want ErrExpired", err)
	}
	return p, err
}

// onlyTheFourth lets the cluster come back: another record is delivered, and the three that expired are not.
func (c *cluster) onlyTheFourth(t *testing.T, p *spoold.Producer) {
	t.Helper()
	c.link.up()
	send(t, p, "t", 3, 1)
	flush(t, p)
	if got := c.read(t, "t", 1); string(got[0].Value) != string(value(3)) {
		t.Errorf("the topic holds %q", got[0].Value)
	}
}

func TestWhatIsInDoubtIsNotDroppedByAge(t *testing.T) {
	t.Parallel()
	spareWhatIsInDoubt(t, aging(500*time.Millisecond), func(p *spoold.Producer) { checkDropped(t, p, 1, "spool.max.age") })
}

// spareWhatIsInDoubt has a record in doubt and one behind it while their time runs out: check looks at the one behind, and the
// other is delivered.
func spareWhatIsInDoubt(t *testing.T, config func(*spoold.Config), check func(*spoold.Producer)) {
	t.Helper()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir(), config)
	send(t, p, "t", 0, 1)
	flush(t, p)
	sent := make(chan struct{})
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.link.down()
		close(sent)
		return nil, errors.New("nobody answers"), true
	})
	list := send(t, p, "t", 1, 1)
	<-sent
	behind := send(t, p, "t", 2, 1) // it is not sealed
	if _, err := behind[0].Acked(patient(t)); !errors.Is(err, spoold.ErrExpired) {
		t.Errorf("Acked of the one behind = %v", err)
	}
	if _, err, ok := list[0].TryAcked(); ok {
		t.Errorf("the one in doubt is decided: %v", err)
	}
	check(p)
	c.link.up()
	if _, err := list[0].Acked(patient(t)); err != nil {
		t.Errorf("Acked = %v", err)
	}
	c.read(t, "t", 2)
}

// The time before a restart counts.
func TestAgesGoOnOverARestart(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.link.down()
	dir := t.TempDir()
	const age = 2 * time.Second
	p := c.open(t, dir, aging(age))
	began := time.Now()
	send(t, p, "t", 0, 3)
	eventually(t, "most of the time to pass", func() bool { return time.Since(began) > age*9/10 })
	closeNow(t, p)
	opened := time.Now()
	p = c.open(t, dir, aging(age))
	checkDropped(t, p, 3, "spool.max.age")
	if took := time.Since(opened); took > age {
		t.Errorf("dropped %v after the start: the time before it did not count", took)
	}
	if took := time.Since(began); took < age {
		t.Errorf("dropped after %v", took)
	}
}

// A caller's timestamp may be of any time: after a start, and offline, a record has waited no longer than its spool is old, and with
// spool.max.age as long as it has.
func TestAnOldTimestampIsNoAgeAfterAStart(t *testing.T) {
	for _, age := range []time.Duration{0, time.Hour} {
		c := newCluster(t, kfake.SeedTopics(1, "t"))
		c.link.down()
		dir := t.TempDir()
		p := c.open(t, dir, aging(age))
		r := spoold.Record{Topic: "t", Value: []byte("v"), Timestamp: time.Now().AddDate(-1, 0, 0)}
		if _, err := p.SendBatch(t.Context(), spoold.Batch{Records: []spoold.Record{r}}); err != nil {
			t.Fatal(err)
		}
		closeNow(t, p)
		st, err := spoold.Inspect(dir)
		if err != nil {
			t.Fatal(err)
		}
		check := func(when string, st *spoold.Status) {
			if got := st.OldestAgeSeconds; got < 0 || got > 60 || st.Pending != 1 || st.Topics[0].OldestAgeSeconds != got {
				t.Errorf("spool.max.age %v, %s: %d pending, the oldest for %v s, the topic's for %v s", age, when, st.Pending, got, st.Topics[0].OldestAgeSeconds)
			}
		}
		check("offline", st)
		p = c.open(t, dir, aging(age))
		eventually(t, "the age", func() bool { return p.Status().OldestAgeSeconds > 0 })
		check("after a start", p.Status())
		closeNow(t, p)
	}
}
