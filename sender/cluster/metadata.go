package cluster

import (
	"errors"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// Generation counts metadata responses: of two views the newer has the higher one.
type Generation uint64

// metadata is when it was asked for, and of whom.
type metadata struct {
	gen      Generation // responses taken so far
	asked    bool       // a request is under way
	creating bool       // the latest request was for topics that are to be created, and for those alone
	partial  bool       // the latest request was for topics that were never asked about, and for those alone
	askedGen Generation // what gen will be when it is answered
	want     bool       // a newer one is needed
	at       int64      // Age of the last response
	retryAt  int64
	attempts int
	repeated int // responses in a row, each asked for soon after the one before, that brought nothing new

	from         int32      // the broker that is to be asked next, or AnyBroker
	responder    int32      // the broker that was chosen and answered last
	responderGen Generation // with which response
}

// Update asks for metadata if it is wanted, or due, and may be asked for now.
func (v *View) Update() {
	m := &v.meta
	if m.gen == 0 && !m.asked {
		v.clearFresh() // the first request is for all
	}
	if m.gen == 0 || v.unknown > 0 && len(v.fresh) == 0 && !m.asked || v.now-m.at >= v.cfg.MetadataMaxAgeMs {
		m.want = true
	}
	switch {
	case m.asked:
	case len(v.fresh) > 0:
		v.askMetadata(true) // at once, whenever the last one was
	case !m.want:
	case v.now < m.retryAt:
		v.wake(m.retryAt)
	default:
		v.askMetadata(false)
	}
	v.reconnect()
	if m.gen > 0 {
		if at := m.at + v.cfg.MetadataMaxAgeMs; at > v.now { // else it is wanted, and waits for an answer or for retryAt
			v.wake(at)
		}
	}
}

// Want asks for metadata that is newer than what is known.
func (v *View) Want() { v.meta.want = true }

// Generation is that of the latest response; 0: there was none.
func (v *View) Generation() Generation { return v.meta.gen }

// Refresh asks for metadata that is newer than now, and says which generation that is.
func (v *View) Refresh() Generation {
	v.meta.want = true
	if v.meta.asked {
		// The request under way may have been answered already: one more.
		return v.meta.askedGen + 1
	}
	return v.meta.gen + 1
}

// few reports whether the latest request was about a few topics: its answer is no new generation.
func (m *metadata) few() bool { return m.creating || m.partial }

// askMetadata asks about every topic that is not idle; partial: about those alone that were never asked about. The flag that lets a cluster create what is missing is that of a whole
// request: so topics are created by a request of their own, after this one has shown which they are.
func (v *View) askMetadata(partial bool) {
	m := &v.meta
	m.partial = partial
	m.creating = !partial && m.gen > 0 && !m.creating && v.anyMissing()
	r := kmsg.NewPtrMetadataRequest()
	r.Topics = []kmsg.MetadataRequestTopic{}
	among := v.topics
	switch {
	case partial:
		among = v.fresh
	case m.creating:
		v.trimLacking()
		among = v.lacking
	}
	for _, t := range among {
		if partial && !t.Pending || v.idle(t) {
			continue
		}
		t.asked = true
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(t.Name)
		r.Topics = append(r.Topics, rt)
	}
	r.AllowAutoTopicCreation = m.creating
	m.asked, m.askedGen = true, m.gen+1
	v.clearFresh()
	if m.few() {
		m.askedGen = m.gen
	}
	if !partial {
		m.want = m.creating // what became of it
	}
	v.request(Request{Broker: v.askFrom(), Message: r, kind: askTopics})
}

// askFrom is the broker to ask for metadata.
func (v *View) askFrom() int32 {
	m := &v.meta
	if b := v.Broker(m.from); b != nil && b.Up && !m.few() {
		return m.from
	}
	if !m.partial {
		m.from = AnyBroker
	}
	return AnyBroker
}

// noteResponder keeps which broker answered, if it was chosen.
func (m *metadata) noteResponder(from int32) {
	if from != AnyBroker && !m.few() {
		m.responderGen, m.responder, m.from = m.gen, from, AnyBroker
	}
}

func (v *View) anyMissing() bool { return v.cfg.AutoCreate && v.missing > 0 }

func (v *View) onMetadata(from int32, a Answer) {
	m := &v.meta
	m.asked = false
	r, ok := a.Message.(*kmsg.MetadataResponse)
	if !ok || a.Err != nil {
		m.want = true
		v.askAgainLater()
		if v.Connected() == 0 {
			v.linkIs(false, a.Err)
		}
		return
	}
	if protocol.ErrorCode(r.ErrorCode) != protocol.None { // REBOOTSTRAP_REQUIRED (KIP-1102): the shell goes back to the bootstrap servers
		m.want = true
		v.askAgainLater()
		return
	}
	if r.ClusterID != nil && !v.rightCluster(*r.ClusterID) {
		m.want = true
		v.askAgainLater()
		v.linkIs(false, &ForeignClusterError{Bound: v.id, Found: v.foreign})
		return
	}
	v.foreign = ""
	soon := v.now-m.at <= 2*v.cfg.Backoff.MaxMs
	if !m.few() {
		m.gen++
		m.at = v.now
	}
	m.noteResponder(from)
	before, brokers := len(v.changes), len(v.brokers)
	v.change(Change{Kind: MetadataTaken})
	v.update(r.Brokers)
	why := v.unreachable()
	v.linkIs(why == "", errors.New(why))
	again := false
	for i := range r.Topics {
		t := &r.Topics[i]
		if t.Topic == nil {
			continue
		}
		if known := v.byName[*t.Topic]; known != nil {
			again = v.updateTopic(known, t) || again
		}
	}
	switch {
	case !m.creating && v.anyMissing():
		m.want, m.retryAt = true, v.now // to be created, at once
	case again || m.creating:
		m.want = true
		v.askAgainLater()
	case m.partial: // the next full one is due when it was
	case soon && len(v.brokers) == brokers && !anyNews(v.changes[before:]):
		m.attempts = 0
		m.repeated++
		m.retryAt = v.now + v.cfg.Backoff.After(m.repeated)
	default:
		m.attempts, m.repeated, m.retryAt = 0, 0, v.now+v.cfg.RetryBackoffMs
	}
}

// anyNews reports whether a response brought anything that was not known.
func anyNews(changes []Change) bool {
	return slices.ContainsFunc(changes, func(c Change) bool {
		switch c.Kind {
		case MetadataTaken, TopicUpdated, TopicFailed:
			return false
		case TopicReturned:
			return c.Up
		}
		return true
	})
}

func (v *View) askAgainLater() {
	m := &v.meta
	m.attempts++
	m.retryAt = v.now + v.cfg.Backoff.After(m.attempts)
	v.wake(m.retryAt)
}

// rightCluster binds the spool at first contact. Any other cluster after that is an outage of the right one.
func (v *View) rightCluster(id string) bool {
	switch v.id {
	case id:
		return true
	case "":
		v.id = id
		v.change(Change{Kind: ClusterBound, Text: id})
		return true
	}
	v.foreign = id
	v.change(Change{Kind: ClusterForeign, Text: id})
	return false
}
