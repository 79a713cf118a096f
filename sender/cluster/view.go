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
	*call
	connections
	id      string   // cluster id, "": not known yet
	topics  []*Topic // by number
	byName  map[string]*Topic
	unknown int      // topics that records wait for, and of which no partitions are known
	missing int      // topics that records wait for, and that are not there
	fresh   []*Topic // those that records wait for and that were never asked about, and perhaps others
	lacking []*Topic // those that are missing, and perhaps others: each was once
	meta    metadata
	link    Link

	askedExpiration bool
	foreign         string // id of another cluster that metadata came from last; nothing is sent meanwhile
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
	askSize
)

// Answer is what came of a Request: Message, or Err if there is none.
type Answer struct {
	Message kmsg.Response
	Err     error
}

// New makes a View without brokers.
func New(cfg Config) *View {
	c := &call{began: -1}
	v := &View{cfg: cfg, call: c, connections: connections{call: c}, id: cfg.ID, byName: make(map[string]*Topic)}
	v.link.Since, v.meta.from = -1, AnyBroker
	return v
}

// ID is the cluster's id, or "" if it is not known yet.
func (v *View) ID() string { return v.id }

// Handle takes the answer to a Request. It reports whether there may be another way to any partition: if not, there is only
// to those that Changes names.
func (v *View) Handle(r Request, a Answer) (any bool) {
	switch r.kind {
	case connect:
		v.onConnect(r.Broker, a)
	case askTopics:
		link, foreign, brokers := v.link, v.foreign, len(v.brokers)
		v.onMetadata(r.Broker, a)
		return !v.meta.few() || v.link != link || v.foreign != foreign || len(v.brokers) != brokers
	case askExpiration:
		v.onExpiration(a)
	case askSize:
		onSize(v, a)
	}
	return true
}

// ErrText is what is said of a request without an answer.
func ErrText(err error) string {
	if err == nil {
		return "no answer"
	}
	return err.Error()
}
