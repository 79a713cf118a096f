package cluster

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

// Config is what a View goes by. All of it must be given.
type Config struct {
	ID               string // cluster id that the spool is bound to; "": none yet
	AutoCreate       bool   // ask the cluster to create topics that it does not have
	RetryBackoffMs   int64
	MetadataMaxAgeMs int64
	// MetadataMaxIdleMs is how long a topic that no record waits for is asked about.
	MetadataMaxIdleMs int64
	Backoff           *protocol.Backoff
}

// View is what is known of the cluster. Not safe for concurrent use: the sender owns it.
type View struct {
	cfg Config
	now int64 // Age

	id      string    // cluster id, "": not known yet
	brokers []*Broker // ascending by id
	topics  []*Topic  // by number
	byName  map[string]*Topic
	unknown int // topics that records wait for, and of which no partitions are known
	meta    metadata
	link    Link

	askedExpiration bool
	foreign         string // id of another cluster that metadata came from last; nothing is sent meanwhile

	requests []Request
	changes  []Change
	wakeAt   int64
}

// Link is whether the cluster can be reached at all.
type Link struct {
	Up    bool
	Since int64 // Age; -1: nothing known yet
	Err   string
}

// AnyBroker is the broker of a request that any of them may answer.
const AnyBroker int32 = -1

// Request is something to ask a broker. Message is nil if the connection to Broker is to be opened.
type Request struct {
	Broker  int32
	Message kmsg.Request
	kind    kind
}

type kind uint8

const (
	connect kind = iota + 1
	askTopics
	askExpiration
)

// Answer is what came of a Request: Message, or Err if there is none.
type Answer struct {
	Message kmsg.Response
	Err     error
}

// New makes a View that knows of no broker.
func New(cfg Config) *View {
	v := &View{cfg: cfg, id: cfg.ID, byName: make(map[string]*Topic)}
	v.link.Since, v.meta.from = -1, AnyBroker
	return v
}

// Begin starts a call of the core at Age now. What is left of the call before is forgotten.
func (v *View) Begin(now int64) {
	v.now = now
	clear(v.requests)
	v.requests, v.changes, v.wakeAt = v.requests[:0], v.changes[:0], 0
}

// Requests returns what is to be sent, and forgets it.
func (v *View) Requests() []Request {
	r := v.requests
	v.requests = v.requests[len(r):]
	return r
}

// Changes returns what changed, in order, and forgets it.
func (v *View) Changes() []Change {
	c := v.changes
	v.changes = v.changes[len(c):]
	return c
}

// WakeAt is the Age to call Update at if nothing happens before; 0: no need.
func (v *View) WakeAt() int64 { return v.wakeAt }

// ID is the cluster's id, or "" if it is not known yet.
func (v *View) ID() string { return v.id }

// Link says whether the cluster can be reached.
func (v *View) Link() Link { return v.link }

// Handle takes the answer to a Request.
func (v *View) Handle(r Request, a Answer) {
	switch r.kind {
	case connect:
		v.onConnect(r.Broker, a)
	case askTopics:
		v.onMetadata(r.Broker, a)
	case askExpiration:
		v.onExpiration(a)
	}
}

func (v *View) request(r Request) { v.requests = append(v.requests, r) }

func (v *View) change(c Change) { v.changes = append(v.changes, c) }

// wake asks for a call at the latest at age at.
func (v *View) wake(at int64) {
	if at <= v.now {
		at = v.now + 1
	}
	if v.wakeAt == 0 || at < v.wakeAt {
		v.wakeAt = at
	}
}

// linkIs notes whether the cluster answers, and says so when that changes, or the reason why it does not.
func (v *View) linkIs(up bool, err string) {
	if v.link.Up == up && v.link.Since >= 0 {
		if v.link.Err != err {
			v.link.Err = err
			v.change(Change{Kind: LinkChanged, Up: up, Text: err})
		}
		return
	}
	v.link = Link{Up: up, Since: v.now, Err: err}
	v.change(Change{Kind: LinkChanged, Up: up, Text: err})
}

// ErrText is what is said of a request without an answer.
func ErrText(err error) string {
	if err == nil {
		return "no answer"
	}
	return err.Error()
}

// ChangeKind says what a Change is.
type ChangeKind uint8

// Kinds of change.
const (
	// LinkChanged: the cluster was reached (Up), or lost (Text says why).
	LinkChanged ChangeKind = iota + 1
	// ClusterBound: Text is the id of the cluster, met for the first time.
	ClusterBound
	// ClusterForeign: Text is the id of a cluster that is not the one that the spool is bound to. Until the right one
	// answers, there is no way to any partition.
	ClusterForeign
	// MetadataTaken: a response was taken; the changes of its topics follow.
	MetadataTaken
	// TopicFailed: metadata has Code in place of the topic; none of its partitions has a leader. Text is not
	// "" if this is to be reported, and says what to do.
	TopicFailed
	// TopicBound: the topic is known for the first time, by its id.
	TopicBound
	// TopicReturned: a topic that was taken for recreated was seen again, Up: under the id that it is bound to.
	TopicReturned
	// TopicRecreated: the topic has another id now.
	TopicRecreated
	// TopicUpdated: the topic has Topic.Count partitions, whose changes follow.
	TopicUpdated
	// LeaderChanged: Partition has another leader or leader epoch. Up: the epoch is another one.
	LeaderChanged
	// ExpirationRead: Ms is how long the cluster remembers an idle producer.
	ExpirationRead
)

// Change is one thing that is different from before.
type Change struct {
	Kind      ChangeKind
	Topic     *Topic
	Partition int32
	Up        bool
	Code      protocol.ErrorCode
	Text      string
	Ms        int64
}
