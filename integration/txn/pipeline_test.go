//go:build kafka

package txn_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/poll"
)

// A pipeline consumes the numbers of units and produces their records, with the offset of what it consumed in the same transaction.
// Each of two children is one, with a spool and a transactional id of its own; both are members of one group.

const (
	pipelineGroup  = "pipeline"
	pipelineInput  = "in"
	pipelineInputs = 4 // partitions
)

// pipelineMain is the child. After an abort, or where it is not known what became of a transaction, its consumer begins anew where the
// group is: another member may have got its partitions.
func pipelineMain(p *spoold.Producer) error {
	for {
		if err := consume(p); err != nil && !errors.Is(err, spoold.ErrAborted) && !errors.Is(err, spoold.ErrUnknown) {
			return err
		}
	}
}

func consume(p *spoold.Producer) error {
	ctx := context.Background()
	consumer, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(os.Getenv("BROKERS"), ",")...), kgo.ConsumeTopics(pipelineInput),
		kgo.ConsumerGroup(pipelineGroup), kgo.DisableAutoCommit(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(3*time.Second), kgo.HeartbeatInterval(300*time.Millisecond), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return err
	}
	defer consumer.CloseAllowingRebalance()
	for {
		fetches := consumer.PollRecords(ctx, 20)
		member, generation := consumer.GroupMetadata() // of the poll: no other one begins before AllowRebalance
		if records := fetches.Records(); len(records) > 0 {
			if err := process(ctx, p, records, spoold.ConsumerGroup{ID: pipelineGroup, Generation: generation, Member: member}); err != nil {
				return err
			}
			fmt.Println("processed", len(records))
		}
		consumer.AllowRebalance()
	}
}

func process(ctx context.Context, p *spoold.Producer, records []*kgo.Record, group spoold.ConsumerGroup) error {
	tx, err := p.Begin(ctx)
	if err != nil {
		return err
	}
	next := map[int32]spoold.ConsumedOffset{}
	for _, r := range records {
		n, err := strconv.Atoi(string(r.Value))
		if err != nil {
			return err
		}
		for _, out := range unitRecords(n) {
			if err := tx.Send(ctx, out); err != nil {
				return err
			}
		}
		next[r.Partition] = spoold.ConsumedOffset{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset + 1, LeaderEpoch: r.LeaderEpoch}
	}
	var offsets []spoold.ConsumedOffset
	for _, o := range next {
		offsets = append(offsets, o)
	}
	if err := tx.SendOffsets(ctx, offsets, group); err != nil {
		return err
	}
	_, err = tx.Commit(ctx)
	return err
}

// pipelines are both children, and what feeds them.
type pipelines struct {
	t     *testing.T
	c     *kafka.Cluster
	l     *ledger
	input *kgo.Client
	set   [2]map[string]string
	run   [2]*child
}

func newPipelines(t *testing.T, version, brokers int) *pipelines {
	p := &pipelines{t: t, l: &ledger{spooled: map[int]bool{}, unordered: true}}
	p.c = clusterOf(t, kafka.Options{
		Brokers: brokers, FormatArgs: []string{"-f", fmt.Sprint("transaction.version=", version)},
		Props: map[string]string{"group.min.session.timeout.ms": "1000", "group.initial.rebalance.delay.ms": "0"},
	})
	if err := p.c.CreateTopic(t.Context(), pipelineInput, pipelineInputs, nil); err != nil {
		t.Fatal(err)
	}
	var err error
	if p.input, err = kgo.NewClient(kgo.SeedBrokers(strings.Split(p.c.Direct(), ",")...), kgo.DefaultProduceTopic(pipelineInput)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.input.Close)
	for k := range p.set {
		p.set[k] = settings(t, p.c)
		p.set[k]["transactional.id"] += fmt.Sprint("-", k)
		p.start(k)
	}
	t.Cleanup(func() {
		for k := range p.run {
			p.kill(k)
		}
	})
	return p
}

func (p *pipelines) start(k int) {
	p.run[k] = startChild(p.t, p.set[k], 0, 0, "PIPELINE=1", "BROKERS="+p.c.Direct())
	go func(out chan string) {
		for range out { // it must not wait for us
		}
	}(p.run[k].out)
}

// kill ends a child at once. What it has said of an error shows that it had ended by itself.
func (p *pipelines) kill(k int) {
	p.t.Helper()
	_ = p.run[k].p.Kill()
	_ = p.run[k].wait()
	if s := p.run[k].errs.String(); s != "" {
		p.t.Errorf("pipeline %d: %s", k, s)
	}
}

// feed gives them so many inputs more.
func (p *pipelines) feed(n int) {
	p.t.Helper()
	limit, cancel := context.WithTimeout(p.t.Context(), 90*time.Second)
	defer cancel()
	var records []*kgo.Record
	for range n {
		k := len(p.l.spooled) + 1
		p.l.spooled[k] = true
		records = append(records, kgo.StringRecord(strconv.Itoa(k)))
	}
	if err := p.input.ProduceSync(limit, records...).FirstErr(); err != nil {
		p.t.Fatal(err)
	}
}

// left is how many inputs the group has not committed; -1: that cannot be asked now. It goes by the topic's partitions, not by the group's
// members: while they are given anew, before anything is committed, a group has no partition, and so nothing that it lags behind.
func (p *pipelines) left() (left int64) {
	ends, err := p.c.Admin().ListEndOffsets(p.t.Context(), pipelineInput)
	if err != nil || ends.Error() != nil || len(ends[pipelineInput]) != pipelineInputs {
		return -1
	}
	committed, err := p.c.Admin().FetchOffsets(p.t.Context(), pipelineGroup)
	if err != nil || committed.Error() != nil {
		return -1
	}
	for n, end := range ends[pipelineInput] {
		left += end.Offset
		if at, ok := committed.Lookup(pipelineInput, n); ok && at.At > 0 {
			left -= at.At
		}
	}
	return left
}

// Pipelines are killed at any moment, and so are brokers where there are several; partitions move from member to member each time. Each
// input is in the output once.
func TestEachInputIsInTheOutputOnce(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		rng := seed(t)
		brokers := 1
		if version == 2 {
			brokers = 3
		}
		p := newPipelines(t, version, brokers)
		for i := range brokerKills(4) {
			p.feed(100)
			<-time.After(time.Duration(200+rng.IntN(1500)) * time.Millisecond) // a drawn moment, whatever they do then
			k := rng.IntN(2)
			p.kill(k)
			if b := rng.IntN(brokers); i%3 == 2 && brokers > 1 {
				p.restart(b, rng)
			}
			p.start(k)
		}
		if !poll.Within(120*time.Second, func() bool { return p.left() == 0 }) {
			t.Fatalf("%d inputs are left: %s %s", p.left(), p.run[0].errs, p.run[1].errs)
		}
		for k := range p.run {
			p.kill(k)
		}
		p.l.verify(t, p.c)
	})
}

func (p *pipelines) restart(b int, rng *rand.Rand) {
	p.t.Helper()
	if err := p.c.Kill(b); err != nil {
		p.t.Fatal(err)
	}
	<-time.After(time.Duration(rng.IntN(2000)) * time.Millisecond) // the same
	if err := p.c.Start(p.t.Context(), b); err != nil {
		p.t.Fatal(err)
	}
}
