package transaction

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// world is a spool, a disk that is slow and a cluster of one broker that answers in its own time, all
// in one goroutine. It checks the rules of transactions on everything that goes by.
type world struct {
	t      *testing.T
	rng    *rand.Rand
	s      *Sender
	now    spool.Time
	topics []string

	entries map[spool.LaneID][][]byte
	settled map[spool.LaneID]int
	next    map[spool.LaneID]spool.Index

	disk     spool.Transaction // what is durable
	writes   []*spool.Write    // submitted, in order
	requests []sender.Request  // not answered
	feeds    []sender.Feed

	epoch      int16
	open       map[string]int // records in the open transaction, by topic
	offered    int64          // ordinal that it carries
	committed  int            // records in committed transactions
	progress   int64
	ends       int
	wants      int32 // one above the partition that the last record of a topic in a unit is spooled for; 0: the partitioner chooses
	longest    int32 // not 0: transaction.max.timeout.ms, and transactions may be aborted
	marks      marks
	given      map[sequence]spool.Index // which record got a sequence
	unreadable string                   // a topic without READ: no offset is committed for it
	inits      []string                 // transactional ids that were initialised
	denied     string                   // a transactional id that may not be
	others     []string                 // other spools that have progress under the id
	dead       int                      // letters
	refuse     func(*accumulator.Batch, *kmsg.ProduceResponseTopicPartition) bool
}

func newWorld(t *testing.T, seed uint64, version int16, topics ...string) *world {
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), topics: topics, entries: map[spool.LaneID][][]byte{},
		settled: map[spool.LaneID]int{}, next: map[spool.LaneID]spool.Index{}, open: map[string]int{}, progress: -1,
		marks: marks{members: map[string]bool{}, hangs: map[string]bool{}},
	}
	rec := spool.NewState().Recovered()
	rec.SpoolID, rec.Incarnation = "us", 1
	w.s = New(Config{
		Config: sender.Config{
			BatchSize: 128 << 10, BufferMemory: 32 << 20, MaxRequestSize: 1 << 20, MaxInFlight: 5, RequestTimeoutMs: 30_000,
			RetryBackoffMs: 100, RetryBackoffMaxMs: 1000, MetadataMaxAgeMs: 300_000, MetadataMaxIdleMs: 300_000,
		},
		ID: "id", TimeoutMs: 60_000, MaxBytes: 64 << 20, MaxRecords: 200_000,
	}, rec)
	w.version(version)
	w.do(w.s.Start(w.now))
	return w
}

func (w *world) version(v int16) { w.s.starter.version, w.s.starter.versionsAt = v, 1 }

// do takes effects.
func (w *world) do(e *sender.Effects) {
	if e.Stop != nil {
		w.t.Fatalf("stopped: %v", e.Stop)
	}
	if e.Write != nil {
		w.writes = append(w.writes, e.Write)
	}
	for _, x := range e.Events {
		if end, ok := x.(sender.TransactionEnded); ok && !end.Committed && w.longest == 0 {
			w.t.Fatalf("aborted: %+v", end)
		}
	}
	w.feeds = append(w.feeds, e.Feed...)
	for _, r := range e.Requests {
		r.Batches = slices.Clone(r.Batches)
		w.check(&r)
		w.requests = append(w.requests, r)
	}
}

// check: the decision is durable before EndTxn(commit) leaves, and what became of it before anything of
// the next transaction does.
func (w *world) check(r *sender.Request) {
	d := &w.disk.Decision
	switch q := r.Message.(type) {
	case *kmsg.EndTxnRequest:
		if q.Commit && (!d.Open() || d.Identity.Epoch != protocol.ProducerEpoch(q.ProducerEpoch)) {
			w.t.Fatalf("EndTxn(commit) under epoch %d, and on the disk is %+v", q.ProducerEpoch, d)
		}
	case *kmsg.AddPartitionsToTxnRequest, *kmsg.AddOffsetsToTxnRequest, *kmsg.TxnOffsetCommitRequest:
		if d.Open() && len(d.Cut) > 0 { // else it writes markers that are missing, which is decided on before
			w.t.Fatalf("%T of the next transaction, and the outcome of %d is not on the disk", q, d.Ordinal)
		}
	}
	if r.Kind == sender.KindProduce && d.Open() {
		w.t.Fatalf("Produce of the next transaction, and the outcome of %d is not on the disk", d.Ordinal)
	}
}

// spooled commits one unit with n records in each of some topics.
func (w *world) spooled(n int, lanes ...int) {
	c := &spool.Committed{}
	var runs []spool.UnitRun
	for _, k := range lanes {
		id := spool.LaneID(k)
		if _, ok := w.next[id]; !ok {
			for i := len(w.next); i <= k; i++ {
				w.next[spool.LaneID(i)] = 0
				c.Lanes = append(c.Lanes, spool.NewLane{ID: spool.LaneID(i), Topic: w.topics[i]})
			}
		}
		runs = append(runs, spool.UnitRun{Lane: id, First: w.next[id], Count: n})
	}
	for _, r := range runs {
		var b []byte
		for i := range n {
			at, to := len(b), int32(-1)
			if i == n-1 {
				to = w.wants - 1
			}
			if i == 0 && (n > 1 || len(runs) > 1) {
				b = spool.AppendUnitEntry(b, runs, 1, to, nil, []byte("v"), nil, spool.BodySize(nil, []byte("v"), nil))
			} else {
				b = spool.AppendEntry(b, 1, to, nil, []byte("v"), nil, spool.BodySize(nil, []byte("v"), nil))
			}
			w.entries[r.Lane] = append(w.entries[r.Lane], b[at:len(b):len(b)])
		}
		c.Sections = append(c.Sections, spool.Section{Lane: r.Lane, Spans: []spool.Span{r.Span()}, Bytes: b})
		w.next[r.Lane] = r.Span().End
	}
	w.do(w.s.Committed(w.now, c))
}

// step lets one thing happen, and reports false if nothing can but time.
func (w *world) step() bool {
	n := min(len(w.writes), 1) + len(w.requests) + len(w.feeds)
	if n == 0 {
		return false
	}
	w.now.Age++
	k := w.rng.IntN(n)
	switch {
	case k < len(w.requests):
		if w.requests[k].Kind == sender.KindProduce { // a connection's answers come in order
			k = slices.IndexFunc(w.requests, func(r sender.Request) bool { return r.Kind == sender.KindProduce })
		}
		r := w.requests[k]
		w.requests = slices.Delete(w.requests, k, k+1)
		w.do(w.s.Handle(w.now, w.answer(&r)))
	case k < len(w.requests)+len(w.feeds):
		f := w.feeds[0]
		w.feeds = w.feeds[1:]
		var b []byte
		for _, e := range w.entries[f.Lane][f.From:] {
			b = append(b, e...)
		}
		end := spool.Index(len(w.entries[f.Lane]))
		w.do(w.s.Fed(w.now, &sender.Fed{ID: f.ID, Lane: f.Lane, From: f.From, Next: end,
			Sections: []spool.Section{{Lane: f.Lane, Spans: []spool.Span{{First: f.From, End: end}}, Bytes: b}}}))
	default:
		x := w.writes[0]
		w.writes = w.writes[1:]
		if x.Transaction != nil {
			w.disk = *x.Transaction
		}
		w.dead += len(x.DeadLetters)
		for _, st := range x.Settle {
			for _, sp := range st.Spans {
				w.settled[st.Lane] += sp.Len()
			}
		}
		w.do(w.s.Committed(w.now, &spool.Committed{Writes: x.ID}))
	}
	return true
}

// run lets things happen until nothing is left to do.
func (w *world) run() {
	for range 100_000 {
		if w.step() {
			continue
		}
		done := true
		for id, end := range w.next {
			done = done && w.settled[id] == int(end)
		}
		if done {
			return
		}
		w.now.Age += 20
		w.do(w.s.Tick(w.now))
	}
	w.t.Fatalf("not delivered: settled %v of %v, %+v", w.settled, w.next, w.s.Status(w.now).Transaction)
}

func (w *world) answer(r *sender.Request) sender.Response {
	resp := sender.Response{ID: r.ID, Conn: sender.Conn{Broker: r.Broker}}
	if r.Kind == sender.KindProduce {
		out := kmsg.NewPtrProduceResponse()
		for _, b := range r.Batches {
			if b.Identity.Epoch != protocol.ProducerEpoch(w.epoch) {
				w.t.Fatalf("a batch under epoch %d, the coordinator is at %d", b.Identity.Epoch, w.epoch)
			}
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic = b.Topic
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.BaseOffset = b.Partition, 10
			if w.refuse == nil || !w.refuse(b, &rp) {
				w.open[b.Topic] += int(b.Count)
				w.written(b.Topic)
				w.once(b)
			}
			rt.Partitions = append(rt.Partitions, rp)
			out.Topics = append(out.Topics, rt)
		}
		resp.Message = out
		return resp
	}
	switch q := r.Message.(type) {
	case *kmsg.MetadataRequest:
		out := kmsg.NewPtrMetadataResponse()
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID = 1
		out.Brokers = append(out.Brokers, b)
		for _, t := range q.Topics {
			rt := kmsg.NewMetadataResponseTopic()
			rt.Topic, rt.TopicID[0], rt.TopicID[1] = t.Topic, (*t.Topic)[0], w.marks.anew
			rp := kmsg.NewMetadataResponseTopicPartition()
			rp.Leader = 1
			rt.Partitions = append(rt.Partitions, rp)
			out.Topics = append(out.Topics, rt)
		}
		resp.Message = out
	case *kmsg.ApiVersionsRequest:
		out := kmsg.NewPtrApiVersionsResponse()
		f := kmsg.NewApiVersionsResponseFinalizedFeature()
		f.Name, f.MaxVersionLevel = "transaction.version", w.s.starter.version
		out.FinalizedFeatures = append(out.FinalizedFeatures, f)
		resp.Message = out
	case *kmsg.FindCoordinatorRequest:
		out := kmsg.NewPtrFindCoordinatorResponse()
		c := kmsg.NewFindCoordinatorResponseCoordinator()
		c.NodeID = 1
		out.Coordinators = append(out.Coordinators, c)
		resp.Message = out
	case *kmsg.OffsetFetchRequest:
		resp.Message = w.othersProgress()
	case *kmsg.InitProducerIDRequest:
		out := kmsg.NewPtrInitProducerIDResponse()
		w.inits = append(w.inits, *q.TransactionalID)
		if w.denied == *q.TransactionalID {
			out.ErrorCode = int16(protocol.TransactionalIDAuthorizationFailed)
			resp.Message = out
			break
		}
		if w.longest > 0 && q.TransactionTimeoutMillis > w.longest {
			out.ErrorCode = int16(protocol.InvalidTransactionTimeout)
			resp.Message = out
			break
		}
		w.epoch++
		w.marked(false)
		clear(w.open)
		out.ProducerID, out.ProducerEpoch = 7, w.epoch
		resp.Message = out
	case *kmsg.AddPartitionsToTxnRequest:
		resp.Message = w.added(q)
	case *kmsg.AddOffsetsToTxnRequest:
		resp.Message = kmsg.NewPtrAddOffsetsToTxnResponse()
	case *kmsg.TxnOffsetCommitRequest:
		out := kmsg.NewPtrTxnOffsetCommitResponse()
		rt := kmsg.NewTxnOffsetCommitResponseTopic()
		rt.Topic = q.Topics[0].Topic
		rp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
		if rt.Topic == w.unreadable {
			rp.ErrorCode = int16(protocol.TopicAuthorizationFailed)
		}
		rt.Partitions = append(rt.Partitions, rp)
		out.Topics = append(out.Topics, rt)
		w.offered = q.Topics[0].Partitions[0].Offset
		resp.Message = out
	case *kmsg.EndTxnRequest:
		out := kmsg.NewPtrEndTxnResponse()
		if w.s.starter.version >= 2 {
			w.epoch++
		}
		out.ProducerID, out.ProducerEpoch = 7, w.epoch
		if w.marks.timeout && len(w.disk.Decision.Cut) == 0 { // the coordinator has aborted it
			w.marks.timeout = false
			clear(w.marks.hangs)
			clear(w.marks.members)
			w.marks.undone = true
			out.ErrorCode = int16(protocol.InvalidTxnState)
			resp.Message = out
			break
		}
		if w.marks.forgot && w.s.starter.phase == finishing {
			out.ErrorCode = int16(protocol.InvalidProducerEpoch)
			resp.Message = out
			break
		}
		w.ends++
		w.marked(q.Commit)
		if q.Commit {
			w.whole()
			w.progress = w.offered
		}
		clear(w.open)
		resp.Message = out
	case *kmsg.DescribeTransactionsRequest:
		out := kmsg.NewPtrDescribeTransactionsResponse()
		st := kmsg.NewDescribeTransactionsResponseTransactionState()
		st.TransactionalID, st.State, st.ProducerID, st.ProducerEpoch, st.StartTimestamp = "id", "Ongoing", 7, w.epoch, 5
		if w.marks.forgot {
			st.State, st.StartTimestamp = "Empty", -1
		}
		out.TransactionStates = append(out.TransactionStates, st)
		resp.Message = out
	case *kmsg.DescribeProducersRequest:
		resp.Message = w.producers(q)
	case *kmsg.ListOffsetsRequest:
		resp.Message = w.offsets(q)
	case *kmsg.FetchRequest:
		resp.Message = w.log(q)
	case nil:
		// a connection
	default:
		w.t.Fatalf("unexpected %T", q)
	}
	return resp
}

// whole: what a transaction carries is what was decided on.
func (w *world) whole() {
	want := map[string]int{}
	for _, x := range w.disk.Decision.Cut {
		want[w.topics[x.Lane]] += x.Len()
	}
	if fmt.Sprint(want) != fmt.Sprint(w.open) {
		w.t.Fatalf("the transaction has %v, decided was %v", w.open, want)
	}
	for _, n := range w.open {
		w.committed += n
	}
}

// Law: in any order of answers and syncs, a transaction carries what was decided on, EndTxn(commit) leaves
// after the decision is durable, the next transaction begins after the outcome is, and everything leaves
// the spool once.
func TestDecisionAndOutcomeAreDurableInTime(t *testing.T) {
	for seed := range uint64(60) {
		for _, version := range []int16{1, 2} {
			w := newWorld(t, seed, version, "a", "b", "c")
			total := 0
			for range 30 {
				lanes := w.rng.Perm(3)[:1+w.rng.IntN(3)]
				n := 1 + w.rng.IntN(5)
				w.spooled(n, lanes...)
				total += n * len(lanes)
				for range w.rng.IntN(20) {
					w.step()
				}
			}
			w.run()
			if w.committed != total {
				t.Fatalf("seed %d, version %d: %d records in committed transactions, want %d", seed, version, w.committed, total)
			}
			if w.progress != int64(w.disk.Decision.Ordinal) || int(w.disk.Decision.Ordinal) != w.ends {
				t.Fatalf("progress %d, ordinal %d, %d ends", w.progress, w.disk.Decision.Ordinal, w.ends)
			}
		}
	}
}
