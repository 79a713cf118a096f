package sender

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender/cluster"
)

// cloneCheck is a start's question to the leaders of all partitions that its pending records may go to: is the last
// start's producer id known there beyond what this spool sent under it? Then this spool is an older copy (P11), and
// others have sent those records meanwhile. It comes before a new producer id is asked for, so before anything new is
// sent: a partition is otherwise asked only when it is its turn, and records without a key are not sent to the
// partitions that the original sent them to. The former id stays on disk until it is over, so that a start that is
// interrupted forgets nothing.
type cloneCheck struct {
	parts
	questions *questions

	until    int64 // Age at which those that have not answered are waited for no more; 0: not begun
	retryAt  int64
	attempts int
	looked   int64          // Age of the last look at all partitions
	asked    map[int32]bool // brokers that have a question to answer
	changed  bool           // something that the check looks at, since it did
}

// perQuestion bounds the partitions in one question: the answer names every producer of each.
const perQuestion = 64

// waitsForCloneCheck is why a partition with records waits meanwhile.
const waitsForCloneCheck = "the leaders are asked whether an older copy of this spool was used"

// done reports whether the clone check is over, and carries it on if not.
func (cc *cloneCheck) done() bool {
	if cc.checked {
		return true
	}
	connected := cc.view.Connected() == len(cc.view.Brokers()) // else connections are tried again, when it is time
	if !cc.changed && connected && cc.now.Age < cc.until && (cc.retryAt < cc.looked || cc.now.Age < cc.retryAt) {
		cc.wake(cc.until)
		if cc.now.Age < cc.retryAt {
			cc.wake(cc.retryAt)
		}
		return false
	}
	cc.changed, cc.looked = false, cc.now.Age
	missing := 0
	for _, l := range cc.lanes {
		if !l.mustAnswer() {
			continue
		}
		if l.remote.Code != protocol.None && !cc.view.Absent(l.remote) {
			missing++ // the leaders of its partitions are not known for now; a topic that is not there cannot have been used either
		}
		for _, p := range l.parts {
			if !p.cloned && p.ID < l.remote.Count {
				missing++
			}
		}
		missing += max(0, int(l.remote.Expected-l.remote.Count)) // a broker that is behind: Kafka takes no partition away
	}
	switch {
	case missing == 0 || !cc.e.Former.Valid():
		cc.checked = true
	case cc.until == 0:
		cc.until = cc.now.Age + cc.cfg.RequestTimeoutMs
	case cc.now.Age >= cc.until:
		cc.checked = true // what is asked later is still compared with the former id, by this start
		cc.event(CopyUnchecked{Unasked: missing})
	}
	if cc.checked {
		for _, l := range cc.lanes {
			l.remote.Expected = 0
		}
		return true
	}
	cc.wake(cc.until)
	if cc.now.Age < cc.retryAt {
		cc.wake(cc.retryAt)
		return false
	}
	cc.ask()
	return false
}

// mayUseIdentity reports whether anything new may be sent: the clone check is over.
func (c *call) mayUseIdentity() bool { return c.checked }

// mustAnswer reports whether the leaders of the lane's partitions are part of the clone check.
func (l *lane) mustAnswer() bool { return l.backlog && !l.remote.Recreated && !l.remote.Uncertain() }

// knownPartitions is how many partitions of the topic the spool has on record: with records
// that have keys, and where something was acked.
func (l *lane) knownPartitions() (n int32) {
	n = l.acc.KnownPartitions()
	for _, p := range l.parts {
		if p.Sequences().LastOffset != protocol.NoOffset {
			n = max(n, p.ID+1)
		}
	}
	return n
}

// ask asks each leader that is connected, and connects to the others.
func (cc *cloneCheck) ask() {
	for _, b := range cc.view.Brokers() {
		var parts []*partition
		for _, l := range cc.lanes {
			for _, p := range l.parts {
				if leader, _ := p.leader(); l.mustAnswer() && leader == b.ID && !p.cloned && len(parts) < perQuestion {
					parts = append(parts, p)
				}
			}
		}
		switch {
		case len(parts) == 0 || cc.asked[b.ID]:
		case !b.Up:
			cc.view.Connect(b)
		default:
			cc.askAt(b, parts)
		}
	}
}

func (cc *cloneCheck) askAt(b *cluster.Broker, parts []*partition) {
	if cc.asked == nil {
		cc.asked = make(map[int32]bool)
	}
	cc.asked[b.ID] = true
	d := kmsg.NewPtrDescribeProducersRequest()
	for _, p := range parts {
		d.Topics = addDescribe(d.Topics, p)
	}
	cc.request(Request{Kind: KindControl, Broker: b.ID, Message: d, MaxVersion: -1}, &request{kind: reqCloneCheck, parts: parts})
}

func (cc *cloneCheck) answered(q *request, resp Response) {
	delete(cc.asked, q.broker)
	r, ok := resp.Message.(*kmsg.DescribeProducersResponse)
	failed := resp.Err != nil || !ok
	for _, p := range q.parts {
		if failed || cc.stop != nil {
			break
		}
		a := &asking{}
		cc.questions.describes(p, a, r)
		if a.failed && a.wantFresh {
			cc.view.Want()
		}
		failed = failed || a.failed
		p.cloned = !a.failed // without the right to ask there will be no answer
		cc.stopIfUsed(p, a)
	}
	if failed {
		cc.attempts++
		cc.retryAt = cc.now.Age + cc.backoff.After(cc.attempts)
		cc.wake(cc.retryAt)
	}
}

// stopIfUsed stops for good if the answer shows a use of the former producer id that this spool does not have on record.
func (cc *cloneCheck) stopIfUsed(p *partition, a *asking) {
	if a.foreign != "" {
		cc.stopForGood(p, a.foreign)
		return
	}
	if a.named == nil {
		return
	}
	if why := p.UsedElsewhere(cc.env(p), *a.named); why != "" {
		cc.stopForGood(p, why)
	}
}
