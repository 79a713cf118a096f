package spoold_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
)

// byLetter puts a key where its first letter says, and needs the number of partitions if there is a key.
type byLetter struct {
	calls, closed atomic.Int32
}

func (b *byLetter) Partition(r spoold.Record, partitions int32) (spoold.Partition, error) {
	b.calls.Add(1)
	switch {
	case len(r.Key) == 0:
		return spoold.Partition{}, nil
	case r.Key[0] == '!':
		panic("such a key")
	case r.Key[0] == '?':
		return spoold.ToPartition(99), nil
	case partitions == 0:
		return spoold.Partition{}, spoold.ErrPartitionsUnknown
	}
	return spoold.ToPartition(int32(r.Key[0]-'a') % partitions), nil
}

func (b *byLetter) Close() error { b.closed.Add(1); return nil }

func TestAProgramsOwnPartitionerIsAskedAndItsChoiceKept(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(5, "t"))
	cfg := c.config(t, t.TempDir())
	cfg.TopicsCreate = false
	own := &byLetter{}
	p, err := spoold.Open(cfg, spoold.Env{Partitioner: own})
	if err != nil {
		t.Fatal(err)
	}
	send := func(r spoold.Record) (spoold.Ack, error) {
		d, err := p.Send(patient(t), r)
		if err != nil {
			return spoold.Ack{}, err
		}
		return d.Acked(patient(t))
	}
	for key, want := range map[string]int32{"a": 0, "e": 4, "g": 1} {
		if a, err := send(spoold.Record{Topic: "t", Key: []byte(key)}); err != nil || a.Partition != want {
			t.Errorf("key %q went to %d (%v), want %d", key, a.Partition, err, want)
		}
	}
	calls := own.calls.Load()
	if a, err := send(spoold.Record{Topic: "t", Key: []byte("a"), Partition: spoold.ToPartition(3)}); err != nil || a.Partition != 3 || own.calls.Load() != calls {
		t.Errorf("a record for partition 3 went to %d (%v), asked %d times", a.Partition, err, own.calls.Load()-calls)
	}
	if _, err := send(spoold.Record{Topic: "t"}); err != nil {
		t.Errorf("a record that is left to the built-in one: %v", err)
	}
	batch, err := p.SendBatch(patient(t), spoold.Batch{Records: []spoold.Record{{Topic: "t", Key: []byte("b")}, {Topic: "t", Key: []byte("c")}}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range batch.Len() {
		if a, err := batch.At(i).Acked(patient(t)); err != nil || a.Partition != int32(1+i) {
			t.Errorf("record %d of a batch went to %d (%v)", i, a.Partition, err)
		}
	}
	for key, part := range map[string]string{"!": "panicked: such a key", "?": "chose partition 99 of topic t, which has 5"} {
		if _, err := send(spoold.Record{Topic: "t", Key: []byte(key)}); !errors.Is(err, spoold.ErrInvalidRecord) || !strings.Contains(err.Error(), part) {
			t.Errorf("key %q: %v, want %s", key, err, part)
		}
	}
	if _, err := send(spoold.Record{Topic: "unheard", Key: []byte("a")}); !errors.Is(err, spoold.ErrPartitionsUnknown) {
		t.Errorf("a topic that is not there: %v", err)
	}
	if st := p.Status(); st.Accepted != 7 {
		t.Errorf("%d records were taken, want 7", st.Accepted)
	}
	for range 2 {
		if err := p.Close(patient(t)); err != nil || own.closed.Load() != 1 {
			t.Errorf("Close: %v; the partitioner was closed %d times", err, own.closed.Load())
		}
	}
}

// What was chosen while the cluster could not be reached is delivered there by a start that does not have the partitioner.
func TestWhatAPartitionerChoseIsDeliveredByAStartWithoutIt(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(5, "t"))
	cfg := c.config(t, t.TempDir())
	away := cfg
	away.BootstrapServers = []string{"127.0.0.1:1"}
	p, err := spoold.Open(away, spoold.Env{Partitioner: fixed(4)})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		d, err := p.Send(patient(t), spoold.Record{Topic: "t", Key: []byte("k")})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Spooled(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	acked := make(chan spoold.BatchAcked, 20)
	p, err = spoold.Open(cfg, spoold.Env{Hooks: spoold.Hooks{BatchAcked: func(e spoold.BatchAcked) { acked <- e }}})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(patient(t)); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < 20; {
		e := <-acked
		if n += e.Records; e.Partition != 4 {
			t.Errorf("%d records went to partition %d, want 4", e.Records, e.Partition)
		}
	}
	if err := p.Close(patient(t)); err != nil {
		t.Error(err)
	}
}

// The first record creates the topic. A partition that it lacks is refused as soon as that record is acked, not when the next
// snapshot has the number of partitions.
func TestAChoiceIsCheckedStraightAfterTheFirstAck(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "orders"} {
		c := newCluster(t, kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(3))
		own := &byLetter{}
		p := c.openEnv(t, t.TempDir(), spoold.Env{Partitioner: own}, func(cfg *spoold.Config) { cfg.TransactionalID = id })
		for _, topic := range []string{"x", "y", "z"} {
			d, err := p.Send(patient(t), spoold.Record{Topic: topic})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Acked(patient(t)); err != nil {
				t.Fatal(err)
			}
			for name, r := range map[string]spoold.Record{
				"chose partition 99 of topic " + topic + ", which has 3": {Topic: topic, Key: []byte("?")},
				"topic " + topic + " has no partition 98: it has 3":      {Topic: topic, Partition: spoold.ToPartition(98)},
			} {
				if _, err := p.Send(patient(t), r); !errors.Is(err, spoold.ErrInvalidRecord) || !strings.Contains(err.Error(), name) {
					t.Errorf("id %q: Send = %v, want %s", id, err, name)
				}
			}
		}
		flush(t, p)
		if n := p.Status().Accepted; n != 3 {
			t.Errorf("id %q: %d records were taken, want 3", id, n)
		}
	}
}

// A Partitioner that needs the number of partitions can be the first to use a topic that the cluster creates, for a record, a batch
// and where the broker says a few times that there is none.
func TestAPartitionerThatNeedsTheCountHasTheTopicCreated(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(3))
	p := c.openEnv(t, t.TempDir(), spoold.Env{Partitioner: &byLetter{}})
	var late atomic.Int32
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		m := req.(*kmsg.MetadataRequest)
		if len(m.Topics) != 1 || m.Topics[0].Topic == nil || *m.Topics[0].Topic != "slow" || late.Add(1) > 3 {
			return nil, nil, false
		}
		resp := m.ResponseKind().(*kmsg.MetadataResponse)
		none := kmsg.NewMetadataResponseTopic()
		none.Topic, none.ErrorCode = m.Topics[0].Topic, int16(spoold.ErrorCode(3))
		resp.Topics = append(resp.Topics, none)
		return resp, nil, true
	})
	for _, topic := range []string{"new", "slow"} {
		d, err := p.Send(patient(t), spoold.Record{Topic: topic, Key: []byte("e")})
		if err != nil {
			t.Fatal(err)
		}
		if a, err := d.Acked(patient(t)); err != nil || a.Partition != 1 {
			t.Errorf("topic %s: partition %d (%v), want 1", topic, a.Partition, err)
		}
	}
	if _, err := p.PartitionsFor(patient(t), "other"); err == nil || c.TopicInfo("other") != nil {
		t.Errorf("PartitionsFor = %v; the topic was made: %v", err, c.TopicInfo("other") != nil)
	}
}

type fixed int32

func (f fixed) Partition(spoold.Record, int32) (spoold.Partition, error) {
	return spoold.ToPartition(int32(f)), nil
}

func TestAPartitionerIsClosedWhenOpenFails(t *testing.T) {
	t.Parallel()
	own := &byLetter{}
	if _, err := spoold.Open(spoold.Config{}, spoold.Env{Partitioner: own}); err == nil || own.closed.Load() != 1 {
		t.Errorf("Open: %v; closed %d times", err, own.closed.Load())
	}
}

func TestAPartitionerWaitsForTheClusterNoLongerThanTheContext(t *testing.T) {
	t.Parallel()
	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers, cfg.SpoolPath = []string{"127.0.0.1:1"}, t.TempDir()
	p, err := spoold.Open(cfg, spoold.Env{Partitioner: &byLetter{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(patient(t))
	go cancel()
	if _, err := p.Send(ctx, spoold.Record{Topic: "t", Key: []byte("a")}); !errors.Is(err, context.Canceled) {
		t.Errorf("Send: %v", err)
	}
	if err := p.Close(patient(t)); err != nil {
		t.Error(err)
	}
}
