package txn

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/program"
	"github.com/spoold/spoold/protocol"
)

// Law: whatever coordinators answer, or do not answer, and whenever: one request is in flight at a
// time; no request goes out after a fatal error; EndTxn is the last request of a transaction and
// always says what the transaction was ended with; a transaction that was ended with commit is
// never told to be aborted, and what Outcome says is what the coordinator answered; the versions of
// one transaction's requests are all of one transaction version; and no transition panics.
func FuzzCoordinatorRequestsFollowTheRules(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
	f.Add([]byte{1, 0, 0, 0, 0, 3, 0, 0, 4, 0, 0, 0, 6, 0, 0, 0, 0, 0, 3, 1, 0, 2})
	f.Add([]byte{0, 0, 0, 0, 1, 3, 9, 9, 9, 7, 7, 7, 7, 200, 100, 50, 25, 12, 6, 3, 1, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := program.New(b)
		m := New(Config{ID: "id", TimeoutMs: 1, RetryBackoffMs: 10})
		m.Finalized(int16(1 + p.Below(2)))
		var flight *Request
		var now int64
		ended, commit := false, false // of the transaction at hand
		for range 300 {
			if !p.More() {
				return
			}
			switch p.Below(10) {
			case 0:
				m.Finalized(int16(1 + p.Below(2)))
			case 1:
				switch m.State() {
				case Uninitialized:
					m.Init()
				case Ready:
					if flight == nil && m.Begin() {
						ended = false
					}
				}
			case 2:
				m.Add(protocol.TopicPartition{Topic: string(rune('a' + p.Below(3))), Partition: int32(p.Below(3))})
			case 3:
				m.AddOffsets(GroupOffsets{Group: Group{ID: string(rune('g' + p.Below(2)))}, Offsets: []Offset{{TopicPartition: a0}, {TopicPartition: b0}}})
			case 4:
				if m.State() == InTransaction && m.Settled() {
					m.Commit()
					ended, commit = true, true
				}
			case 5:
				if m.State() == InTransaction || m.State() == AbortableError {
					m.Abort()
					ended, commit = true, false
				}
			case 6:
				m.Doubt()
			case 7:
				m.Lose(int32(7 + p.Below(2)))
			default:
				if flight == nil {
					r, at := m.Next(now)
					now = max(now, at)
					if r == nil {
						continue
					}
					flight = r
					check(t, m, r, ended, commit)
					if second, _ := m.Next(now + 1000); second != nil {
						t.Fatalf("%v goes out while %v is in flight", second.Kind, r.Kind)
					}
					continue
				}
				r := flight
				flight = nil
				before := m.State()
				reply, code := drawReply(p, r)
				m.Answer(now, reply)
				if before == FatalError && m.State() != FatalError {
					t.Fatalf("a fatal error was left for %v", m.State())
				}
				if r.Kind == EndTxn && reply.Message != nil && code == protocol.None && before != FatalError {
					if want := map[bool]Outcome{true: Committed, false: Aborted}[commit]; m.Outcome() != want {
						t.Fatalf("EndTxn was answered NONE, and the outcome is %v, want %v", m.Outcome(), want)
					}
				}
			}
		}
	})
}

func check(t *testing.T, m *Machine, r *Request, ended, commit bool) {
	switch {
	case m.State() == FatalError:
		t.Fatalf("%v goes out after a fatal error", r.Kind)
	case r.Kind == EndTxn && !ended:
		t.Fatal("EndTxn goes out, and nobody asked for the end")
	case r.Kind == EndTxn && r.Message.(*kmsg.EndTxnRequest).Commit != commit:
		t.Fatalf("EndTxn(commit %v) for a transaction that was ended with commit %v", !commit, commit)
	case (r.Kind == AddPartitions || r.Kind == AddOffsets) && m.Version() != V1:
		t.Fatalf("%v under version %d", r.Kind, m.Version())
	case (r.Kind == AddPartitions || r.Kind == AddOffsets || r.Kind == CommitOffsets) && ended:
		t.Fatalf("%v after the end", r.Kind)
	case (r.Kind == EndTxn || r.Kind == CommitOffsets) && m.Version() == V1 && r.MaxVersion != 4,
		(r.Kind == EndTxn || r.Kind == CommitOffsets) && m.Version() == V2 && r.MinVersion != 5:
		t.Fatalf("%v in versions %d to %d under version %d", r.Kind, r.MinVersion, r.MaxVersion, m.Version())
	}
}

func drawReply(p *program.Program, r *Request) (Reply, protocol.ErrorCode) {
	switch p.Below(6) {
	case 0:
		return Reply{Written: p.Yes(), Lost: "lost"}, 0
	case 1:
		codes := []protocol.ErrorCode{
			protocol.NotCoordinator, protocol.ConcurrentTransactions, protocol.RequestTimedOut, protocol.InvalidTxnState,
			protocol.TransactionAbortable, protocol.ProducerFenced, protocol.UnknownServerError, protocol.UnknownTopicOrPartition,
			protocol.TopicAuthorizationFailed, protocol.ErrorCode(p.Below(200)),
		}
		code := codes[p.Below(len(codes))]
		return Reply{Message: reply(r, code)}, code
	}
	return Reply{Message: reply(r, protocol.None)}, protocol.None
}
