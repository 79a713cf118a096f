package differ

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/raw"
)

// transactions puts requests of one transactional id to both sides, in any order and with any epoch, and compares the answers.
type transactions struct {
	rng       *rand.Rand
	sides     [2]side
	id, topic string
	most      int16 // version of EndTxn
	produce   int16 // highest version of Produce
	pids      [2][]int64
	epoch     int16 // as the last answer has it
	next      map[int32]int32
	steps     []string
}

// txnParts is how many partitions the topic has.
const txnParts = 3

func newTransactions(seed uint64, prefix string, real, model side, most, produce int16) (*transactions, error) {
	t := &transactions{
		rng: rand.New(rand.NewPCG(seed, 0x7a)), sides: [2]side{real, model}, id: prefix + "-id", topic: prefix + "-t", most: most, produce: produce, next: map[int32]int32{},
	}
	for _, s := range t.sides {
		if _, err := s.create(t.topic, &kind{partitions: txnParts}); err != nil {
			return nil, err
		}
		for key, group := range map[string]bool{t.id: false, t.id + "-group": true} {
			if err := until(s, "a coordinator", func() (bool, string) {
				m := kmsg.NewPtrFindCoordinatorRequest()
				m.SetVersion(3)
				if m.CoordinatorKey = key; !group {
					m.CoordinatorType = 1
				}
				resp, err := s.ask(0, m)
				if err != nil {
					return false, err.Error()
				}
				return resp.(*kmsg.FindCoordinatorResponse).ErrorCode == 0, raw.Code(resp.(*kmsg.FindCoordinatorResponse).ErrorCode)
			}); err != nil {
				return nil, err
			}
		}
	}
	return t, t.init()
}

// until asks one side again and again.
func until(s side, what string, holds func() (bool, string)) error {
	if r, ok := s.(*real); ok {
		return r.until(what, holds)
	}
	m := s.(*model)
	for range 20_000 {
		if ok, _ := holds(); ok {
			return nil
		}
		m.a.Run(m.a.Now() + 1)
	}
	return fmt.Errorf("differ: the model: not %s", what)
}

// do puts a request to both sides, each with its own producer id, and compares what they answer.
func (t *transactions) do(name string, make func(pid int64) kmsg.Request, text func(side int, resp kmsg.Response) string) (string, error) {
	t.steps = append(t.steps, name)
	var got [2]string
	for i, s := range t.sides {
		pid := int64(-1)
		if n := len(t.pids[i]); n > 0 {
			pid = t.pids[i][n-1]
		}
		if err := t.settled(i); err != nil {
			return "", err
		}
		err := until(s, name+" answered", func() (bool, string) {
			resp, err := s.ask(0, make(pid))
			if err != nil {
				return false, err.Error()
			}
			got[i] = text(i, resp)
			busy := strings.Contains(got[i], "CONCURRENT_TRANSACTIONS") || strings.Contains(got[i], "COORDINATOR_LOAD_IN_PROGRESS") ||
				strings.Contains(got[i], "NOT_COORDINATOR") || strings.Contains(got[i], "COORDINATOR_NOT_AVAILABLE") || strings.Contains(got[i], "NOT_ENOUGH_REPLICAS")
			return !busy, got[i]
		})
		if err != nil {
			return "", fmt.Errorf("%w\n%s", err, strings.Join(t.steps, "\n"))
		}
	}
	if got[0] != got[1] {
		return "", fmt.Errorf("%w: Kafka %s, the model %s, after\n%s", errDiffer, got[0], got[1], strings.Join(t.steps, "\n"))
	}
	return got[0], nil
}

// settled waits until no transaction is ending on one side.
func (t *transactions) settled(i int) error {
	s := t.sides[i]
	return until(s, "an end of the transaction", func() (bool, string) {
		resp, err := s.ask(0, t.describe())
		if err != nil {
			return false, err.Error()
		}
		state := resp.(*kmsg.DescribeTransactionsResponse).TransactionStates[0].State
		return !strings.HasPrefix(state, "Prepare"), state
	})
}

func (t *transactions) describe() kmsg.Request {
	m := kmsg.NewPtrDescribeTransactionsRequest()
	m.TransactionalIDs = []string{t.id}
	return m
}

// who is a producer id as its number on a side.
func (t *transactions) who(side int, pid int64) string {
	if i := slices.Index(t.pids[side], pid); i >= 0 {
		return fmt.Sprint("#", i)
	}
	if pid < 0 {
		return "none"
	}
	return "new"
}

// init initialises the id, and notes the identity.
func (t *transactions) init() error {
	var pids [2]int64
	epoch := int16(-1)
	_, err := t.do("InitProducerId", func(int64) kmsg.Request {
		m := raw.InitProducerID(4, -1, -1)
		m.TransactionalID, m.TransactionTimeoutMillis = &t.id, 60_000
		return m
	}, func(side int, resp kmsg.Response) string {
		r := resp.(*kmsg.InitProducerIDResponse)
		pids[side], epoch = r.ProducerID, r.ProducerEpoch
		return fmt.Sprintf("%s %s e%d", raw.Code(r.ErrorCode), t.who(side, r.ProducerID), r.ProducerEpoch)
	})
	if err == nil && pids[0] >= 0 {
		for i := range t.pids {
			if !slices.Contains(t.pids[i], pids[i]) {
				t.pids[i] = append(t.pids[i], pids[i])
			}
		}
		t.epoch = epoch
		clear(t.next)
	}
	return err
}

// aged is the epoch that a request has: mostly the present one.
func (t *transactions) aged() int16 {
	switch t.rng.IntN(12) {
	case 0:
		return max(t.epoch-1, 0)
	case 1:
		return t.epoch + 1
	}
	return t.epoch
}

// step does one thing, and compares what both sides know then.
func (t *transactions) step() (err error) {
	switch n := t.rng.IntN(100); {
	case n < 5:
		err = t.init()
	case n < 20:
		err = t.add()
	case n < 28:
		err = t.addOffsets()
	case n < 60:
		err = t.send()
	case n < 75:
		err = t.commitOffsets()
	default:
		err = t.end()
	}
	if err == nil {
		err = t.look()
	}
	return err
}

func (t *transactions) add() error {
	epoch, part := t.aged(), t.rng.Int32N(txnParts+1)
	_, err := t.do(fmt.Sprintf("AddPartitionsToTxn v3 e%d partition %d", epoch, part), func(pid int64) kmsg.Request {
		m := kmsg.NewPtrAddPartitionsToTxnRequest()
		m.SetVersion(3)
		m.TransactionalID, m.ProducerID, m.ProducerEpoch = t.id, pid, epoch
		topic := kmsg.NewAddPartitionsToTxnRequestTopic()
		topic.Topic, topic.Partitions = t.topic, []int32{part, 0}
		if part == 0 {
			topic.Partitions = topic.Partitions[:1]
		}
		m.Topics = append(m.Topics, topic)
		return m
	}, func(_ int, resp kmsg.Response) string {
		var out []string
		for _, topic := range resp.(*kmsg.AddPartitionsToTxnResponse).Topics {
			for _, p := range topic.Partitions {
				out = append(out, fmt.Sprint(p.Partition, " ", raw.Code(p.ErrorCode)))
			}
		}
		slices.Sort(out)
		return strings.Join(out, ", ")
	})
	return err
}

func (t *transactions) addOffsets() error {
	epoch := t.aged()
	_, err := t.do(fmt.Sprintf("AddOffsetsToTxn v3 e%d", epoch), func(pid int64) kmsg.Request {
		m := kmsg.NewPtrAddOffsetsToTxnRequest()
		m.SetVersion(3)
		m.TransactionalID, m.ProducerID, m.ProducerEpoch, m.Group = t.id, pid, epoch, t.id+"-group"
		return m
	}, func(_ int, resp kmsg.Response) string {
		return raw.Code(resp.(*kmsg.AddOffsetsToTxnResponse).ErrorCode)
	})
	return err
}

func (t *transactions) send() error {
	version, epoch, part := 9+int16(t.rng.IntN(int(t.produce-8))), t.aged(), t.rng.Int32N(txnParts)
	base, n := t.next[part], 1+t.rng.IntN(3)
	switch t.rng.IntN(12) {
	case 0:
		base += 2
	case 1:
		base = 0
	}
	stamp := time.Now().UnixMilli() // of older ones Kafka would begin another segment
	text, err := t.do(fmt.Sprintf("Produce v%d e%d s%d+%d to %d", version, epoch, base, n, part), func(pid int64) kmsg.Request {
		s := raw.Spec{PID: pid, Epoch: epoch, Base: base, Flags: raw.Transactional}
		for range n {
			s.Records = append(s.Records, raw.Record{Timestamp: stamp, Value: []byte("v")})
		}
		m := raw.Produce(version, -1, 10_000, raw.Part{Topic: t.topic, Partition: part, Records: s.Bytes()})
		m.TransactionID = &t.id
		return m
	}, func(_ int, resp kmsg.Response) string {
		p := &resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		return fmt.Sprintf("%s offset %d", raw.Code(p.ErrorCode), p.BaseOffset)
	})
	if strings.HasPrefix(text, "NONE") && epoch == t.epoch && base == t.next[part] {
		t.next[part] += int32(n)
	}
	return err
}

func (t *transactions) commitOffsets() error {
	version, epoch, offset, part := 3+int16(t.rng.IntN(int(t.most-2))), t.aged(), t.rng.Int64N(1000), t.rng.Int32N(txnParts+1)
	_, err := t.do(fmt.Sprintf("TxnOffsetCommit v%d e%d partition %d at %d", version, epoch, part, offset), func(pid int64) kmsg.Request {
		m := kmsg.NewPtrTxnOffsetCommitRequest()
		m.SetVersion(version)
		m.TransactionalID, m.ProducerID, m.ProducerEpoch, m.Group, m.Generation = t.id, pid, epoch, t.id+"-group", -1
		topic := kmsg.NewTxnOffsetCommitRequestTopic()
		topic.Topic = t.topic
		p := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset, p.Metadata = part, offset, kmsg.StringPtr("m")
		topic.Partitions = append(topic.Partitions, p)
		m.Topics = append(m.Topics, topic)
		return m
	}, func(_ int, resp kmsg.Response) string {
		return raw.Code(resp.(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
	})
	return err
}

func (t *transactions) end() error {
	version, epoch, commit := 3+int16(t.rng.IntN(int(t.most-2))), t.aged(), t.rng.IntN(3) > 0
	last := int16(-1)
	_, err := t.do(fmt.Sprintf("EndTxn v%d e%d commit %v", version, epoch, commit), func(pid int64) kmsg.Request {
		m := kmsg.NewPtrEndTxnRequest()
		m.SetVersion(version)
		m.TransactionalID, m.ProducerID, m.ProducerEpoch, m.Commit = t.id, pid, epoch, commit
		return m
	}, func(side int, resp kmsg.Response) string {
		r := resp.(*kmsg.EndTxnResponse)
		if version < 5 || r.ErrorCode != 0 {
			return raw.Code(r.ErrorCode)
		}
		last = r.ProducerEpoch
		return fmt.Sprintf("NONE %s e%d", t.who(side, r.ProducerID), r.ProducerEpoch)
	})
	if err == nil && last > t.epoch {
		t.epoch = last
		clear(t.next)
	}
	return err
}

// look compares the id's state, offsets, and of each partition the log as a reader of committed records sees it.
func (t *transactions) look() error {
	t.steps = append(t.steps, "what both know")
	if _, err := t.do("DescribeTransactions", func(int64) kmsg.Request { return t.describe() }, func(side int, resp kmsg.Response) string {
		s := &resp.(*kmsg.DescribeTransactionsResponse).TransactionStates[0]
		var parts []string
		for _, topic := range s.Topics {
			for _, p := range topic.Partitions {
				if !strings.HasPrefix(topic.Topic, "__") { // of those Kafka has more
					parts = append(parts, fmt.Sprint(p))
				}
			}
		}
		slices.Sort(parts)
		return fmt.Sprintf("%s %s %s e%d %v", raw.Code(s.ErrorCode), s.State, t.who(side, s.ProducerID), s.ProducerEpoch, parts)
	}); err != nil {
		return err
	}
	for _, stable := range []bool{false, true} {
		if _, err := t.do(fmt.Sprintf("OffsetFetch v8, stable %v", stable), func(int64) kmsg.Request {
			m := kmsg.NewPtrOffsetFetchRequest()
			m.SetVersion(8)
			m.RequireStable = stable
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group = t.id + "-group"
			m.Groups = append(m.Groups, g)
			return m
		}, func(_ int, resp kmsg.Response) string { return offsetsText(resp.(*kmsg.OffsetFetchResponse)) }); err != nil {
			return err
		}
	}
	for p := range int32(txnParts) {
		if _, err := t.do(fmt.Sprint("Fetch of committed records of ", p), func(int64) kmsg.Request {
			m := raw.Fetch(11, t.topic, p, 0, -1, 1<<20)
			m.IsolationLevel = 1
			return m
		}, t.committed); err != nil {
			return err
		}
		if _, err := t.do(fmt.Sprint("DescribeProducers of ", p), func(int64) kmsg.Request { return raw.DescribeProducers(t.topic, p) }, t.producers); err != nil {
			return err
		}
	}
	return nil
}

func offsetsText(m *kmsg.OffsetFetchResponse) string {
	var out []string
	for _, g := range m.Groups {
		out = append(out, raw.Code(g.ErrorCode))
		for _, topic := range g.Topics {
			for _, p := range topic.Partitions {
				out = append(out, fmt.Sprintf("%d: %s %d %q", p.Partition, raw.Code(p.ErrorCode), p.Offset, *p.Metadata))
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (t *transactions) committed(side int, resp kmsg.Response) string {
	p := &resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	out := []string{fmt.Sprintf("%s high watermark %d, last stable offset %d, log start %d", raw.Code(p.ErrorCode), p.HighWatermark, p.LastStableOffset, p.LogStartOffset)}
	for rest := p.RecordBatches; ; {
		b, more, ok := raw.Next(rest)
		if !ok {
			break
		}
		rest = more
		s := fmt.Sprintf("[%d+%d %s e%d s%d attributes %#x", b.Base(), b.LastDelta(), t.who(side, b.PID()), b.PEpoch(), b.Sequence(), b.Attributes())
		b.Records(func(_ int, r raw.Record) {
			if b.Is(raw.Control) {
				s += fmt.Sprintf(" key %x", r.Key)
			}
		})
		out = append(out, s+"]")
	}
	for _, a := range p.AbortedTransactions {
		out = append(out, fmt.Sprintf("aborted %s from %d", t.who(side, a.ProducerID), a.FirstOffset))
	}
	return strings.Join(out, " ")
}

func (t *transactions) producers(side int, resp kmsg.Response) string {
	p := &resp.(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0]
	out := []string{raw.Code(p.ErrorCode)}
	for _, a := range p.ActiveProducers {
		out = append(out, fmt.Sprintf("%s e%d last %d transaction from %d, marked %v", t.who(side, a.ProducerID), a.ProducerEpoch, a.LastSequence, a.CurrentTxnStartOffset, a.CoordinatorEpoch >= 0))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
