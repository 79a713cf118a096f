package cluster

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// Topic is one topic that there are records for, and what metadata said of it last.
type Topic struct {
	Number int // in the order of Follow, from 0
	Name   string
	// Bound is the id of the topic that records go to. Zero: not bound yet.
	Bound protocol.TopicID
	// Pending says that records wait for the topic: see SetPending.
	Pending bool
	// Expected is how many partitions the topic is known to have had. While it is not 0, a response with fewer
	// comes from a broker that is behind, and another one is asked for. Whoever drives the View sets it.
	Expected int32

	Code      protocol.ErrorCode // in place of the topic; None: it is there
	Current   protocol.TopicID   // differs from Bound: the topic was recreated, or a broker is behind
	Count     int32              // partitions of Current
	Recreated bool               // Current is another topic than Bound

	candidate  protocol.TopicID // seen in place of Bound: nothing is sent until it is confirmed, or not seen any more
	shownBy    int32            // a broker that was asked by itself and showed candidate; or AnyBroker
	shownSince int64            // Age at which it was seen first
	absentAt   int32            // the last broker that was asked by itself and did not have the topic; or AnyBroker
	absent     bool             // two such brokers did not
	reported   protocol.ErrorCode
	creations  int // how often the cluster was asked to create the topic, since it was last there
	partitions []partition
	known      bool  // its partitions are
	asked      bool  // metadata was asked about it
	unsettled  bool  // what metadata said of it last does not do for records: asked again while any wait
	fresh      bool  // in View.fresh
	lacking    bool  // in View.lacking
	used       int64 // Age at which records waited for it last
	sizeAsked  int64 // Age at which AskSize asked; 0: never
}

// Follow adds a topic, bound to that id or to none, to what metadata is asked for.
func (v *View) Follow(name string, bound protocol.TopicID) *Topic {
	t := &Topic{Number: len(v.topics), Name: name, Bound: bound, absentAt: AnyBroker, used: v.now}
	v.topics = append(v.topics, t)
	v.byName[name] = t
	return t
}

// SetPending says whether records wait for t. A topic for which none waited for metadata.max.idle.ms is not asked
// about; when one comes, what was known of its leaders is void.
func (v *View) SetPending(t *Topic, pending bool) {
	if t.Pending == pending {
		return
	}
	idle := v.idle(t)
	t.used = v.now
	v.count(t, -1)
	t.Pending = pending
	v.count(t, 1)
	if pending && !t.asked && !t.fresh {
		t.fresh = true
		v.fresh = append(v.fresh, t)
	}
	if pending && t.unsettled {
		v.meta.want = true // nobody waited for it when metadata said so
	}
	if pending && idle && t.known {
		for n := range t.partitions {
			t.partitions[n].leader = -1
		}
		v.meta.want = true
	}
}

func (v *View) idle(t *Topic) bool {
	return !t.Pending && v.now-t.used >= v.cfg.MetadataMaxIdleMs
}

// setKnown says whether t's partitions are known.
func (v *View) setKnown(t *Topic, known bool) {
	v.count(t, -1)
	t.known = known
	v.count(t, 1)
}

// setCode notes what metadata has in place of t.
func (v *View) setCode(t *Topic, code protocol.ErrorCode) {
	v.count(t, -1)
	t.Code = code
	v.count(t, 1)
}

// count adds n to the topics that records wait for and of which no partitions are known, if t is one, and to those that
// are missing: metadata is wanted as long as there are any.
func (v *View) count(t *Topic, n int) {
	if t.Pending && !t.known {
		v.unknown += n
	}
	if t.missing() {
		v.missing += n
		if n > 0 && !t.lacking {
			t.lacking = true
			v.lacking = append(v.lacking, t)
		}
	}
}

// clearFresh forgets which were never asked about: they are now.
func (v *View) clearFresh() {
	for _, t := range v.fresh {
		t.fresh = false
	}
	clear(v.fresh)
	v.fresh = v.fresh[:0]
}

// trimLacking drops those of lacking that are not missing.
func (v *View) trimLacking() {
	v.lacking = slices.DeleteFunc(v.lacking, func(t *Topic) bool {
		t.lacking = t.missing()
		return !t.lacking
	})
}

// Topic is the one of that name, or nil.
func (v *View) Topic(name string) *Topic { return v.byName[name] }

// Uncertain reports whether another topic was seen in place of the one that t is bound to, once: nothing may be sent to it.
func (t *Topic) Uncertain() bool { return !t.candidate.IsZero() }

// Same reports whether the topic is the one that it was bound to, and the cluster says so.
func (t *Topic) Same() bool { return !t.Recreated && !t.Bound.IsZero() && t.Current == t.Bound }

// Rebind binds t to the topic that metadata shows now, if it shows one: leaders and their epochs begin anew.
func (v *View) Rebind(t *Topic) {
	t.Recreated = false
	for n := range t.partitions {
		t.partitions[n].leader, t.partitions[n].epoch = -1, 0
	}
	v.setKnown(t, t.Count > 0)
	t.Bound = t.Current // unknown while no cluster was seen: the next one binds it
	v.meta.want = true
}

// ReportOnce reports whether the reason that a topic cannot be delivered to is a new one.
func (t *Topic) ReportOnce(code protocol.ErrorCode) bool {
	if t.reported == code {
		return false
	}
	t.reported = code
	return true
}

// Recovered has a reason that was reported be a new one again.
func (t *Topic) Recovered() { t.reported = protocol.None }

// missing reports whether records wait for a topic that is not there. A topic that is not there and for which nothing
// is pending was deleted on purpose, and must not come back.
func (t *Topic) missing() bool { return t.Code == protocol.UnknownTopicOrPartition && t.Pending }

// createTries is how often a missing topic is asked for before it is reported: a broker answers that there is none while
// it creates it.
const createTries = 3

// updateTopic takes what metadata says of one topic and reports whether it has to be asked for again soon: where that would
// do for no record, and some wait; and where it may be another topic.
func (v *View) updateTopic(t *Topic, mt *kmsg.MetadataResponseTopic) (again bool) {
	t.unsettled, again = v.takeTopic(t, mt)
	return again || t.unsettled && t.Pending
}

// takeTopic is updateTopic; unsettled: the topic is not there, or not all of it, whether records wait or not.
func (v *View) takeTopic(t *Topic, mt *kmsg.MetadataResponseTopic) (unsettled, again bool) {
	v.setCode(t, protocol.ErrorCode(mt.ErrorCode))
	if t.Code != protocol.None {
		v.topicFailed(t)
		return true, false
	}
	t.reported, t.creations = protocol.None, 0
	id := protocol.TopicID(mt.TopicID)
	t.Current, t.Count = id, int32(len(mt.Partitions))
	switch {
	case t.Recreated:
		t.Recreated = t.Bound != id && !id.IsZero()
		v.change(Change{Kind: TopicReturned, Topic: t, Up: !t.Recreated})
	case id.IsZero() || t.Bound == id:
		t.candidate = protocol.TopicID{}
	case t.Bound.IsZero():
		t.Bound = id
		v.change(Change{Kind: TopicBound, Topic: t})
	case !v.confirmsRecreated(t, id):
		return false, true
	default:
		t.candidate = protocol.TopicID{}
		t.Recreated = true
		v.change(Change{Kind: TopicRecreated, Topic: t})
		return false, false
	}
	v.setKnown(t, true)
	v.change(Change{Kind: TopicUpdated, Topic: t})
	unsettled = t.Count < t.Expected
	for i := range mt.Partitions {
		mp := &mt.Partitions[i]
		if mp.Partition < 0 || int(mp.Partition) >= len(mt.Partitions) {
			continue
		}
		v.leads(t, mp.Partition, mp.Leader, mp.LeaderEpoch)
		if t.partition(mp.Partition).leader < 0 {
			again = t.Pending // later, Way asks for what has none
		}
	}
	return unsettled, again
}

// confirmsRecreated reports whether two brokers have shown that t has another id, each when it was asked by itself: one that is
// cut off from the others may show what the topic was once. Where there is one broker, twice is enough, and so it is where no
// other answers within metadata.max.age.ms.
func (v *View) confirmsRecreated(t *Topic, id protocol.TopicID) bool {
	m := &v.meta
	from := AnyBroker
	if m.responderGen == m.gen && !m.creating {
		from = m.responder
	}
	if t.candidate != id {
		t.candidate, t.shownBy, t.shownSince = id, from, v.now
	} else if v.listed() < 2 || v.now-t.shownSince >= v.cfg.MetadataMaxAgeMs ||
		t.shownBy != AnyBroker && from != AnyBroker && from != t.shownBy {
		return true
	}
	if t.shownBy == AnyBroker {
		t.shownBy = from
	}
	if other, _ := v.other(t.shownBy); other != nil && m.from == AnyBroker {
		m.from = other.ID
	}
	return false
}

func (v *View) topicFailed(t *Topic) {
	if v.meta.creating {
		t.creations++
	}
	c := Change{Kind: TopicFailed, Topic: t, Code: t.Code}
	if t.Pending && t.reported != t.Code && !(t.missing() && v.cfg.AutoCreate && t.creations < createTries) {
		t.reported = t.Code
		c.Text = v.Advice(t.Code)
	}
	for n := range t.partitions {
		t.partitions[n].leader = -1
	}
	v.change(c)
	if m := &v.meta; m.responderGen == m.gen && t.Code == protocol.UnknownTopicOrPartition {
		t.absent = t.absent || t.absentAt != AnyBroker && t.absentAt != m.responder
		t.absentAt = m.responder
	}
}

// Absent reports whether a topic is not there. A broker that is cut off from the others does not have those that were
// created since: two have to say so, each when it was asked by itself, and the next one is. Where there is one broker, its
// answer is enough.
func (v *View) Absent(t *Topic) bool {
	if t.Code != protocol.UnknownTopicOrPartition {
		return false
	}
	other, _ := v.other(t.absentAt)
	if m := &v.meta; !t.absent && other != nil && m.from == AnyBroker && !m.asked {
		m.from, m.want = other.ID, true
	}
	return t.absent || len(v.brokers) < 2
}

// Advice is what an operator may do about a topic that metadata has that code for.
func (v *View) Advice(c protocol.ErrorCode) string {
	why := Why(c)
	switch c.Class() {
	case protocol.Authorization:
		return why + ": grant it WRITE; its records stay spooled"
	case protocol.RefreshRetriable:
		if v.cfg.AutoCreate {
			return why + "; a cluster with auto.create.topics.enable creates it within seconds, for any other create it: its records stay spooled and are sent then"
		}
		return why + ": create it; its records stay spooled and are sent then"
	}
	return why + "; they stay spooled"
}

// Why is what a code says that metadata has in place of a topic: the part of Advice that holds for records that have left, too.
func Why(c protocol.ErrorCode) string {
	switch c.Class() {
	case protocol.Authorization:
		return "this principal may not describe the topic"
	case protocol.RefreshRetriable:
		return "the topic does not exist"
	}
	return "the cluster does not take records for this topic"
}
