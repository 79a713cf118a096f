package spoold_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
)

func TestOffsetsAreCommittedWithTheOutputOrNotAtAll(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "in", "out"))
	p := c.open(t, t.TempDir(), transactional("t1"))
	client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	offset := func() int64 {
		t.Helper()
		offsets, err := kadm.NewClient(client).FetchOffsets(patient(t), "group")
		if err != nil {
			t.Fatal(err)
		}
		o, ok := offsets.Lookup("in", 0)
		if !ok {
			return -1
		}
		return o.At
	}
	step := func(value string, at int64) *spoold.Transaction {
		t.Helper()
		tx, err := p.Begin(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := tx.Send(patient(t), spoold.Record{Topic: "out", Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
		if err := tx.SendOffsets(patient(t), []spoold.ConsumedOffset{{Topic: "in", Offset: at, LeaderEpoch: -1}}, spoold.ConsumerGroup{ID: "group", Generation: -1}); err != nil {
			t.Fatal(err)
		}
		return tx
	}
	before := unit(t, p, "spooled before", "out")
	x, err := step("one", 5).Commit(patient(t))
	if err != nil {
		t.Fatalf("%v; %+v", err, p.Status().Transaction)
	}
	committed(t, p, before)
	if err := x.Committed(patient(t)); err != nil {
		t.Fatal(err)
	}
	if got := offset(); got != 5 {
		t.Errorf("the group is at %d, want 5", got)
	}
	if err := step("aborted", 6).Abort(patient(t)); err != nil {
		t.Fatal(err)
	}
	// The group does not let it commit: neither offsets nor records.
	c.ControlKey(int16(kmsg.TxnOffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		r := req.(*kmsg.TxnOffsetCommitRequest)
		c.KeepControl()
		if r.Group != "group" {
			return nil, nil, false
		}
		resp := r.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		for _, topic := range r.Topics {
			rt := kmsg.NewTxnOffsetCommitResponseTopic()
			rt.Topic = topic.Topic
			for _, part := range topic.Partitions {
				rp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				rp.Partition, rp.ErrorCode = part.Partition, 22 // ILLEGAL_GENERATION
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	dead := step("of a dead generation", 7)
	if _, err := dead.Commit(patient(t)); !errors.Is(err, spoold.ErrAborted) {
		t.Errorf("a dead generation: %v", err)
	}
	if _, err := dead.Commit(patient(t)); !errors.Is(err, spoold.ErrTransactionOver) || !strings.Contains(err.Error(), "it was aborted: ") {
		t.Errorf("committed again after it was aborted: %v", err)
	}
	if err := dead.Abort(patient(t)); err != nil {
		t.Errorf("aborted after it was aborted: %v", err)
	}
	committed(t, p, unit(t, p, "spooled after", "out"))
	if got := values(c.readCommitted(t, 3, "out")); got != "spooled before one spooled after" {
		t.Errorf("out has %q", got)
	}
	if got := offset(); got != 5 {
		t.Errorf("the group is at %d, want 5", got)
	}
	if st := p.Status(); st.Accepted != 2 {
		t.Errorf("%d records were counted accepted, want those that were spooled: 2", st.Accepted)
	}
}

func TestAContextThatEndsAbortsWhatWasNotDecided(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "in", "out"))
	c.link.down()
	p := c.open(t, t.TempDir(), transactional("t1"))
	tx, err := p.Begin(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	offsets := []spoold.ConsumedOffset{{Topic: "in", Offset: 5}}
	if err := tx.SendOffsets(patient(t), offsets, spoold.ConsumerGroup{ID: "g", Generation: 3}); !errors.Is(err, spoold.ErrInvalidRecord) {
		t.Errorf("a generation without a member: %v", err)
	}
	if err := tx.SendOffsets(patient(t), offsets, spoold.ConsumerGroup{ID: "g", Generation: -1}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	x, err := tx.Commit(ctx)
	if !errors.Is(err, spoold.ErrUnknown) {
		t.Fatalf("commit under a context that has ended: %v", err)
	}
	if err := tx.Abort(patient(t)); !errors.Is(err, spoold.ErrTransactionOver) || strings.Contains(err.Error(), "it was committed,") {
		t.Errorf("aborted while that is not known: %v", err)
	}
	if err := x.Committed(patient(t)); !errors.Is(err, spoold.ErrAborted) {
		t.Errorf("asked again: %v", err)
	}
}

// The limit was found at Commit alone, when nothing was left but to abort, and not at all by a transaction with offsets.
func TestATransactionTakesNoMoreTopicsThanItCanCommit(t *testing.T) {
	c := newCluster(t)
	c.link.down()
	p := c.open(t, t.TempDir(), transactional("t1"))
	for _, offsets := range []bool{false, true} {
		tx, err := p.Begin(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		if offsets {
			if err := tx.SendOffsets(patient(t), []spoold.ConsumedOffset{{Topic: "in"}}, spoold.ConsumerGroup{ID: "g", Generation: -1}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 256 {
			if err := tx.Send(patient(t), spoold.Record{Topic: fmt.Sprintf("topic-%d", i)}); err != nil {
				t.Fatal(i, err)
			}
		}
		if err := tx.SendBatch(patient(t), []spoold.Record{{Topic: "topic-1"}, {Topic: "more"}}); !errors.Is(err, spoold.ErrInvalidRecord) {
			t.Errorf("offsets %v: a 257th topic: %v", offsets, err)
		}
		if err := tx.Send(patient(t), spoold.Record{Topic: "topic-255"}); err != nil {
			t.Errorf("offsets %v: a topic that it has: %v", offsets, err)
		}
		if offsets {
			continue
		}
		if _, err := tx.Commit(patient(t)); err != nil {
			t.Errorf("256 topics: %v", err)
		}
	}
}
