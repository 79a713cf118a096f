package spoold_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/poll"
)

// unit commits records of the same value to topics.
func unit(t testing.TB, p *spoold.Producer, value string, topics ...string) spoold.Commitment {
	t.Helper()
	tx, err := p.Begin(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		if err := tx.Send(patient(t), spoold.Record{Topic: topic, Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := tx.Commit(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func committed(t testing.TB, p *spoold.Producer, c spoold.Commitment) {
	t.Helper()
	if err := c.Committed(patient(t)); err != nil {
		t.Fatalf("%v; %+v", err, p.Status().Transaction)
	}
}

// until waits for a look at the status.
func until(t testing.TB, p *spoold.Producer, what string, ok func(*spoold.Status) bool) {
	t.Helper()
	if !poll.Until(func() bool { return ok(p.Status()) }) {
		st := p.Status()
		t.Fatalf("%s never came to pass: %+v %+v", what, st.Transaction, st.Topics)
	}
}

func values(records []*kgo.Record) string {
	var list []string
	for _, r := range records {
		list = append(list, string(r.Value))
	}
	return strings.Join(list, " ")
}

func TestARefusedRecordTakesItsWholeUnitToTheDeadLetters(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "a", "b"))
	p := c.open(t, t.TempDir(), transactional("t1"))
	committed(t, p, unit(t, p, "first", "a", "b"))
	// The next batch for b is refused, once: whoever is in it cannot be delivered.
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r := req.(*kmsg.ProduceRequest)
		for _, topic := range r.Topics {
			if topic.Topic == "b" || c.TopicInfo("b").TopicID == topic.TopicID {
				resp := r.ResponseKind().(*kmsg.ProduceResponse)
				for _, rt := range r.Topics {
					st := kmsg.NewProduceResponseTopic()
					st.Topic, st.TopicID = rt.Topic, rt.TopicID
					for _, rp := range rt.Partitions {
						sp := kmsg.NewProduceResponseTopicPartition()
						sp.Partition, sp.ErrorCode, sp.BaseOffset = rp.Partition, kerr.RecordListTooLarge.Code, -1
						st.Partitions = append(st.Partitions, sp)
					}
					resp.Topics = append(resp.Topics, st)
				}
				return resp, nil, true
			}
		}
		c.KeepControl()
		return nil, nil, false
	})
	bad := unit(t, p, "bad", "b", "a")
	if err := bad.Committed(patient(t)); !errors.Is(err, spoold.ErrDeadLettered) {
		t.Fatalf("the unit with the refused record: %v", err)
	}
	others := 0 // that were not refused themselves, and say so
	for i := range 2 {
		if _, err := bad.Deliveries().At(i).Acked(patient(t)); strings.Contains(err.Error(), "another record of its transaction was refused") {
			others++
		}
	}
	if others != 1 {
		t.Errorf("%d of 2 records say that another one was refused", others)
	}
	committed(t, p, unit(t, p, "last", "a", "b"))
	if got := values(c.readCommitted(t, 2, "a")); got != "first last" {
		t.Errorf("a has %q", got)
	}
	if got := values(c.readCommitted(t, 2, "b")); got != "first last" {
		t.Errorf("b has %q", got)
	}
	until(t, p, "the count of dead letters", func(st *spoold.Status) bool {
		return st.DeadLettered == 2 && st.Acked == 4 && st.Pending == 0
	})
	part := spoold.DeadLetterFilter{Topic: "a"}
	if r, err := p.ReplayDeadLetters(patient(t), part, spoold.DeadLetterReplay{}); !errors.Is(err, spoold.ErrPartOfUnit) || r.Records != 0 {
		t.Errorf("a part of a unit: %+v, %v", r, err)
	}
	if n, err := p.DropDeadLetters(patient(t), part, spoold.DeadLetterDrop{}); !errors.Is(err, spoold.ErrPartOfUnit) || n != 0 {
		t.Errorf("a part of a unit: %d are dropped, %v", n, err)
	}
	if n, err := p.DropDeadLetters(patient(t), part, spoold.DeadLetterDrop{WholeUnits: true, DivideUnits: true}); !errors.Is(err, spoold.ErrPartOfUnit) || n != 0 {
		t.Errorf("whole units and parts: %d are dropped, %v", n, err)
	}
	var exported []string
	err := p.ExportDeadLetters(spoold.DeadLetterFilter{}, func(d *spoold.ExportedDeadLetter) bool {
		exported = append(exported, fmt.Sprintf("%s %s", d.Topic, d.Value))
		return true
	})
	if slices.Sort(exported); err != nil || !slices.Equal(exported, []string{"a bad", "b bad"}) {
		t.Errorf("exported %q, %v", exported, err)
	}
	if r, err := p.ReplayDeadLetters(patient(t), part, spoold.DeadLetterReplay{WholeUnits: true}); err != nil || r.Records != 2 {
		t.Errorf("the whole unit: %+v, %v", r, err)
	}
	if got := values(c.readCommitted(t, 6, "a", "b")); strings.Count(got, "bad") != 2 {
		t.Errorf("after the replay the topics have %q", got)
	}
}

func TestAnotherProducerFencesAndKeepsTheId(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "a"))
	dir := t.TempDir()
	p := c.open(t, dir, transactional("t1"))
	committed(t, p, unit(t, p, "ours", "a"))
	other, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.TransactionalID("t1"), kgo.DefaultProduceTopic("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := other.ProduceSync(patient(t), kgo.StringRecord("theirs")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := other.EndTransaction(patient(t), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	held := unit(t, p, "held", "a")
	until(t, p, "fenced", func(st *spoold.Status) bool { return st.Transaction.State == "fenced" })
	if st := p.Status(); st.Pending != 1 || st.State != "running" || st.Transaction.Fenced == "" {
		t.Errorf("pending %d, state %s, fenced %q", st.Pending, st.State, st.Transaction.Fenced)
	}
	unit(t, p, "more", "a") // records are still taken
	closeNow(t, p)
	if got := values(c.readCommitted(t, 2, "a")); got != "ours theirs" {
		t.Errorf("a has %q", got)
	}
	p = c.open(t, dir, transactional("t1"))
	until(t, p, "fenced after a start", func(st *spoold.Status) bool { return st.Transaction.State == "fenced" })
	if err := p.OperateTransaction(patient(t), spoold.TakeOverTransaction); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(patient(t)); err != nil {
		t.Fatal(err)
	}
	if got := values(c.readCommitted(t, 4, "a")); got != "ours theirs held more" {
		t.Errorf("a has %q", got)
	}
	if err := p.OperateTransaction(patient(t), spoold.TakeOverTransaction); err == nil {
		t.Error("an id that nobody has taken is taken over")
	}
	_ = held
}

func TestACopyOfATransactionalSpoolSendsNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "a"))
	dir, backup := t.TempDir(), t.TempDir()
	p := c.open(t, dir, transactional("t1"))
	committed(t, p, unit(t, p, "one", "a"))
	until(t, p, "settled", func(st *spoold.Status) bool { return st.Pending == 0 })
	closeNow(t, p)
	copyFiles(t, dir, backup)
	p = c.open(t, dir, transactional("t1"))
	committed(t, p, unit(t, p, "two", "a"))
	closeNow(t, p)
	cfg := c.config(t, backup)
	cfg.TransactionalID = "t1"
	again, err := spoold.Open(cfg, spoold.Env{Dial: c.link.dial, AdoptSpool: true})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close(context.Background()) //nolint:errcheck // it has stopped
	<-again.Done()
	var stopped *spoold.StoppedError
	if err := again.Err(); !errors.As(err, &stopped) {
		t.Errorf("the copy ends with %v", err)
	}
	p = c.open(t, dir, transactional("t1"))
	committed(t, p, unit(t, p, "three", "a"))
	if got := values(c.readCommitted(t, 3, "a")); got != "one two three" {
		t.Errorf("a has %q", got)
	}
}

func copyFiles(t testing.TB, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		in, err := os.Open(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		out, err := os.Create(filepath.Join(to, e.Name()))
		if err == nil {
			_, err = io.Copy(out, in)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, _ = in.Close(), out.Close()
	}
}

// The answer of EndTxn is lost, and the process ends before it comes again.
func TestADecidedTransactionIsFoundByTheNextStart(t *testing.T) {
	t.Parallel()
	for _, reached := range []bool{true, false} {
		t.Run(fmt.Sprint("EndTxn reached the coordinator ", reached), func(t *testing.T) {
			c := newCluster(t, kfake.SeedTopics(1, "a", "b"))
			dir := t.TempDir()
			p := c.open(t, dir, transactional("t1"))
			committed(t, p, unit(t, p, "one", "a"))
			asked := make(chan struct{}, 100)
			var healed atomic.Bool
			c.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				if healed.Load() {
					return nil, nil, false
				}
				asked <- struct{}{}
				if reached {
					c.link.down()
					return nil, nil, false
				}
				return nil, errors.New("lost"), true
			})
			unit(t, p, "two", "a", "b")
			<-asked
			closeNow(t, p)
			healed.Store(true)
			c.link.up()
			p = c.open(t, dir, transactional("t1"))
			committed(t, p, unit(t, p, "three", "a", "b"))
			if got := values(c.readCommitted(t, 3, "a")); got != "one two three" {
				t.Errorf("a has %q", got)
			}
			if got := values(c.readCommitted(t, 2, "b")); got != "two three" {
				t.Errorf("b has %q", got)
			}
			until(t, p, "all counted once", func(st *spoold.Status) bool { return st.Acked == 5 && st.Pending == 0 })
		})
	}
}

func TestATopicThatIsMissingHoldsOnlyItsUnitsUp(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "a"))
	p := c.open(t, t.TempDir(), transactional("t1"), func(cfg *spoold.Config) { cfg.TopicsCreate = false })
	committed(t, p, unit(t, p, "one", "a"))
	both := unit(t, p, "two", "later", "other")
	committed(t, p, unit(t, p, "three", "a"))
	if st := p.Status(); st.Pending < 2 {
		t.Errorf("pending %d", st.Pending)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrCreateTopicsRequest()
	for _, topic := range []string{"later", "other"} {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, 1, 1
		req.Topics = append(req.Topics, rt)
	}
	if _, err := req.RequestWith(patient(t), client); err != nil {
		t.Fatal(err)
	}
	committed(t, p, both)
	c.readCommitted(t, 1, "later")
	c.readCommitted(t, 1, "other")
}
