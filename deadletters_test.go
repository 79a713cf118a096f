package spoold_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
)

// refusing has the broker refuse each batch of a topic that holds a record whose value begins with "bad", and counts the Produce
// requests. named: the answer names those records, as INVALID_RECORD does.
func refusing(c *cluster, topic string, named bool) *atomic.Int64 {
	requests := new(atomic.Int64)
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		requests.Add(1)
		r := req.(*kmsg.ProduceRequest)
		resp := r.ResponseKind().(*kmsg.ProduceResponse)
		refused := false
		for _, t := range r.Topics {
			st := kmsg.NewProduceResponseTopic()
			st.Topic, st.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				sp := kmsg.NewProduceResponseTopicPartition()
				sp.Partition, sp.ErrorCode, sp.BaseOffset = p.Partition, kerr.NotLeaderForPartition.Code, -1 // sent again
				if bad := badRecords(p.Records); len(bad) > 0 && (t.Topic == topic || c.TopicInfo(topic).TopicID == t.TopicID) {
					refused = true
					sp.ErrorCode = kerr.InvalidRecord.Code
					if named {
						sp.ErrorRecords = bad
					}
				}
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, refused
	})
	return requests
}

// badRecords are those of a batch whose values begin with "bad".
func badRecords(raw []byte) (bad []kmsg.ProduceResponseTopicPartitionErrorRecord) {
	var b kmsg.RecordBatch
	if b.ReadFrom(raw) != nil {
		return nil
	}
	rest := b.Records
	for n := range b.NumRecords {
		var r kmsg.Record
		if r.ReadFrom(rest) != nil {
			return bad
		}
		rest = rest[len(r.AppendTo(nil)):]
		if strings.HasPrefix(string(r.Value), "bad") {
			e := kmsg.NewProduceResponseTopicPartitionErrorRecord()
			text := fmt.Sprintf("record %d is bad: %s", n, r.Value)
			e.RelativeOffset, e.ErrorMessage = n, &text
			bad = append(bad, e)
		}
	}
	return bad
}

// sendOnceUp spools records while the link is down, so that they share batches, and lets them go.
func sendOnceUp(t *testing.T, c *cluster, p *spoold.Producer, topic string, valuesOf ...string) {
	t.Helper()
	c.link.down()
	for _, v := range valuesOf {
		if _, err := p.Send(patient(t), spoold.Record{Topic: topic, Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
	}
	c.link.up()
}

func series(n int, bad func(int) bool) (list []string) {
	for i := range n {
		v := fmt.Sprintf("value %06d", i)
		if bad(i) {
			v = "bad " + v
		}
		list = append(list, v)
	}
	return list
}

// The last one's message was once that of all.
func TestEachOfSeveralRefusedRecordsHasItsOwnMessage(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	refusing(c, "t", true)
	p := c.open(t, t.TempDir())
	defer closeNow(t, p)
	sendOnceUp(t, c, p, "t", series(100, func(i int) bool { return i >= 50 && i%10 == 0 })...)
	flush(t, p)
	eventually(t, "the counters", func() bool { st := p.Status(); return st.DeadLettered == 5 && st.Acked == 95 })
	list := p.DeadLetters(spoold.DeadLetterFilter{}, -1)
	if len(list) != 5 {
		t.Errorf("%d dead letters, want five", len(list))
	}
	for i, d := range list {
		if want := fmt.Sprintf("is bad: bad value %06d", 50+10*i); !strings.HasSuffix(d.Message, want) {
			t.Errorf("dead letter %d is record %d: %s, want %s", i, d.Index, d.Message, want)
		}
	}
}

func TestARefusedRecordAmongAHundredCostsAFewRequests(t *testing.T) {
	t.Parallel()
	for _, named := range []bool{true, false} {
		c := newCluster(t, kfake.SeedTopics(1, "t"))
		requests := refusing(c, "t", named)
		p := c.open(t, t.TempDir())
		sendOnceUp(t, c, p, "t", series(100, func(i int) bool { return i == 50 })...)
		flush(t, p)
		eventually(t, "the counters", func() bool { st := p.Status(); return st.DeadLettered == 1 && st.Acked == 99 })
		most := int64(4) // the first batch may hold one record only, the next the rest, and what is left of it
		if !named {
			most = 40 // sixteen pieces, seven records of one of them, and those of both that were in flight behind a refused one
		}
		if n := requests.Load(); n > most {
			t.Errorf("named %v: %d requests, want at most %d", named, n, most)
		}
		got := c.read(t, "t", 99)
		for i, r := range got {
			want := i
			if i >= 50 {
				want++
			}
			if string(r.Value) != fmt.Sprintf("value %06d", want) {
				t.Fatalf("named %v: record %d is %q", named, i, r.Value)
			}
		}
		closeNow(t, p)
	}
}

func TestDeadLettersGoToTheirTopicOnceWithHeadersOfConnect(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t", "dead"))
	refusing(c, "t", true)
	dir := t.TempDir()
	p := c.open(t, dir)
	sendOnceUp(t, c, p, "t", series(10, func(i int) bool { return i%5 == 0 })...)
	flush(t, p)
	closeNow(t, p)
	// What was there before the topic was given goes there, too.
	p = c.open(t, dir, func(cfg *spoold.Config) { cfg.DeadLetterTopic = "dead" })
	sendOnceUp(t, c, p, "t", "bad value 000010")
	eventually(t, "all to be delivered", func() bool {
		st := p.Status()
		return st.DeadLetters == 0 && st.Pending == 0 && st.DeadLettered == 3 && st.Acked == 8+3
	})
	for i, r := range c.read(t, "dead", 3) {
		if want := fmt.Sprintf("bad value %06d", 5*i); string(r.Value) != want {
			t.Errorf("record %d is %q, want %q", i, r.Value, want)
		}
		got := make(map[string]string)
		for _, h := range r.Headers {
			got[h.Key] = string(h.Value)
		}
		if got["__connect.errors.topic"] != "t" || got["__connect.errors.partition"] != "0" || got["__connect.errors.offset"] != fmt.Sprint(5*i) ||
			got["__connect.errors.exception.class.name"] != "org.apache.kafka.common.errors.InvalidRecordException" ||
			!strings.HasPrefix(got["__connect.errors.exception.message"], "INVALID_RECORD: record ") || got["spoold.dead.letter"] != fmt.Sprint(i+1) {
			t.Errorf("record %d has headers %v", i, got)
		}
	}
	closeNow(t, p)
	p = c.open(t, dir, func(cfg *spoold.Config) { cfg.DeadLetterTopic = "dead" })
	send(t, p, "t", 0, 1)
	flush(t, p)
	c.read(t, "dead", 3)
}

// What the dead-letter topic itself refuses must not go round.
func TestWhatTheDeadLetterTopicRefusesStaysADeadLetter(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t", "dead"))
	refusing(c, "t", true)
	refusing(c, "dead", true)
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.DeadLetterTopic = "dead" })
	sendOnceUp(t, c, p, "t", "good", "bad 1")
	eventually(t, "the second refusal", func() bool { st := p.Status(); return st.DeadLettered == 2 && st.Pending == 0 })
	list := p.DeadLetters(spoold.DeadLetterFilter{}, -1)
	if len(list) != 1 || list[0].Topic != "dead" {
		t.Errorf("dead letters are %+v", list)
	}
}

func TestByDefaultARefusedRecordWaitsUntilThereIsRoom(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t", "other"))
	refusing(c, "t", true)
	dir := t.TempDir()
	block := func(cfg *spoold.Config) { cfg.DeadLetterBytes = 1000 }
	p := c.open(t, dir, block)
	sendOnceUp(t, c, p, "t", "bad 1 "+strings.Repeat("x", 1000))
	flush(t, p)
	sendOnceUp(t, c, p, "t", "bad 2", "good 3")
	waits := func(p *spoold.Producer) bool {
		st := p.Status()
		if st.DeadLetters != 1 || st.Pending != 2 {
			return false
		}
		for i := range st.Topics {
			if strings.Contains(st.Topics[i].Trouble, "dlq.max.bytes, or of a full spool (dlq.full is block)") {
				return true
			}
		}
		return false
	}
	eventually(t, "trouble that says why", func() bool { return waits(p) })
	closeNow(t, p)
	p = c.open(t, dir, block)
	eventually(t, "the same after a start", func() bool { return waits(p) })
	send(t, p, "other", 0, 3) // nobody else waits
	c.expectValues(t, "other", 3)
	n, err := p.DropDeadLetters(patient(t), spoold.DeadLetterFilter{}, spoold.DeadLetterDrop{})
	if n != 1 || err != nil {
		t.Fatalf("dropped %d, %v", n, err)
	}
	eventually(t, "the rest to go on", func() bool { st := p.Status(); return st.Pending == 0 && st.DeadLettered == 2 })
	if got := c.read(t, "t", 1); string(got[0].Value) != "good 3" {
		t.Errorf("the topic holds %q", got[0].Value)
	}
}

func TestADeadLetterInDoubtIsReplayedOnlyWhenADuplicateIsAllowed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) { cfg.RequestTimeout = 300 * time.Millisecond })
	send(t, p, "t", 0, 1)
	flush(t, p)
	// The next batch is appended, and its answer lost; then the topic is created anew: nobody can say what became of it.
	lost := make(chan struct{})
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(lost)
		return nil, errors.New("the answer is lost"), true
	})
	send(t, p, "t", 1, 1)
	<-lost
	c.recreate(t, "t", 1)
	eventually(t, "the partition to be parked", func() bool { return p.Status().Topics[0].State == "parked" })
	if _, err := p.Resolve(patient(t), "t", -1, spoold.DeadLetter); err != nil {
		t.Fatal(err)
	}
	list := p.DeadLetters(spoold.DeadLetterFilter{}, -1)
	if len(list) != 1 || !list[0].InDoubt {
		t.Fatalf("dead letters %+v, want one in doubt", list)
	}
	r, err := p.ReplayDeadLetters(patient(t), spoold.DeadLetterFilter{}, spoold.DeadLetterReplay{})
	if err != nil || r != (spoold.DeadLettersReplayed{InDoubt: 1}) {
		t.Errorf("replayed %+v, %v", r, err)
	}
	r, err = p.ReplayDeadLetters(patient(t), spoold.DeadLetterFilter{}, spoold.DeadLetterReplay{MayDuplicate: true})
	if err != nil || r != (spoold.DeadLettersReplayed{Records: 1}) {
		t.Errorf("replayed %+v, %v", r, err)
	}
	flush(t, p)
	c.read(t, "t", 1)
}

// BenchmarkRefused sends records that the broker refuses, all of them, and says how many became dead letters in a second.
func BenchmarkRefused(b *testing.B) {
	for _, named := range []bool{true, false} {
		b.Run(fmt.Sprintf("named=%v", named), func(b *testing.B) {
			c := newCluster(b, kfake.SeedTopics(1, "t"))
			refusing(c, "t", named)
			p := c.open(b, b.TempDir())
			value := []byte("bad " + strings.Repeat("x", 2000))
			for range b.N {
				if _, err := p.Send(context.Background(), spoold.Record{Topic: "t", Value: value}); err != nil {
					b.Fatal(err)
				}
			}
			flush(b, p)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "refusals/s")
		})
	}
}
