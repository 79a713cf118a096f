package transaction

import (
	"cmp"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// marks are the world's markers.
type marks struct {
	members map[string]bool // topics that the coordinator knows the open transaction to be in
	hangs   map[string]bool // topics where a marker was lost: whether it was of a commit
	lose    int             // of a hundred
	lost    int
	denied  bool               // DescribeProducers is refused
	timeout bool               // the next transaction that carries nothing is aborted by the coordinator
	anew    byte               // how often each topic was created anew
	epoch   int32              // of what is open
	start   int64              // not 0: offset of the first record of what is open
	end     int64              // not 0: where a log ends
	behind  int64              // how much of a log is not replicated
	debug   protocol.ErrorCode // what a debugger is answered
	first   int64              // of the log
	stuck   string             // a topic whose replicated end is not known
	others  int64              // how much of a log is behind an open transaction of somebody else
	undone  bool               // the log says that what is asked for was aborted
	forgot  bool               // the coordinator does not know the decided transaction, and its progress is pending
	moving  int                // DescribeProducers is answered NOT_LEADER_OR_FOLLOWER so often
}

// written: a record of the open transaction is in a topic. Nothing that has ended may be open there.
func (w *world) written(topic string) {
	w.marks.members[topic] = true
	if commit, ok := w.marks.hangs[topic]; ok {
		w.t.Fatalf("a transaction writes to %s, where the marker of one before it (committed: %v) is missing", topic, commit)
	}
}

// marked ends the open transaction: a marker goes to each of its topics, or is lost.
func (w *world) marked(commit bool) {
	for topic := range w.marks.members {
		was, hung := w.marks.hangs[topic]
		if hung && was != commit {
			w.t.Fatalf("a marker (commit: %v) ends in %s a transaction that had ended otherwise", commit, topic)
		}
		if w.rng.IntN(100) < w.marks.lose && (hung || w.open[topic] > 0) {
			w.marks.hangs[topic] = commit
			w.marks.lost++
			continue
		}
		delete(w.marks.hangs, topic)
	}
	clear(w.marks.members)
}

// producers says where a transaction is open.
func (w *world) producers(q *kmsg.DescribeProducersRequest) *kmsg.DescribeProducersResponse {
	out := kmsg.NewPtrDescribeProducersResponse()
	for _, t := range q.Topics {
		rt := kmsg.NewDescribeProducersResponseTopic()
		rt.Topic = t.Topic
		for _, n := range t.Partitions {
			rp := kmsg.NewDescribeProducersResponseTopicPartition()
			rp.Partition = n
			switch {
			case w.marks.denied:
				rp.ErrorCode = int16(protocol.TopicAuthorizationFailed)
			case w.marks.moving > 0 && w.s.starter.phase == searching:
				w.marks.moving--
				rp.ErrorCode = int16(protocol.NotLeaderOrFollower)
			}
			a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
			a.ProducerID, a.ProducerEpoch, a.CurrentTxnStartOffset = 7, w.marks.epoch, -1
			if _, hangs := w.marks.hangs[t.Topic]; hangs || w.open[t.Topic] > 0 {
				a.CurrentTxnStartOffset = max(10, w.marks.start)
			}
			rp.ActiveProducers = append(rp.ActiveProducers, a)
			rt.Partitions = append(rt.Partitions, rp)
		}
		out.Topics = append(out.Topics, rt)
	}
	return out
}

// offsets says where a log ends, and how much of it is replicated: what is new may not be at first.
func (w *world) offsets(q *kmsg.ListOffsetsRequest) *kmsg.ListOffsetsResponse {
	out := kmsg.NewPtrListOffsetsResponse()
	for _, t := range q.Topics {
		rt := kmsg.NewListOffsetsResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.Offset = p.Partition, cmp.Or(w.marks.end, 20)
			_, hangs := w.marks.hangs[t.Topic]
			switch {
			case p.Timestamp == -2:
				rp.Offset = w.marks.first
			case q.IsolationLevel == readCommitted && (hangs || w.open[t.Topic] > 0 || w.marks.behind > 0):
				rp.Offset = max(10, w.marks.start)
			case q.IsolationLevel == readCommitted:
				rp.Offset -= w.marks.others
			case q.ReplicaID == consumerID && t.Topic == w.marks.stuck:
				rp.ErrorCode = int16(protocol.OffsetNotAvailable)
			case q.ReplicaID == consumerID:
				rp.Offset -= w.marks.behind
			default:
				rp.ErrorCode = int16(w.marks.debug)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		out.Topics = append(out.Topics, rt)
	}
	return out
}

// log is what a read_committed reader finds at an offset.
func (w *world) log(q *kmsg.FetchRequest) *kmsg.FetchResponse {
	out := kmsg.NewPtrFetchResponse()
	t, p := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
	t.Topic, p.Partition = q.Topics[0].Topic, q.Topics[0].Partitions[0].Partition
	p.LastStableOffset = 1000
	if _, hangs := w.marks.hangs[t.Topic]; hangs && w.s.starter.phase == searching {
		p.LastStableOffset = 10
	}
	if q.Topics[0].Partitions[0].FetchOffset < w.marks.first {
		p.ErrorCode = int16(protocol.OffsetOutOfRange)
	}
	p.RecordBatches = make([]byte, protocol.BatchHeaderSize)
	protocol.WriteBatchHeader(p.RecordBatches, protocol.BatchHeader{Identity: w.asked(), Count: 3})
	binary.BigEndian.PutUint64(p.RecordBatches, uint64(q.Topics[0].Partitions[0].FetchOffset))
	if w.marks.undone {
		p.AbortedTransactions = append(p.AbortedTransactions, kmsg.FetchResponseTopicPartitionAbortedTransaction{ProducerID: 7, FirstOffset: 10})
	}
	t.Partitions = append(t.Partitions, p)
	out.Topics = append(out.Topics, t)
	return out
}

// asked is the producer whose records are looked for.
func (w *world) asked() protocol.ProducerIdentity {
	if len(w.s.markers.waiting) > 0 {
		return w.s.markers.waiting[0].d.Identity
	}
	return w.disk.Decision.Identity
}

// Law: whatever markers a broker loses, under commits and aborts, no marker ends what had ended otherwise, nothing is written
// where one is missing, each is written in the end, and everything leaves the spool once.
func TestLostMarkersAreWrittenBeforeAnythingElseIs(t *testing.T) {
	lost := 0
	for seed := range uint64(60) {
		for _, version := range []int16{1, 2} {
			w := newWorld(t, seed, version, "a", "b", "c")
			w.longest, w.marks.lose = 1<<30, 30
			total := 0
			for range 30 {
				lanes := w.rng.Perm(3)[:1+w.rng.IntN(3)]
				n := 1 + w.rng.IntN(5)
				w.spooled(n, lanes...)
				total += n * len(lanes)
				for range w.rng.IntN(40) {
					w.step()
				}
				if w.rng.IntN(3) == 0 && w.s.sending != nil && w.s.sending.healing == nil {
					e, err := w.s.Operate(w.now, sender.TransactionAbort)
					if w.do(e); err != nil && w.s.sending != nil {
						t.Fatal(err)
					}
				}
				w.now.Age += int64(w.rng.IntN(200))
				w.do(w.s.Tick(w.now))
			}
			w.marks.lose = 0
			w.run()
			if w.committed != total {
				t.Fatalf("seed %d, version %d: %d records in committed transactions, want %d", seed, version, w.committed, total)
			}
			if len(w.marks.hangs) > 0 || len(w.disk.Unconfirmed) > 0 {
				t.Fatalf("seed %d, version %d: markers are missing in %v, not confirmed are %+v", seed, version, w.marks.hangs, w.disk.Unconfirmed)
			}
			lost += w.marks.lost
		}
	}
	if lost < 100 {
		t.Fatalf("%d markers were lost: the test shows nothing", lost)
	}
}

// A process that ends before the markers of a committed transaction were seen leaves it to the next one.
func TestAStartLooksForTheMarkersOfWhatWasCommittedBefore(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := lostMarker(t, version)
		w.restarted(version)
		w.run()
		if w.committed != 3 || len(w.marks.hangs) > 0 || len(w.disk.Unconfirmed) > 0 || w.s.markers.healed != 1 {
			t.Fatalf("version %d: %d committed, markers missing %v, unconfirmed %v, written %d", version, w.committed, w.marks.hangs, w.disk.Unconfirmed, w.s.markers.healed)
		}
	}
}

// lostMarker is a world in which the marker of a committed transaction with three records was lost.
func lostMarker(t *testing.T, version int16) *world {
	t.Helper()
	w := newWorld(t, 1, version, "a")
	w.marks.lose = 100
	w.spooled(3, 0)
	for range 10_000 {
		if len(w.disk.Unconfirmed) > 0 {
			break
		}
		if !w.step() {
			w.now.Age += 5
			w.do(w.s.Tick(w.now))
		}
	}
	if len(w.disk.Unconfirmed) != 1 || w.settled[0] != 0 {
		t.Fatalf("version %d: on the disk is %+v, and %d records are settled", version, w.disk, w.settled[0])
	}
	if commit, hung := w.marks.hangs["a"]; !hung || !commit {
		t.Fatalf("version %d: no marker was lost", version)
	}
	w.marks.lose = 0
	return w
}

// The coordinator's time-out aborts the transaction that was to write the marker of a commit: the log says so, and the records go again.
func TestRecordsGoAgainWhoseMarkerWasWrittenWrongly(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := lostMarker(t, version)
		w.longest, w.marks.timeout = 1<<30, true
		w.run()
		if w.committed != 6 || w.settled[0] != 3 || len(w.disk.Unconfirmed) > 0 {
			t.Fatalf("version %d: %d committed, %d settled, unconfirmed %v", version, w.committed, w.settled[0], w.disk.Unconfirmed)
		}
	}
}

// The same, and the process ends before it sees that: the next one goes by what was written down before the marker was to be written.
func TestTheNextProcessSendsAgainWhatWasMarkedWrongly(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := lostMarker(t, version)
		w.longest = 1 << 30
		for range 10_000 {
			if len(w.disk.Unconfirmed[0].Partitions[0].Spans) > 0 {
				break
			}
			if !w.step() {
				w.pass(1)
			}
		}
		if spans := w.disk.Unconfirmed[0].Partitions[0].Spans; !slices.Equal(spans, []spool.Span{{First: 0, End: 3}}) {
			t.Fatalf("version %d: written down is %v", version, spans)
		}
		clear(w.marks.hangs)
		w.marks.undone = true
		for range 2 { // processes: the second one finds nothing to do
			w.restarted(version)
			w.spooled(1, 0)
			w.run()
		}
		if w.committed != 8 || w.settled[0] != 5 || len(w.disk.Unconfirmed)+len(w.disk.Parked) > 0 {
			t.Fatalf("version %d: %d committed, %d settled, unconfirmed %v, parked %v", version, w.committed, w.settled[0], w.disk.Unconfirmed, w.disk.Parked)
		}
	}
}

// A process had seen the marker of its committed transaction, and opened the next one. That was aborted by the start of the next
// process, and the marker of the abort was lost: it was taken for that of the commit, and what was aborted was committed.
func TestALostAbortBehindACommitIsWrittenAsAnAbort(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := lostMarker(t, version)
		w.longest, w.marks.start = 1<<30, 20
		w.marks.hangs["a"] = false
		w.restarted(version)
		w.spooled(1, 0)
		w.run()
		if w.committed != 4 || w.settled[0] != 4 || len(w.marks.hangs)+len(w.disk.Unconfirmed) > 0 || w.s.markers.healed != 1 {
			t.Errorf("version %d: %d committed, %d settled, markers missing %v, unconfirmed %v, written %d",
				version, w.committed, w.settled[0], w.marks.hangs, w.disk.Unconfirmed, w.s.markers.healed)
		}
	}
}

// The next process does not know which records were in which partition: an operator has to decide.
func TestATransactionIsParkedIfAFormerProcessMarkedItWrongly(t *testing.T) {
	w := lostMarker(t, 2)
	w.longest = 1 << 30
	clear(w.marks.hangs)
	w.marks.undone = true
	w.restarted(2)
	for range 10_000 {
		if !w.step() {
			w.now.Age += 20
			w.do(w.s.Tick(w.now))
		}
	}
	if len(w.disk.Parked) != 1 || len(w.disk.Unconfirmed) > 0 || w.settled[0] != 0 || w.committed != 3 {
		t.Fatalf("parked %v, unconfirmed %v, %d settled, %d committed", w.disk.Parked, w.disk.Unconfirmed, w.settled[0], w.committed)
	}
	e, err := w.s.Operate(w.now, sender.TransactionAborted)
	if w.do(e); err != nil {
		t.Fatal(err)
	}
	w.run()
	if w.committed != 6 {
		t.Fatalf("%d committed", w.committed)
	}
}

// restarted has another process go on from the disk.
func (w *world) restarted(version int16) {
	rec := spool.NewState().Recovered()
	rec.SpoolID, rec.Incarnation, rec.Transaction = "us", 2, w.disk
	for id := range spool.LaneID(len(w.next)) {
		l := spool.Lane{ID: id, Topic: w.topics[id], End: w.next[id], Settled: spool.NewSet(spool.Index(w.settled[id]))}
		l.TopicID[0] = w.topics[id][0]
		rec.Lanes = append(rec.Lanes, l)
	}
	w.writes, w.requests, w.feeds = nil, nil, nil
	w.s = New(w.s.cfg, rec)
	w.version(version)
	w.do(w.s.Start(w.now))
}

// It is not taken for the marker that the right to read the topic is gone, where the leader has shown that the transaction is open.
func TestARightThatIsTakenAwayShowsNoMarker(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := lostMarker(t, version)
		w.longest = 1 << 30
		for w.s.markers.open[0].looks == 0 {
			if !w.step() {
				w.pass(5)
			}
		}
		w.marks.denied = true
		w.run()
		if w.committed != 3 || w.s.markers.healed != 1 || len(w.marks.hangs) > 0 {
			t.Errorf("version %d: %d committed, %d markers written, missing %v", version, w.committed, w.s.markers.healed, w.marks.hangs)
		}
	}
}

// Two transactions wait for their markers, and the later one wrote wherever the earlier one did, so that it confirms that one. A start
// wrote that none was waited for, and the next start sent the later one's records again.
func TestAStartKeepsTheLaterOfTwoThatWaitForTheirMarkers(t *testing.T) {
	for _, version := range []int16{1, 2} {
		w := lostMarker(t, version)
		earlier := w.disk.Unconfirmed[0]
		earlier.Ordinal, earlier.Cut = earlier.Ordinal-1, nil
		w.disk.Unconfirmed = []spool.Decision{earlier, w.disk.Unconfirmed[0]}
		w.restarted(version)
		var next *spool.Transaction
		for i := range w.writes {
			next = cmp.Or(w.writes[i].Transaction, next)
		}
		if next == nil || len(next.Unconfirmed) != 1 || len(next.Unconfirmed[0].Cut) != 1 {
			t.Fatalf("version %d: a start writes down %+v", version, next)
		}
		w.run()
		if w.committed != 3 || w.settled[0] != 3 || len(w.disk.Unconfirmed) > 0 {
			t.Fatalf("version %d: %d committed, %d settled, unconfirmed %v", version, w.committed, w.settled[0], w.disk.Unconfirmed)
		}
	}
}
