//go:build kafka

package txn_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/link"
	"github.com/spoold/spoold/integration/poll"
)

// history is one broker behind a link, and the library before it.
type history struct {
	t   *testing.T
	c   *kafka.Cluster
	l   *ledger
	set map[string]string
	own string // what its transactional ids end with
}

const (
	produce         = 0 // API keys
	endTxn          = 26
	writeTxnMarkers = 27
)

func newHistory(t *testing.T, version int, props map[string]string) *history {
	return historyOn(t, linked(t, version, props))
}

// linked is one broker behind a link.
func linked(t *testing.T, version int, props map[string]string) *kafka.Cluster {
	return clusterOf(t, kafka.Options{Faults: true, Props: props, FormatArgs: []string{"-f", fmt.Sprint("transaction.version=", version)}})
}

// historyOn begins on a broker that has nothing of the history.
func historyOn(t *testing.T, c *kafka.Cluster) *history {
	h := &history{t: t, c: c, l: &ledger{spooled: map[int]bool{}, next: 1}}
	h.set = settings(t, h.c)
	h.set["request.timeout.ms"] = "3000"
	return h
}

// several has histories follow each other on one broker, each with topics and transactional ids of its own.
func several(t *testing.T, c *kafka.Cluster, names []string, f func(h *history, k int)) {
	for k, name := range names {
		t.Run(name, func(t *testing.T) {
			for _, topic := range topics {
				if k == 0 {
					break
				}
				if err := c.DeleteTopic(t.Context(), topic); err != nil {
					t.Fatal(err)
				}
				if err := c.CreateTopic(t.Context(), topic, 3, nil); err != nil {
					t.Fatal(err)
				}
			}
			h := historyOn(t, c)
			h.own = fmt.Sprint("-", k)
			h.set["transactional.id"] += h.own
			f(h, k)
		})
	}
}

func (h *history) link() *link.Link { return h.c.Links()[0] }

// open opens a spool, with settings of its own over those of the history.
func (h *history) open(own map[string]string, env spoold.Env) *spoold.Producer {
	h.t.Helper()
	cfg := spoold.DefaultConfig()
	set := maps.Clone(h.set)
	maps.Copy(set, own)
	for k, v := range set {
		if err := cfg.Set(k, v); err != nil {
			h.t.Fatal(err)
		}
	}
	p, err := spoold.Open(cfg, env)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { h.end(p) })
	return p
}

// end closes at once, as if the host had ended: what is open stays open.
func (h *history) end(p *spoold.Producer) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = p.Close(ctx) // it may have stopped before
}

// units commits n more units.
func (h *history) units(p *spoold.Producer, n int) {
	h.t.Helper()
	for range n {
		d, err := p.SendBatch(h.t.Context(), spoold.Batch{Records: unitRecords(h.l.next)})
		if err == nil {
			err = d.Spooled(h.t.Context())
		}
		if err != nil {
			h.t.Fatal(err)
		}
		h.l.spooled[h.l.next] = true
		h.l.next++
	}
}

func (h *history) flush(p *spoold.Producer) {
	h.t.Helper()
	limit, cancel := context.WithTimeout(h.t.Context(), 90*time.Second)
	defer cancel()
	if err := p.Flush(limit); err != nil {
		st := p.Status()
		h.t.Fatalf("%v: %+v %+v", err, st.Transaction, st.Topics)
	}
}

// outage commits units, and has the link go at a request of an API: with its answer, or before it.
func (h *history) outage(p *spoold.Producer, api int16, fault link.Fault) {
	h.t.Helper()
	gone, ends := make(chan bool), h.ends()
	h.link().Aim(api, fault, func() {
		served := fault != link.DropAnswer || poll.Within(60*time.Second, func() bool {
			if api == endTxn {
				return h.state() == "CompleteCommit"
			}
			return h.ends() > ends
		})
		h.link().Refuse()
		gone <- served
	})
	h.units(p, 5)
	select {
	case served := <-gone:
		if !served {
			h.t.Fatalf("the broker has not done what request %d asked for", api)
		}
	case <-time.After(60 * time.Second):
		h.t.Fatalf("no request of API %d came: %+v", api, p.Status().Transaction)
	}
}

// ends is where the logs of all topics end, added up; -1: it cannot be asked.
func (h *history) ends() (sum int64) {
	list, err := h.c.Admin().ListEndOffsets(h.t.Context(), topics...)
	if err != nil || list.Error() != nil {
		return -1
	}
	list.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	return sum
}

// state is what the coordinator says of the transactional id.
func (h *history) state() (state string) {
	listed, err := h.c.Admin().ListTransactions(h.t.Context(), nil, nil)
	if err != nil {
		return err.Error()
	}
	listed.Each(func(x kadm.ListedTransaction) {
		if x.TxnID == "orders"+h.own {
			state = x.State
		}
	})
	return state
}

func (h *history) heal() {
	h.t.Helper()
	if err := h.link().Heal(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *history) until(p *spoold.Producer, what string, ok func(*spoold.Status) bool) {
	h.t.Helper()
	if !poll.Within(60*time.Second, func() bool { return ok(p.Status()) }) {
		st := p.Status()
		h.t.Fatalf("%s never came to pass: %+v %+v", what, st.Transaction, st.Topics)
	}
}

// The coordinator aborts what is open for longer than its time-out, and raises the epoch. That is no other producer: delivery goes
// on by itself when the link is back.
func TestATimeoutDuringAnOutageIsNotTakenForAnotherProducer(t *testing.T) {
	eachVersion(t, func(t *testing.T, version int) {
		h := newHistory(t, version, map[string]string{"transaction.abort.timed.out.transaction.cleanup.interval.ms": "300"})
		h.set["transaction.timeout.ms"] = "2000"
		p := h.open(nil, spoold.Env{})
		h.units(p, 20)
		h.flush(p)
		h.outage(p, endTxn, link.DropRequest)
		if !poll.Within(60*time.Second, func() bool { return h.state() == "CompleteAbort" }) {
			t.Fatal("the coordinator has aborted nothing")
		}
		h.heal()
		h.flush(p)
		h.units(p, 20)
		h.flush(p)
		if st := p.Status().Transaction; st.Fenced != "" {
			t.Errorf("its own time-out is taken for another producer: %s", st.Fenced)
		}
		h.end(p)
		h.l.verify(t, h.c)
	})
}

// A clone of the host begins while the original is inside a transaction. Nobody can tell which of both is the right one; one
// of them is fenced, and each unit arrives once.
func TestACloneInsideATransactionDeliversEachUnitOnce(t *testing.T) {
	apis, faults := []int16{produce, produce, endTxn, endTxn}, []link.Fault{link.DropRequest, link.DropAnswer, link.DropRequest, link.DropAnswer}
	var names []string
	for k := range apis {
		names = append(names, fmt.Sprint("API ", apis[k], " ", faults[k]))
	}
	several(t, linked(t, 2, nil), names, func(h *history, k int) { h.clone(apis[k], faults[k]) })
}

func (h *history) clone(api int16, fault link.Fault) {
	t := h.t
	p := h.open(nil, spoold.Env{})
	h.units(p, 20)
	h.flush(p)
	h.outage(p, api, fault)
	clone := t.TempDir()
	if out, err := exec.Command("cp", "-a", h.set["spool.path"]+"/.", clone).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	q := h.open(map[string]string{"spool.path": clone, "bootstrap.servers": h.c.Direct()}, spoold.Env{
		AdoptSpool: true, Dial: direct(h.c)})
	h.flush(q)
	h.heal()
	// The first that has to take the id anew fences the other, which notices when it has something to send, and keeps that.
	fenced := func(st *spoold.Status) bool { return st.Transaction.State == "fenced" || st.State != "running" }
	h.units(p, 1)
	h.until(p, "the original's end", func(st *spoold.Status) bool { return fenced(st) || st.Pending == 0 })
	if !fenced(p.Status()) {
		h.units(q, 1)
		h.until(q, "the clone's end", fenced)
	}
	delete(h.l.spooled, h.l.next-1)
	h.end(p)
	h.end(q)
	h.l.verify(t, h.c)
}

// What is in doubt is ended in the way that it was begun, before records go in another way: without transactions, under an id, under
// another one, and without again.
func TestAnotherIdOrModeEndsWhatIsInDoubtFirst(t *testing.T) {
	faults := []link.Fault{link.DropRequest, link.DropAnswer}
	several(t, linked(t, 2, nil), []string{fmt.Sprint(faults[0]), fmt.Sprint(faults[1])}, func(h *history, k int) {
		under := func(id string) map[string]string {
			if id != "" {
				id += h.own
			}
			return map[string]string{"transactional.id": id}
		}
		for _, step := range []struct {
			id  string
			api int16
		}{{"", produce}, {"orders", endTxn}, {"invoices", produce}, {"orders", endTxn}, {"", produce}} {
			p := h.open(under(step.id), spoold.Env{})
			h.units(p, 10)
			h.flush(p)
			h.outage(p, step.api, faults[k])
			h.end(p)
			h.heal()
		}
		p := h.open(under("last"), spoold.Env{})
		h.units(p, 10)
		h.flush(p)
		h.end(p)
		h.l.verify(h.t, h.c)
	})
}

// A host ends inside a transaction, and the next start has another transactional id, or none. It ends what is open under the former one:
// readers of committed records would wait for its time-out of a minute.
func TestAnotherIdOrModeEndsWhatIsOpenFirst(t *testing.T) {
	h := newHistory(t, 2, nil)
	for _, id := range []string{"invoices", ""} {
		p := h.open(nil, spoold.Env{})
		h.units(p, 10)
		h.flush(p)
		h.outage(p, produce, link.DropAnswer)
		h.end(p)
		h.heal()
		if got := h.state(); got != "Ongoing" {
			t.Fatalf("the transaction is %s, want one that is open", got)
		}
		began := time.Now()
		q := h.open(map[string]string{"transactional.id": id}, spoold.Env{})
		if !poll.Within(40*time.Second, func() bool { return h.state() == "Empty" }) { // it was aborted, and initialised
			t.Fatalf("under transactional id %q the former one's transaction is still %s", id, h.state())
		}
		t.Logf("under transactional id %q it has ended after %v", id, time.Since(began).Round(time.Millisecond))
		h.flush(q)
		h.end(q)
	}
	h.l.verify(t, h.c)
}

// One topic may not be written to. Its units wait, and with them what stands behind them; all others go on.
func TestATopicWithoutTheRightHoldsOnlyItsUnitsUp(t *testing.T) {
	h := newHistory(t, 2, map[string]string{
		"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer", "allow.everyone.if.no.acl.found": "true",
	})
	deny := kadm.NewACLs().Topics("b").ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpWrite).Deny("User:ANONYMOUS").DenyHosts("*")
	if _, err := h.c.Admin().CreateACLs(t.Context(), deny); err != nil {
		t.Fatal(err)
	}
	p := h.open(nil, spoold.Env{})
	send := func(n int, topic string) spoold.Deliveries {
		t.Helper()
		d, err := p.SendBatch(t.Context(), spoold.Batch{Records: []spoold.Record{{Topic: topic, Value: fmt.Appendf(nil, "%d 0 1", n)}}})
		if err != nil {
			t.Fatal(err)
		}
		h.l.spooled[n] = true
		return d
	}
	ahead, stuck, other := send(1, "a"), send(2, "b"), send(3, "c")
	limit, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for _, d := range []spoold.Deliveries{ahead, other} {
		if _, err := d.Acked(limit); err != nil {
			t.Fatalf("%v: %+v", err, p.Status().Topics)
		}
	}
	h.until(p, "the missing right is shown", func(st *spoold.Status) bool {
		for _, topic := range st.Topics {
			if topic.Topic == "b" && topic.Trouble != "" {
				return true
			}
		}
		return false
	})
	if _, err := h.c.Admin().DeleteACLs(t.Context(), deny); err != nil {
		t.Fatal(err)
	}
	if _, err := stuck.Acked(limit); err != nil {
		t.Fatalf("%v: %+v", err, p.Status().Topics)
	}
	h.end(p)
	h.l.verify(t, h.c)
}

// direct dials the only broker past its link.
func direct(c *kafka.Cluster) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, c.Direct())
	}
}
