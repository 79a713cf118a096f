package broker

import "math/rand/v2"

// Agenda is time: who calls what when.
type Agenda interface {
	Now() int64                // ms since 1970, on the brokers' clocks
	After(ms int64, do func()) // do is called once, ms from now
}

// Config describes a cluster. Zero values are replaced by defaults.
type Config struct {
	Brokers    int32  // 1
	Seed       uint64 // of everything random
	ID         string // cluster id
	ProduceMax int16  // highest version of Produce: 13 (topics by id), or 11 as in Kafka 3.9
	// Expiration is producer.id.expiration.ms (1 day), Check how often it is looked at (10 minutes).
	Expiration, Check int64
	// Checkpoint is log.flush.start.offset.checkpoint.interval.ms (1 minute): a log start is lost if its broker is killed before it was
	// written down.
	Checkpoint int64
	Session    int64 // broker.session.timeout.ms: how long a death stays unnoticed (300)
	Lag        int64 // replica.lag.time.max.ms (300)
	Fetch      int64 // longest time until a follower asks again (3)
	Learn      int64 // longest time until a broker learns what the controller decided (10)
	Work       int64 // longest time that a request takes (2)
	After      int64 // message.timestamp.after.max.ms as whoever makes topics may set it (TopicConfig); 0: no limit, as in Kafka 3.9
	Combined   bool  // one process is broker and controller: with it goes what the controller has of sessions
	NoELR      bool  // without eligible leader replicas (KIP-966), as in Kafka 3.9
	// Transactions is transaction.version: 1, or 2 (KIP-890: every transaction has its own epoch). 0: there are no coordinators, and no
	// internal topics.
	Transactions int16 `json:",omitempty"`
	// LosesMarkers: a marker for a partition that has no leader is dropped, as in Kafka 4.3.1 (KAFKA-20734).
	LosesMarkers bool  `json:",omitempty"`
	MaxTimeout   int64 `json:",omitempty"` // transaction.max.timeout.ms (15 minutes)
	Scan         int64 `json:",omitempty"` // transaction.abort.timed.out.transaction.cleanup.interval.ms (10 s)
	Retention    int64 `json:",omitempty"` // offsets.retention.minutes, in ms (7 days)
}

func (c Config) withDefaults() Config {
	def := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	if c.Brokers == 0 {
		c.Brokers = 1
	}
	if c.ID == "" {
		c.ID = "model-cluster"
	}
	if c.ProduceMax == 0 {
		c.ProduceMax = 13
	}
	def(&c.Expiration, 24*3600_000)
	def(&c.Check, 600_000)
	def(&c.Checkpoint, 60_000)
	def(&c.Session, 300)
	def(&c.Lag, 300)
	def(&c.Fetch, 3)
	def(&c.Learn, 10)
	def(&c.Work, 2)
	def(&c.MaxTimeout, 900_000)
	def(&c.Scan, 10_000)
	def(&c.Retention, 7*24*3600_000)
	return c
}

// Weather is how often things go wrong inside a broker, as chances per request or partition.
type Weather struct {
	Storage     float64 // KAFKA_STORAGE_ERROR, nothing appended
	Corrupt     float64 // a bit flips on the way: CORRUPT_MESSAGE
	Unknown     float64 // UNKNOWN_SERVER_ERROR, before or after it was done
	Unavailable float64 // LEADER_NOT_AVAILABLE, COORDINATOR_LOAD_IN_PROGRESS
	Throttle    float64 // throttle_time_ms in the answer
	ThrottleMs  int32   // longest
}

// Cluster is all of it. Not safe for concurrent use.
type Cluster struct {
	cfg        Config
	agenda     Agenda
	rng        *rand.Rand
	nodes      []*node
	controller *controller
	blocks     int64         // of producer ids given out
	ends       map[int64]End // of transactions, by their numbers
	begun      int64         // transactions so far
	denied     map[denial]bool
	archive    archive

	// Weather may be changed at any time.
	Weather Weather
	// Tell, if not nil, is called with what happens.
	Tell func(format string, args ...any)
}

// New starts a cluster; all its brokers run.
func New(cfg Config, agenda Agenda) *Cluster {
	cfg = cfg.withDefaults()
	c := &Cluster{cfg: cfg, agenda: agenda, rng: rand.New(rand.NewPCG(cfg.Seed, 0xb0c4)), denied: map[denial]bool{}, archive: archive{}, ends: map[int64]End{}}
	c.controller = &controller{c: c}
	for i := range cfg.Brokers {
		n := &node{c: c, id: i, alive: true, registered: true, views: map[string]*topicView{}, ids: map[[16]byte]*topicView{}, replicas: map[replicaKey]*replica{}}
		c.nodes = append(c.nodes, n)
		n.after(c.within(c.cfg.Check), n.lookForExpired) // they have been up for a while
	}
	c.controller.publish(change{brokers: c.controller.unfenced()})
	c.internalTopics()
	for _, n := range c.nodes { // they have formed a cluster before anybody comes
		n.learn(len(c.controller.changes))
	}
	return c
}

// ID is the cluster id.
func (c *Cluster) ID() string { return c.cfg.ID }

// Brokers is how many there are; their ids are 0 to Brokers-1.
func (c *Cluster) Brokers() int32 { return c.cfg.Brokers }

// ProduceMax is the highest version of Produce that is offered.
func (c *Cluster) ProduceMax() int16 { return c.cfg.ProduceMax }

func (c *Cluster) now() int64 { return c.agenda.Now() }

func (c *Cluster) logf(format string, args ...any) {
	if c.Tell != nil {
		c.Tell(format, args...)
	}
}

// within is a random time from 0 to most.
func (c *Cluster) within(most int64) int64 { return c.rng.Int64N(most + 1) }

func (c *Cluster) chance(p float64) bool { return p > 0 && c.rng.Float64() < p }

// Right is something that a principal may be denied.
type Right uint8

// Rights.
const (
	Write      Right = iota + 1 // Produce to a topic
	Read                        // Fetch and DescribeProducers of a topic
	Describe                    // Metadata of a topic
	Idempotent                  // InitProducerId; topic ""
	Configs                     // DescribeConfigs; topic ""
	Transact                    // everything about a transactional id, which stands for the topic
	Group                       // everything about a group, which stands for the topic
)

type denial struct {
	right Right
	topic string
}

// Deny takes a right away, or gives it back.
func (c *Cluster) Deny(r Right, topic string, denied bool) { c.denied[denial{r, topic}] = denied }

func (c *Cluster) may(r Right, topic string) bool { return !c.denied[denial{r, topic}] }
