package transaction

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
)

// EndTxn is answered when the coordinator has decided; it writes the markers into the logs after that. Kafka 4.3.1 leaves out
// those of partitions that have no leader at that moment, and says nothing of it. The next marker of the same producer id there
// then ends both transactions as one: records that were aborted become visible, or committed ones are lost.
//
// So nothing is written to a partition before its leader says that nothing of ours is open there, and that its log up to there is
// replicated; what was committed leaves the spool only when all of its markers were seen so. A marker that is missing is written by a transaction that
// carries nothing and has the same outcome, see heal.go.

// sight is what is known of the markers in one place.
type sight uint8

const (
	unseen sight = iota // a transaction of ours may be open there
	seen                // none is, or the one at hand
	lost                // one is that has ended: its marker is missing
)

// place is where an end of a transaction is marked: a partition, or the offsets of a group.
type place struct {
	part    *partition       // nil: a group's
	topicID protocol.TopicID // the topic that it is of
	group   string
	offsets []protocol.TopicPartition // of the group that were committed; nil: not known which

	sight  sight
	of     *committed // whose marker was not seen yet; nil: an aborted transaction's, or that of one which is not known
	first  int64      // offset of its first record; -1: not known
	last   int64      // of its last; -1: not known
	doubt  bool       // the marker may be another one: the log is to tell whether it was committed
	later  bool       // a transaction behind it is open there
	listed bool       // in markers.open
	asked  bool
	open   bool  // its leader has shown that a transaction of ours is open there
	shown  shown // where the marker stands at the latest, if its leader showed one
	looks  int
	askAt  int64
	since  int64  // Age since which it is looked at
	why    string // it was not seen when it was looked for last
	unsure bool   // it was not seen for long: its topic waits, see unsure.go

	unshown bool // a group's: a marker is written whatever its coordinator shows
	heals   int
	broker  int32 // a group's coordinator; sender.AnyBroker: not known
}

func (x *place) String() string {
	if x.part == nil {
		return "the offsets of group " + x.group
	}
	return x.part.tp().String()
}

// markers looks for them.
type markers struct {
	*Sender
	open   []*place // to be looked at
	groups map[string]*place
	stir   bool  // something happened that one of them may wait for
	lookAt int64 // Age at which the next one is due; 0: none is

	lost    []*place
	healAt  int64
	healed  int // markers that were missing and were written, in this process
	waiting []*committed
	reread  bool // records go again that were taken for committed
	noting  bool // topics and groups are being written down

	inOrder    []*place // those of groups
	confirming int      // transactions of which it is not on disk yet that all of their markers were seen, with offsets of groups perhaps

	unsupported bool // the brokers do not know DescribeProducers: what EndTxn was answered counts
}

const (
	looksBetween = 8      // before a marker is missing while no other transaction shows that the coordinator is done
	lookMaxMs    = 500    // between two looks, in the first seconds
	lookIdleMs   = 10_000 // between two looks at the most: it may last for a day
)

// want has a place looked at.
func (s *markers) want(x *place) {
	switch {
	case x.sight != unseen || x.listed:
	case s.unsupported:
		x.sight = seen
	default:
		x.listed, x.looks, x.askAt, x.open, x.shown, s.stir = true, 0, 0, false, shown{}, true
		x.since, x.why = s.now.Age, ""
		s.open = append(s.open, x)
	}
}

// wantTopic has all partitions of a topic looked at: a former process may have left a transaction open in any of them.
func (s *markers) wantTopic(l *lane) {
	for n := range l.remote.Count {
		x := &l.partition(n).mark
		if x.sight == unseen && !x.listed {
			x.topicID = l.remote.Bound
		}
		s.want(x)
	}
}

// start looks at what a former process may have left open.
func (s *markers) start() {
	for _, l := range s.followed {
		if l.inspect && l.remote.Count > 0 && l.remote.Code == protocol.None {
			l.inspect = false
			s.wantTopic(l)
		}
	}
	for _, x := range s.inOrder {
		s.want(x)
	}
}

// look asks the leaders, one request for all partitions of a broker.
func (s *markers) look() {
	if len(s.open) == 0 {
		return
	}
	if !s.stir && (s.lookAt == 0 || s.now.Age < s.lookAt) {
		if s.lookAt > 0 {
			s.wake(s.lookAt)
		}
		return
	}
	s.stir, s.lookAt = false, 0
	var gone []*place
	ask := make(map[int32][]*place, 4)
	kept := s.open[:0]
	for _, x := range s.open {
		if x.sight != unseen {
			x.listed = false
			unsure{s.Sender}.over(x)
			continue
		}
		kept = append(kept, x)
		unsure{s.Sender}.look(x)
		switch {
		case x.asked:
		case s.now.Age < x.askAt:
			s.later(x.askAt)
		case x.part == nil:
			inGroups{s}.look(x)
		case s.gone(x):
			gone = append(gone, x)
		default:
			if w, _, ok := s.view.Way(x.part.lane.remote, x.part.id); ok {
				ask[w.Broker] = append(ask[w.Broker], x)
			}
		}
	}
	clear(s.open[len(kept):])
	s.open = kept
	for _, b := range s.view.Brokers() {
		if places := ask[b.ID]; len(places) > 0 {
			s.askLeader(b.ID, places)
		}
	}
	for _, x := range gone {
		x.heals = 0
		s.see(x) // with the topic, whatever was open in it
	}
	if s.lookAt > 0 {
		s.wake(s.lookAt)
	}
}

// pause has x looked at again after a time that grows with how long it is looked at.
func (s *markers) pause(x *place) {
	x.askAt = s.now.Age + min(int64(1)<<min(x.looks, 20), max(lookMaxMs, x.long(s.now.Age)))
}

// long is a pause for what is looked at for long: a tenth of that time.
func (x *place) long(now int64) int64 { return min((now-x.since)/10, lookIdleMs) }

func (s *markers) later(at int64) {
	if s.lookAt == 0 || at < s.lookAt {
		s.lookAt = at
	}
}

// joined reports whether the coordinator is done with all transactions of ours but the one at hand.
func (s *markers) joined() bool { return s.sending != nil && s.m.Joined() }

func (s *markers) described(x *place, p *kmsg.DescribeProducersResponseTopicPartition, log shownLog, joined bool) {
	switch code := protocol.ErrorCode(p.ErrorCode); {
	case code.Class() == protocol.Authorization:
		unread{s}.note(x.part.lane)
		unread{s}.stable(x, log, joined)
		return
	case code != protocol.None:
		s.failed(x, code.String())
		return
	}
	x.part.lane.unread = false
	id, later := s.starter.identity().ID, false
	for i := range p.ActiveProducers {
		if a := &p.ActiveProducers[i]; a.CurrentTxnStartOffset >= 0 && protocol.ProducerID(a.ProducerID) == id {
			if x.is(a) {
				if x.shown.ok { // it was cut off
					x.shown, x.looks = shown{}, 0
				}
				s.stillOpen(x, joined)
				return
			}
			later = true // of a former process: it had seen the end of x.of there, and its own transaction is to be aborted
		}
	}
	if s.replicated(x, log) {
		x.later = later
		s.closed(x)
	}
}

// is reports whether the transaction that a producer has open in x is the one whose marker is looked for. Its start is no measure
// alone: a broker that starts again takes the first record that is left of a transaction for its beginning, where the log's start was
// raised into it.
func (x *place) is(a *kmsg.DescribeProducersResponseTopicPartitionActiveProducer) bool {
	switch {
	case x.of == nil:
		return true
	case x.last >= 0:
		return a.CurrentTxnStartOffset <= x.last
	}
	return x.first < 0 || a.CurrentTxnStartOffset <= x.first || x.of.d.EndVersion >= endVersion2 && a.ProducerEpoch == int32(x.of.d.Identity.Epoch)
}

func (s *markers) failed(x *place, why string) {
	x.why = why
	s.view.Refresh()
	x.looks++
	x.askAt = s.now.Age + max(s.backoff.After(min(x.looks, 10)), x.long(s.now.Age))
}

// stillOpen: a transaction of ours is open in x. Its marker is on its way, or missing.
func (s *markers) stillOpen(x *place, joined bool) {
	x.looks++
	x.open, x.why = true, "it is open there"
	if joined || s.sending == nil && s.ending == nil && x.looks >= looksBetween {
		s.lose(x)
		return
	}
	s.pause(x)
}

func (s *markers) lose(x *place) {
	x.sight = lost
	s.lost = append(s.lost, x)
	if x.part != nil {
		x.part.lane.lost++
	}
}

// closed: nothing of ours is open in x.
func (s *markers) closed(x *place) {
	if x.doubt && x.of != nil && x.part != nil && x.first >= 0 && !s.anew(x) && !s.gone(x) {
		s.askLog(x)
		return
	}
	s.see(x)
}

// see: the marker was seen, or nobody can see it.
func (s *markers) see(x *place) {
	if x.heals > 0 && !x.unshown {
		s.healed++
	}
	x.sight, x.doubt, x.heals, x.unshown = seen, false, 0, false
	if x.later {
		x.sight, x.later, x.looks, s.stir = unseen, false, 0, true
		defer s.want(x)
	}
	if c := x.of; c != nil {
		x.of = nil
		if c.left--; c.left == 0 {
			s.confirm(c)
		}
	}
}

// askLog asks what the log says of the transaction whose marker was looked for in x: another one may have ended it.
func (s *markers) askLog(x *place) {
	leader, epoch := x.part.lane.remote.Leader(x.part.id)
	x.asked = true
	s.request(sender.Request{Kind: sender.KindControl, Broker: leader, Message: fetchFirst(x.part.tp(), x.first, epoch), MaxVersion: fetchMax},
		&request{kind: reqMarkerLog, places: []*place{x}})
}

func (s *markers) onLog(q *request, resp sender.Response) {
	x := q.places[0]
	x.asked, s.stir = false, true
	if x.sight != unseen || x.of == nil {
		return
	}
	r, ok := resp.Message.(*kmsg.FetchResponse)
	if !ok || resp.Err != nil || len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		s.failed(x, "Fetch: the response does not mention the partition")
		return
	}
	rp := &r.Topics[0].Partitions[0]
	switch code := protocol.ErrorCode(rp.ErrorCode); {
	case code == protocol.OffsetOutOfRange && x.later && x.last < 0 && x.of.d.EndVersion < endVersion2:
		x.later = false
		s.stillOpen(x, true) // what is open there may be the rest of it, and be lost otherwise
	case code == protocol.OffsetOutOfRange, code.Class() == protocol.Authorization:
		s.see(x) // the log does not tell: what EndTxn was answered counts
	case code != protocol.None:
		s.failed(x, "Fetch: "+code.String())
	default:
		s.judge(x, rp)
	}
}
