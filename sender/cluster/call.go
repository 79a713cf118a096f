package cluster

import "github.com/spoold/spoold/protocol"

// call is the time of a call of the core, and what the call leaves behind: the parts of a View share one.
type call struct {
	now      int64 // Age
	began    int64 // Age of the first call; -1: there was none
	requests []Request
	changes  []Change
	wakeAt   int64
}

// Begin starts a call of the core at Age now. What is left of the call before is forgotten.
func (c *call) Begin(now int64) {
	c.now = now
	if c.began < 0 {
		c.began = now
	}
	clear(c.requests)
	c.requests, c.changes, c.wakeAt = c.requests[:0], c.changes[:0], 0
}

// Requests returns what is to be sent, and forgets it.
func (c *call) Requests() []Request {
	r := c.requests
	c.requests = c.requests[len(r):]
	return r
}

// Changes returns what changed, in order, and forgets it.
func (c *call) Changes() []Change {
	list := c.changes
	c.changes = c.changes[len(list):]
	return list
}

// WakeAt is the Age to call Update at if nothing happens before; 0: no need.
func (c *call) WakeAt() int64 { return c.wakeAt }

func (c *call) request(r Request) { c.requests = append(c.requests, r) }

func (c *call) change(what Change) { c.changes = append(c.changes, what) }

// wake asks for a call at the latest at age at.
func (c *call) wake(at int64) {
	if at <= c.now {
		at = c.now + 1
	}
	if c.wakeAt == 0 || at < c.wakeAt {
		c.wakeAt = at
	}
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
	// SizeRead: a batch for the topic may have so many Bytes.
	SizeRead
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
	Bytes     int
}
