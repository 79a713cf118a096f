package sender

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/internal/planted"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/spool"
)

// metadata is when it was asked for and what for.
type metadata struct {
	gen      uint64 // responses taken so far
	asked    bool   // a request is under way
	making   bool   // the latest request was for topics that are to be made, and for those alone
	askedGen uint64 // what gen will be when it is answered
	want     bool   // somebody needs a newer one
	at       int64  // Age of the last response
	retryAt  int64
	attempts int

	from     int32  // the broker that is to be asked next, or AnyBroker
	heardGen uint64 // the latest response of a broker that was chosen
	heardOf  int32  // who that was
}

// link is whether the cluster can be reached at all.
type link struct {
	up    bool
	since int64 // Age; -1: nothing known yet
	err   string
}

// control asks for what everything else needs: metadata, then a producer id.
func (s *Sender) control() {
	m := &s.meta
	if m.gen > 0 && s.now.Age-m.at >= s.cfg.MetadataMaxAgeMs {
		m.want = true
	}
	for _, l := range s.lanes {
		if l.acc.Partitions() == 0 && l.settled.Low() < l.end {
			m.want = true
		}
	}
	if m.gen == 0 {
		m.want = true
	}
	switch {
	case m.asked || !m.want:
	case s.now.Age < m.retryAt:
		s.wake(m.retryAt)
	default:
		s.askMetadata()
	}
	s.reconnect()
	if m.gen > 0 {
		if at := m.at + s.cfg.MetadataMaxAgeMs; at > s.now.Age || planted.Is(planted.OutageSpin) { // else it is wanted, and waits for an answer or for retryAt
			s.wake(at)
		}
		if s.called() || planted.Is(planted.RollCallUnawaited) {
			s.askIdentity()
		}
	}
}

// refresh wants metadata that is newer than now, and says which generation that is.
func (s *Sender) refresh() uint64 {
	s.meta.want = true
	if s.meta.asked {
		// The request under way may have been answered already: one more.
		return s.meta.askedGen + 1
	}
	return s.meta.gen + 1
}

// askMetadata asks about every topic. The cluster makes the missing ones for whoever asks so, all or none of those in
// one request: so that is asked in a request of its own, after this one has told which they are.
func (s *Sender) askMetadata() {
	m := &s.meta
	m.making = m.gen > 0 && !m.making && s.missing()
	r := kmsg.NewPtrMetadataRequest()
	r.Topics = []kmsg.MetadataRequestTopic{}
	for _, l := range s.lanes {
		if m.making && !l.missing() {
			continue
		}
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = kmsg.StringPtr(l.topic)
		r.Topics = append(r.Topics, t)
	}
	r.AllowAutoTopicCreation = m.making
	m.asked, m.askedGen = true, m.gen+1
	if m.making {
		m.askedGen = m.gen // nobody waits for news of a few topics
	}
	m.want = m.making // what became of it
	s.request(Request{Kind: KindControl, Broker: m.askedOf(s), Message: r, MaxVersion: -1}, &request{kind: reqMetadata})
}

// missing reports whether there are topics that the cluster should make.
func (s *Sender) missing() bool {
	return s.cfg.AutoCreate && slices.ContainsFunc(s.lanes, (*lane).missing)
}

// missing reports whether records wait for a topic that is not there. A topic that is not there and for which nothing
// is pending was deleted by somebody, who would not like to see it come back.
func (l *lane) missing() bool {
	return l.code == protocol.UnknownTopicOrPartition && l.settled.Low() < l.end
}

// makeTries is how often a missing topic is asked for before it is reported: a broker answers that there is none while
// it makes it.
const makeTries = 3

// linkIs notes whether the cluster answers, and says so when it changes.
func (s *Sender) linkIs(up bool, err string) {
	if s.link.up == up && s.link.since >= 0 {
		s.link.err = err
		return
	}
	s.link = link{up: up, since: s.now.Age, err: err}
	s.event(LinkChanged{Up: up, Err: err})
}

func (s *Sender) onMetadata(q *request, resp Response) {
	m := &s.meta
	m.asked = false
	r, ok := resp.Message.(*kmsg.MetadataResponse)
	if !ok || resp.Err != nil {
		m.want = true
		m.attempts++
		m.retryAt = s.now.Age + s.backoff(m.attempts)
		s.wake(m.retryAt)
		if s.connected() == 0 {
			s.linkIs(false, errText(resp.Err))
		}
		return
	}
	if r.ClusterID != nil && !s.rightCluster(*r.ClusterID) {
		return
	}
	if !m.making {
		m.gen++
		m.at = s.now.Age
	}
	m.heard(q.broker)
	s.epoch++
	s.updateBrokers(r.Brokers)
	if why := s.unreachable(); why != "" {
		s.linkIs(false, why)
	} else {
		s.linkIs(true, "")
	}
	again := false
	for i := range r.Topics {
		t := &r.Topics[i]
		if t.Topic == nil {
			continue
		}
		if l := s.byTopic[*t.Topic]; l != nil {
			again = s.updateTopic(l, t) || again
		}
	}
	switch {
	case !m.making && s.missing():
		m.want, m.retryAt = true, s.now.Age // to be made, at once
	case again || m.making:
		m.want = true
		m.attempts++
		m.retryAt = s.now.Age + s.backoff(m.attempts)
		s.wake(m.retryAt)
	default:
		m.attempts, m.retryAt = 0, s.now.Age+s.cfg.RetryBackoffMs
	}
}

// rightCluster binds the spool at first contact and refuses any other cluster after.
func (s *Sender) rightCluster(id string) bool {
	switch s.clusterID {
	case id:
		return true
	case "":
		s.clusterID, s.w.ClusterID, s.urgent = id, id, true
		return true
	}
	if planted.Is(planted.ForeignCluster) {
		return true
	}
	s.stop = &ForeignClusterError{Bound: s.clusterID, Found: id}
	return false
}

// updateTopic takes what metadata says of one topic and reports whether it has to be
// asked for again soon.
func (s *Sender) updateTopic(l *lane, t *kmsg.MetadataResponseTopic) (again bool) {
	l.code = protocol.ErrorCode(t.ErrorCode)
	pending := l.settled.Low() < l.end
	if l.code != protocol.None {
		if s.meta.making {
			l.making++
		}
		if pending && l.told != l.code && !(l.missing() && s.cfg.AutoCreate && l.making < makeTries) {
			l.told = l.code
			s.event(TopicTrouble{Topic: l.topic, Code: l.code, Message: topicAdvice(l.code, s.cfg.AutoCreate)})
		}
		for _, p := range l.parts {
			p.leader = -1
			s.block(p, true)
		}
		if s.meta.heardGen == s.meta.gen {
			l.missedBy(s.meta.heardOf)
		}
		return pending
	}
	l.told, l.making = protocol.None, 0
	id := protocol.TopicID(t.TopicID)
	l.current, l.has = id, int32(len(t.Partitions))
	switch {
	case l.recreated:
		l.recreated = l.bound != id && !id.IsZero()
		l.acc.Closed = l.recreated // if it was the same topic after all, records for partitions that are not parked go on
	case id.IsZero() || l.bound == id:
		l.suspect = protocol.TopicID{}
	case l.bound.IsZero():
		s.bind(l, id)
	case l.suspect != id:
		// One stale broker is not believed, but nothing is sent either.
		l.suspect = id
		return true
	default:
		l.suspect = protocol.TopicID{}
		s.recreated(l, id, int32(len(t.Partitions)))
		return false
	}
	l.acc.SetPartitions(int32(len(t.Partitions)))
	again = pending && !s.call.over && l.has < l.knew()
	for i := range t.Partitions {
		mp := &t.Partitions[i]
		if mp.Partition < 0 || int(mp.Partition) >= len(t.Partitions) {
			continue
		}
		p := s.partition(l, mp.Partition)
		p.q = l.acc.Partition(p.id)
		s.lead(p, mp.Leader, mp.LeaderEpoch)
		if p.leader < 0 {
			again = again || pending
		}
	}
	return again
}

func (s *Sender) bind(l *lane, id protocol.TopicID) {
	l.bound, l.acc.TopicID = id, id
	s.w.Bindings = append(s.w.Bindings, spool.LaneBinding{Lane: l.id, TopicID: id})
	s.urgent = true
}

// lead takes news of a partition's leader. An older reign is ignored: a stale
// broker may answer late.
func (s *Sender) lead(p *partition, leader, epoch int32) {
	if p.older = epoch >= 0 && epoch < p.leaderEpoch && !planted.Is(planted.StaleLeader); p.older {
		return
	}
	if p.leader == leader && p.leaderEpoch == epoch {
		return
	}
	if epoch != p.leaderEpoch && p.ids.Identity.Valid() {
		s.mark(p) // a start must not believe an older reign either
	}
	p.leader, p.leaderEpoch = leader, epoch
	if leader >= 0 {
		p.retryAt = min(p.retryAt, s.now.Age) // a new reign: the back-off is skipped (KIP-951)
	}
	s.epoch++
	if !p.q.Empty() || len(p.window) > 0 {
		s.activate(p)
	}
	if p.phase != parked && !p.lane.recreated {
		s.block(p, leader < 0)
	}
}

// recreated parks the whole lane: its records were meant for another topic of that name.
func (s *Sender) recreated(l *lane, id protocol.TopicID, n int32) {
	l.recreated = true
	l.acc.Closed = true
	for k := int32(len(l.parts)); k < max(n, 1); k++ {
		s.partition(l, k)
	}
	for _, p := range l.parts {
		if p.phase != parked {
			s.parkPartition(p, spool.ParkTopicRecreated, "the topic was "+l.bound.String()+" and is now "+id.String())
		}
	}
}

func topicAdvice(c protocol.ErrorCode, autoCreate bool) string {
	switch c.Class() {
	case protocol.Authorization:
		return "this principal may not describe the topic: grant it WRITE; its records stay spooled"
	case protocol.RefreshRetriable:
		if autoCreate {
			return "the topic does not exist, and the cluster does not create it (auto.create.topics.enable); create it: its records stay spooled and are sent then"
		}
		return "the topic does not exist: create it; its records stay spooled and are sent then"
	}
	return "the cluster does not take records for this topic; they stay spooled"
}

func errText(err error) string {
	if err == nil {
		return "no answer"
	}
	return err.Error()
}

// updateBrokers takes the list of brokers; one that is gone loses its place when its
// connection does.
func (s *Sender) updateBrokers(list []kmsg.MetadataResponseBroker) {
	for _, b := range s.brokers {
		b.listed = false
	}
	for i := range list {
		id := list[i].NodeID
		k, ok := slices.BinarySearchFunc(s.brokers, id, func(b *broker, id int32) int { return int(b.id) - int(id) })
		if !ok {
			s.brokers = slices.Insert(s.brokers, k, &broker{id: id})
		}
		s.brokers[k].listed = true
	}
}

// unreachable says why no broker of the cluster can be connected to although a bootstrap server answers, or "":
// typically an advertised name that does not resolve here. Brokers that nobody has tried to connect to yet do
// not count.
func (s *Sender) unreachable() string {
	why := ""
	for _, b := range s.brokers {
		switch {
		case b.up:
			return ""
		case b.listed && b.attempts > 0 && why == "":
			why = b.err
		}
	}
	return why
}

// reconnect tries the brokers that could not be reached again while the link is down for that, even if
// no record waits for them: only a connection brings the link up again.
func (s *Sender) reconnect() {
	if s.link.up || s.unreachable() == "" {
		return
	}
	for _, b := range s.brokers {
		if b.listed && b.attempts > 0 {
			s.connect(b)
		}
	}
}
