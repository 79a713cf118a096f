package differ

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/raw"
)

// trio is a cluster of three on both sides, two topics on it, and brokers that come and go. Whatever takes time is waited for on
// both sides before anything is compared.
type trio struct {
	real  *real
	model *model
	rng   *rand.Rand
	names [2]string // min.insync.replicas is 2 for the first, 3 for the second
	sent  [2][]Batch
	epoch [2]int16
	Done  []string // what was done
	// Requests that were compared.
	Requests int
}

const brokers = 3

func newTrio(real *real, model *model, seed uint64) (*trio, error) {
	t := &trio{real: real, model: model, rng: rand.New(rand.NewPCG(seed, 0x3))}
	for i := range t.names {
		t.names[i] = fmt.Sprintf("trio%d-%d", seed, i+2)
		k := kind{partitions: 1, cfg: topics[0].cfg}
		k.cfg.MinISR = i + 2
		if _, err := model.create(t.names[i], &k); err != nil {
			return nil, err
		}
		replicas, _ := model.Assignment(t.names[i], 0)
		if err := real.assign(t.names[i], replicas, i+2); err != nil {
			return nil, err
		}
	}
	return t, t.settle()
}

// assign makes a topic of one partition on given brokers.
func (r *real) assign(name string, replicas []int32, minISR int) error {
	m := kmsg.NewPtrCreateTopicsRequest()
	m.SetVersion(7)
	m.TimeoutMillis = 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
	a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
	a.Replicas = nodeIDs(replicas)
	topic.ReplicaAssignment = append(topic.ReplicaAssignment, a)
	c := kmsg.NewCreateTopicsRequestTopicConfig()
	c.Name, c.Value = "min.insync.replicas", kmsg.StringPtr(fmt.Sprint(minISR))
	topic.Configs = append(topic.Configs, c)
	m.Topics = append(m.Topics, topic)
	resp, err := r.ask(0, m)
	if err != nil {
		return err
	}
	if code := resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; code != 0 {
		return fmt.Errorf("differ: create %s: %s", name, raw.Code(code))
	}
	return nil
}

// nodeIDs are brokers as Kafka has them: from 1.
func nodeIDs(list []int32) []int32 {
	out := slices.Clone(list)
	for i := range out {
		out[i]++
	}
	return out
}

// metadata is a topic's partition as a running broker has it, with brokers from 0.
func (r *real) metadata(name string) (p kmsg.MetadataResponseTopicPartition, err error) {
	for i := range int32(brokers) {
		if !r.up(i) {
			continue
		}
		m := kmsg.NewPtrMetadataRequest()
		m.SetVersion(12)
		m.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
		resp, err := r.ask(i, m)
		if err != nil {
			return p, err
		}
		t := resp.(*kmsg.MetadataResponse).Topics[0]
		if t.ErrorCode != 0 || len(t.Partitions) == 0 {
			return p, fmt.Errorf("differ: metadata of %s: %w", name, kerr.ErrorForCode(t.ErrorCode))
		}
		p = t.Partitions[0]
		p.Leader--
		for j := range p.ISR {
			p.ISR[j]--
		}
		return p, nil
	}
	return p, errors.New("differ: no broker runs")
}

// up reports whether a broker runs and is not paused.
func (r *real) up(i int32) bool { return r.c.Running(int(i)) && !r.paused[i] }

// settle waits until both sides have the same leaders and replicas in sync, all that run, and all of these the same high watermark.
func (t *trio) settle() error {
	if err := t.model.await("quiet", func() bool { return t.modelSettled() }); err != nil {
		return err
	}
	t.model.a.Run(t.model.a.Now() + 500) // what followers and brokers hear late
	return t.real.until("the same leader and replicas in sync", func() (bool, string) {
		for _, name := range t.names {
			p, err := t.real.metadata(name)
			if err != nil {
				return false, err.Error()
			}
			_, isr := t.model.Assignment(name, 0)
			slices.Sort(isr)
			slices.Sort(p.ISR)
			if p.Leader != t.model.Leader(name, 0) || !slices.Equal(p.ISR, isr) {
				return false, fmt.Sprintf("%s: leader %d, in sync %v; the model %d, %v", name, p.Leader, p.ISR, t.model.Leader(name, 0), isr)
			}
			if what := t.differing(name); what != "" {
				return false, what
			}
			if what := t.lagging(name, isr); what != "" {
				return false, what
			}
		}
		return true, ""
	})
}

// differing says which broker that runs has not heard yet what the first one has.
func (t *trio) differing(name string) string {
	want := ""
	for i := range int32(brokers) {
		if !t.real.up(i) {
			continue
		}
		resp, err := t.real.ask(i, raw.Metadata(12, name))
		if err != nil {
			return err.Error()
		}
		got := metadataText(resp.(*kmsg.MetadataResponse), 1, nil)
		if want == "" {
			want = got
		}
		if got != want {
			return fmt.Sprintf("broker %d says %s, where another says %s", i, got, want)
		}
	}
	return ""
}

// drifted reports whether the real brokers have elected or fenced somebody of their own accord: the machine was too busy for them.
func (t *trio) drifted() bool {
	for _, name := range t.names {
		p, err := t.real.metadata(name)
		if err != nil {
			return false
		}
		resp, err := t.model.ask(t.model.Leader(name, 0), raw.Metadata(12, name))
		if err != nil {
			return false
		}
		m := &resp.(*kmsg.MetadataResponse).Topics[0].Partitions[0]
		slices.Sort(p.ISR)
		slices.Sort(m.ISR)
		if p.LeaderEpoch != m.LeaderEpoch || p.Leader != m.Leader || !slices.Equal(p.ISR, m.ISR) {
			return true
		}
	}
	return false
}

// lagging says which replica in sync does not have yet what the leader has.
func (t *trio) lagging(name string, isr []int32) string {
	leader := t.model.Leader(name, 0)
	want := ""
	for _, id := range append([]int32{leader}, isr...) {
		resp, err := t.real.ask(id, raw.Fetch(12, name, 0, 0, -1, 1))
		if err != nil {
			return err.Error()
		}
		f := &resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if resp, err = t.real.ask(id, raw.DescribeProducers(name, 0)); err != nil {
			return err.Error()
		}
		has := fmt.Sprintf("high watermark %d, log start %d, %s", f.HighWatermark, f.LogStartOffset, knownText(&resp.(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0], false))
		if id == leader {
			want = has
			if resp, err = t.real.ask(id, raw.ListOffsets(7, name, raw.Latest, 0)); err != nil {
				return err.Error()
			}
			if p := &resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]; p.ErrorCode != 0 {
				return fmt.Sprintf("%s: %s at the leader", name, raw.Code(p.ErrorCode))
			}
		}
		if has != want {
			return fmt.Sprintf("%s: broker %d has %s; the leader %d %s", name, id, has, leader, want)
		}
	}
	return ""
}

func (t *trio) modelSettled() bool {
	for _, name := range t.names {
		_, isr := t.model.Assignment(name, 0)
		for i := range int32(brokers) {
			if t.real.up(i) != slices.Contains(isr, i) {
				return false
			}
		}
		if t.model.Leader(name, 0) < 0 {
			return false
		}
	}
	return true
}

// ask puts a request to a broker of both sides and compares what text makes of the answers.
func (t *trio) ask(to int32, req kmsg.Request, text func(side int, r kmsg.Response) string) error {
	t.Requests++
	var got [2]string
	for i, s := range []side{t.real, t.model} {
		resp, err := s.ask(to, req)
		if err != nil {
			return err
		}
		got[i] = text(i, resp)
	}
	return compare(fmt.Sprintf("%s v%d to broker %d", kmsg.NameForKey(req.Key()), req.GetVersion(), to), got[0], got[1])
}

// did notes a step, so that a difference can be told with what came before it.
func (t *trio) did(format string, args ...any) { t.Done = append(t.Done, fmt.Sprintf(format, args...)) }

// produce sends a batch to a broker: to the leader or not.
func (t *trio) produce(topic int, to int32, version, acks int16, timeout int32, b *Batch) (code int16, err error) {
	t.did("Produce v%d acks %d to broker %d of %s: pid %d e%d s%d+%d, timeout %d ms", version, acks, to, t.names[topic], b.PID, b.Epoch, b.Base, b.Count, timeout)
	part := raw.Part{Topic: t.names[topic], Records: b.bytes(time.Now().UnixMilli())}
	err = t.ask(to, raw.Produce(version, acks, timeout, part), func(side int, r kmsg.Response) string {
		p := r.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		code = p.ErrorCode
		if p.CurrentLeader.LeaderID > 0 && side == 0 {
			p.CurrentLeader.LeaderID-- // brokers from 0
		}
		return produceText(&p, false)
	})
	if err == nil && t.appended(code) && !slices.Contains(t.sent[topic], *b) {
		t.sent[topic] = append(t.sent[topic], *b)
	}
	return code, err
}

// appended: with REQUEST_TIMED_OUT it is, too.
func (t *trio) appended(code int16) bool {
	return code == 0 || raw.Code(code) == "REQUEST_TIMED_OUT"
}

// next is the batch that the producer of a topic sends next.
func (t *trio) next(topic int) *Batch {
	b := &Batch{PID: firstPID + int64(topic), Epoch: t.epoch[topic], Count: 1 + t.rng.IntN(3)}
	if list := t.sent[topic]; len(list) > 0 {
		if last := list[len(list)-1]; last.Epoch == b.Epoch {
			b.Base = after(last.Base, last.Count)
		}
	}
	return b
}

// look compares what every replica that runs and is in sync knows and gives.
func (t *trio) look() error {
	for topic, name := range t.names {
		_, isr := t.model.Assignment(name, 0)
		leader := t.model.Leader(name, 0)
		for _, id := range isr {
			errs := []error{t.ask(id, raw.DescribeProducers(name, 0), func(_ int, r kmsg.Response) string {
				return knownText(&r.(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0], false)
			})}
			// Version 0 leaves out replicas that are down; nobody asks that any more.
			errs = append(errs, t.ask(id, raw.Metadata(1+int16(t.rng.IntN(12)), name), func(side int, r kmsg.Response) string {
				return metadataText(r.(*kmsg.MetadataResponse), int32(1-side), nil)
			}))
			for _, at := range []int64{raw.Earliest, raw.Latest} {
				errs = append(errs, t.ask(id, raw.ListOffsets(7, name, at, 0), func(_ int, r kmsg.Response) string {
					return offsetText(&r.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0], at)
				}))
			}
			for _, version := range []int16{10, 11, 12} {
				p, err := t.real.metadata(name)
				if err != nil {
					return err
				}
				for _, epoch := range []int32{-1, p.LeaderEpoch, p.LeaderEpoch - 1, p.LeaderEpoch + 1} {
					errs = append(errs, t.ask(id, raw.Fetch(version, name, 0, 0, epoch, 1<<20), func(_ int, r kmsg.Response) string {
						return fetchText(&r.(*kmsg.FetchResponse).Topics[0].Partitions[0], false)
					}))
				}
			}
			if id != leader { // as a producer that does not know yet
				_, err := t.produce(topic, id, 7+int16(t.rng.IntN(5)), -1, 1000, t.next(topic))
				errs = append(errs, err)
			}
			if err := errors.Join(errs...); err != nil {
				return err
			}
		}
	}
	return nil
}

// windows sends the last seven batches of each producer again, the last one first.
func (t *trio) windows() error {
	for topic, name := range t.names {
		list := t.sent[topic]
		for i := range min(rememberN, len(list)) {
			if _, err := t.produce(topic, t.model.Leader(name, 0), 9, -1, 10_000, &list[len(list)-1-i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// move has another replica lead a topic.
func (t *trio) move(topic int) error {
	name := t.names[topic]
	replicas, _ := t.model.Assignment(name, 0)
	leader := t.model.Leader(name, 0)
	to := (leader + 1 + t.rng.Int32N(brokers-1)) % brokers
	t.did("%s: leader %d to %d", name, leader, to)
	t.model.sync()
	if !t.model.Move(name, 0, to) {
		return fmt.Errorf("differ: the model does not move %s to %d", name, to)
	}
	order := append([]int32{to}, slices.DeleteFunc(replicas, func(x int32) bool { return x == to })...)
	var req kadm.AlterPartitionAssignmentsReq
	req.Assign(name, 0, nodeIDs(order))
	if _, err := t.real.c.Admin().AlterPartitionAssignments(t.real.ctx, req); err != nil {
		return fmt.Errorf("differ: reassign %s: %w", name, err)
	}
	if err := t.real.until("elected", func() (bool, string) {
		set := kadm.TopicsSet{}
		set.Add(name, 0)
		_, err := t.real.c.Admin().ElectLeaders(t.real.ctx, kadm.ElectPreferredReplica, set)
		p, err2 := t.real.metadata(name)
		return err == nil && err2 == nil && p.Leader == to, fmt.Sprint(err, err2, p.Leader)
	}); err != nil {
		return err
	}
	return t.settle()
}

func (t *trio) String() string { return strings.Join(t.Done[max(0, len(t.Done)-60):], "\n") }
