package world

import (
	"cmp"
	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/sender"
)

// Plan decides a run. It is kept as JSON where a run is to be repeated for good.
type Plan struct {
	Seed    uint64 // of all streams
	Brokers int32
	Cluster broker.Config
	Weather broker.Weather
	Topics  []Topic
	Hosts   []Host
	Clients []Client
	Chance  Chance
	Faults  []Fault
	Lasting []Lasting `json:",omitempty"`
	Chaos   int64     // ms until everything heals
	// Whole: it is to be a history that is counted. Everything heals later, at most after twice the time, if there are
	// too few records before, and a kill that met a host which was down is made up for.
	Whole bool `json:",omitempty"`
	// ZombieMs is the longest time that a request of a former connection may take.
	ZombieMs int64
	Allowed  []string // reasons for parking that these faults call for
}

// Topic is one topic of the cluster.
type Topic struct {
	Name       string
	Partitions int
	Replicas   int
	MinISR     int
	AppendTime bool
	Compact    bool
	Refuse     int  // one record in so many is refused for good; 0: none
	Named      bool // refusals say which records
	Late       bool // it is created only in the middle of the run

	Settings broker.TopicConfig `json:"-"` // of a topic with lasting trouble
}

// Host is one host.
type Host struct {
	Sender   sender.Config
	MaxBytes int64
	MaxKeys  int
	SettleMs int64
	CommitMs int64 // longest commit
	Wall     int64 // its clock is off by so much, ms
	Real     bool  // its disk is spool/bolt, compared with a model of it
	Alone    bool  `json:",omitempty"` // its disk is spool/bolt, and nobody compares it
	ExpireMs int64 `json:",omitempty"` // records are given up at times that are so far apart, about; 0: never
	// QuotaBytes is what pending records of each topic may take, QuotaFull what becomes of others then; DeadBytes is what dead letters
	// may, and DeadBlock whether there are to be no others then. Of Alone.
	QuotaBytes int64 `json:",omitempty"`
	QuotaFull  uint8 `json:",omitempty"`
	DeadBytes  int64 `json:",omitempty"`
	DeadBlock  bool  `json:",omitempty"`
	// TransactionalID: it delivers in transactions, of which none is open for longer than TimeoutMs, and carries more than MaxUnit
	// records only if they are of one request.
	TransactionalID string `json:",omitempty"`
	TimeoutMs       int64  `json:",omitempty"`
	MaxUnit         int    `json:",omitempty"`
	// Piece is how many records of a unit go to the disk at once, at most, before it is committed; 0: all units are written as they are
	// committed. Of Alone.
	Piece int `json:",omitempty"`
}

// Client sends to one host.
type Client struct {
	Host   int
	Kind   ClientKind
	Think  int64 // longest pause between two requests, ms
	Batch  int   // most records in a request
	Keys   int   // record keys that it uses; 0: no keys
	Ops    int   // requests in all
	Old    int64 // some records are so old, ms
	Pinned bool  // some records ask for a partition
	Pad    int   `json:",omitempty"` // bytes more in each value
}

// ClientKind says how a client behaves.
type ClientKind uint8

// Kinds of clients.
const (
	Keyed     ClientKind = iota + 1 // repeats until answered, with an idempotency key
	Plain                           // does not repeat
	Tailer                          // goes on where a note says that it was
	Pipeline                        // does not wait for answers
	Processor                       // commits offsets of its input with what it makes of it
)

// Chance is what may befall a message or a request, each as a probability.
type Chance struct {
	LoseAnswer  float64 // a Produce request is served, its answer is lost and the connection cut
	LoseRequest float64 // it is not served, and the connection cut
	Twice       float64 // a Produce request arrives once more, later, on a connection of its own
	Hold        float64 // its answer takes long
	Zombie      float64 // a request of a lost connection arrives later
	LoseReply   float64 // a client does not receive what the host answered
	Impatient   float64 // a client repeats before it has an answer
}

// Fault is something that happens at a time. What A, B and D mean depends on the kind.
type Fault struct {
	At   int64 // ms
	Kind FaultKind
	A    int32  // host, or broker
	B    int32  // broker, partition, or number
	D    int64  // for so long, ms; or how much
	Name string `json:",omitempty"` // topic
}

// FaultKind is a kind of fault.
type FaultKind string

// Kinds of faults.
const (
	// Of hosts: A is the host, D how long.
	KillHost       FaultKind = "kill -9 of a host's process"
	PowerCut       FaultKind = "power cut of a host"
	StopHost       FaultKind = "stop of a host's process in good order"
	PauseHost      FaultKind = "pause of a host"
	ClockJump      FaultKind = "jump of a host's clock"
	DiskSlow       FaultKind = "slow disk"
	DiskFull       FaultKind = "full disk: new records are refused"
	DiskNoSpace    FaultKind = "commit that meets a full disk"
	DiskError      FaultKind = "failed sync"
	Restore        FaultKind = "disk put back to an earlier day"
	Foreign        FaultKind = "host led to another cluster"
	ForeignCluster FaultKind = "brokers rebuilt with another cluster id"
	Rival          FaultKind = "transactional id taken by another producer"
	// Of the network between host A and broker B.
	Cut   FaultKind = "cut connection"
	Hang  FaultKind = "connection on which nothing passes"
	Apart FaultKind = "host apart from all brokers"
	// Of brokers: A is the broker, D how long.
	KillBroker  FaultKind = "kill -9 of a broker"
	StopBroker  FaultKind = "restart of a broker in order"
	PauseBroker FaultKind = "pause of a broker"
	CutOff      FaultKind = "broker apart from the others"
	SlowBroker  FaultKind = "broker whose replicas lag"
	Rolling     FaultKind = "rolling restart"
	// Of topics: Name, and B the partition.
	MoveLeader FaultKind = "leader moved"
	Grow       FaultKind = "partitions added"
	Retain     FaultKind = "log start raised"
	Recreate   FaultKind = "topic deleted and created anew"
	LowerMax   FaultKind = "max.message.bytes lowered"
	Policy     FaultKind = "policy of the brokers that refuses all records"
	Deny       FaultKind = "right taken away"
	// Of the world.
	Night FaultKind = "hours without anybody"
)

// sender is the configuration of the host's core: plans leave out what no fault is about.
func (h *Host) sender() sender.Config {
	c := h.Sender
	c.MarginMs = cmp.Or(c.MarginMs, 20*3600_000)
	c.MetadataMaxIdleMs = cmp.Or(c.MetadataMaxIdleMs, 2*c.MetadataMaxAgeMs)
	return c
}
