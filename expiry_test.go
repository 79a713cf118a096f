package spoold_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
)

func expiring(timeout time.Duration) func(*spoold.Config) {
	return func(cfg *spoold.Config) { cfg.RequestTimeout, cfg.DeliveryTimeout = 200*time.Millisecond, timeout }
}

func checkExpired(t *testing.T, p *spoold.Producer, n int) {
	t.Helper()
	eventually(t, "the records to expire", func() bool {
		st := p.Status()
		return st.Expired == uint64(n) && st.DeadLetters == n && st.Pending == 0 && st.DeadLettered == 0
	})
	for _, d := range p.DeadLetters(spoold.DeadLetterFilter{}, -1) {
		if d.Code != "REQUEST_TIMED_OUT" || !strings.Contains(d.Message, "delivery.timeout.ms") || d.InDoubt {
			t.Errorf("dead letter %+v", d)
		}
	}
}

func TestRecordsExpireWhileTheClusterIsAwayAndNeverSilently(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	dir := t.TempDir()
	p, _ := c.expire(t, dir, expiring(400*time.Millisecond))
	checkExpired(t, p, 3)
	closeNow(t, p)
	p = c.open(t, dir, expiring(time.Hour)) // what is sent now must not expire, too
	checkExpired(t, p, 3)
	c.onlyTheFourth(t, p)
	// They can be sent again like any other dead letter.
	if r, err := p.ReplayDeadLetters(patient(t), spoold.DeadLetterFilter{}, spoold.DeadLetterReplay{}); r.Records != 3 || err != nil {
		t.Fatalf("replayed %+v, %v", r, err)
	}
	flush(t, p)
	c.read(t, "t", 4)
}

func TestWhatIsInDoubtDoesNotExpireBeforeItIsResolved(t *testing.T) {
	t.Parallel()
	spareWhatIsInDoubt(t, expiring(500*time.Millisecond), func(*spoold.Producer) {})
}

func TestExpiryBeginsAnewWithAStartAndObeysNoClock(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.link.down()
	dir := t.TempDir()
	var ahead atomic.Int64
	cfg := c.config(t, dir)
	expiring(time.Hour)(&cfg)
	p, err := spoold.Open(cfg, spoold.Env{Dial: c.link.dial, Now: func() time.Time { return time.Now().Add(time.Duration(ahead.Load())).Round(0) }})
	if err != nil {
		t.Fatal(err)
	}
	send(t, p, "t", 0, 2)
	ahead.Store(int64(30 * 24 * time.Hour))
	send(t, p, "t", 2, 1)
	eventually(t, "some looks at what has expired", func() bool { return p.Status().UptimeSeconds > 0.3 })
	if st := p.Status(); st.Expired != 0 || st.Pending != 3 {
		t.Errorf("after a step of the clock %d expired, %d pend", st.Expired, st.Pending)
	}
	closeNow(t, p)
	began := time.Now()
	p = c.open(t, dir, expiring(500*time.Millisecond))
	checkExpired(t, p, 3)
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("expired after %v", took)
	}
}

// A batch that the broker answers, and does not take, is given up when its time is over. No answer may be late, on a busy machine
// either: the batch would be in doubt then, and such an answer does not say whether it is in the log.
func TestABatchThatIsAnsweredAndNotTakenExpires(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return produceError(req, 19), nil, true // NOT_ENOUGH_REPLICAS
	})
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) {
		cfg.RequestTimeout, cfg.DeliveryTimeout = 3*time.Second, 3100*time.Millisecond
	})
	send(t, p, "t", 0, 3)
	checkExpired(t, p, 3)
}

// produceError answers every partition of a request with a code.
func produceError(req kmsg.Request, code int16) kmsg.Response {
	r := req.(*kmsg.ProduceRequest)
	resp := r.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range r.Topics {
		st := kmsg.NewProduceResponseTopic()
		st.Topic, st.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			sp := kmsg.NewProduceResponseTopicPartition()
			sp.Partition, sp.ErrorCode, sp.BaseOffset = p.Partition, code, -1
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp
}
