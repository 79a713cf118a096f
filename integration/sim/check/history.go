package check

// History is one run, told in the order in which things happened.
type History struct {
	Hosts   int
	Records []Record // sent by clients, by number
	Ops     []Op
	Events  []Event
	Logs    []Log
	// Dead are records in the dead letters, by host, at the end.
	Dead []Dead
	// Left behind at the end, by host.
	Hosted []Hosted
	// Healed is when the last fault had ended; Quiet when everything had left that could, or -1: it never did.
	Healed, Quiet int64
	// Waits are looks at topics of which records wait.
	Waits []Wait
	// Parks are the partitions that wait for an operator at the end, or did before one came.
	Parks []Park
	// Allowed are the reasons for parking that the faults of this run call for.
	Allowed map[string]bool
	// Reborn are topics that were created anew where Produce goes by name: a late request may put into the new one what
	// was meant for the former, and there it stands in no order.
	Reborn map[string]bool
	// Counts of partitions that each topic ever had.
	Counts map[string][]int32
	Hash   func(key []byte) uint32 // Kafka's murmur2, for keys
	Inputs map[int]*Input          // by client
	Open   []string                // transactions that have not ended at the end
}

// Record is what a client sent.
type Record struct {
	Op        int
	Topic     string
	Partition int32 // or -1
	Key       []byte
	Value     []byte
	Headers   []Header
	Timestamp int64 // Given: the client's own
	Given     bool
}

// Header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Op is a client's request: its records go together.
type Op struct {
	Host    int
	First   int // record
	Count   int
	Keyed   bool // repeated with the same key until it is answered
	Foreign bool // a key that another request had used: must be refused
	Unit    bool // its records are in one transaction
	Online  bool // it is not spooled: it is delivered at once, or aborted
}

// Input is what was made of one input, whose offsets are committed in the transactions of the records.
type Input struct {
	Ops       []int    // of each offset, in order
	Told      []Result // of each, what the last attempt was told: OK, Refused (it was aborted), or Unknown
	Committed int64    // the offset that its group has at the end, and so below which all are done
}

// Kind of an Event.
type Kind uint8

// Kinds.
const (
	Durable   Kind = iota + 1 // Record is on Host's disk at Index of its topic's lane, with Timestamp
	Undone                    // Record is not any more: the disk was put back to an earlier day
	Back                      // Record had not left on that day, whatever became of it since
	Left                      // Record's settlement is durable: Outcome
	Asked                     // a request of Op reached the process
	Answered                  // the process told the client of Op: Result
	Acked                     // the process told that Record is at Partition, Offset (-1: place unknown)
	Sampled                   // Host's counters as they are durable, and what it uses
	Began                     // a process of Host began
	Ended                     // it ended: Result, and Text for people
	Broken                    // Host's disk gave an error: from here on its process may tell nobody "ok"
	Restored                  // Host's disk was put back to an earlier day, and what it holds was partly sent since
	Unchecked                 // Host's process said that it could not look whether it is a copy, or was not told of all partitions
	Moved                     // Host's process was led to another cluster; N = 1: and did not notice in time
	Sent                      // Host's process wrote N requests since the last Sent
	Woken                     // an alarm that Host's process had set went off
)

// Result of Answered and Ended.
type Result uint8

// Results.
const (
	OK      Result = iota + 1 // spooled
	Refused                   // nothing was stored by this attempt
	Reused                    // the key was used for other records
	Unknown                   // it may be stored or not

	Killed  // by the world
	Stopped // as it should: asked to
	Poison  // the disk failed it
	Copied  // it noticed that its spool is a copy (P11)
	Foreign // it noticed another cluster
	Bug     // it panicked, or ended for no good reason
)

// Event is one thing that happened. Which fields mean something depends on Kind.
type Event struct {
	At        int64
	Kind      Kind
	Host      int
	Op        int
	Record    int
	Index     uint64
	Timestamp int64
	Outcome   Outcome
	Result    Result
	Partition int32
	Offset    int64
	Sample    *Sample
	N         int
	Text      string
}

// Outcome is how a record left a spool.
type Outcome uint8

// Outcomes, in the product's order.
const (
	OutcomeAcked Outcome = iota + 1
	OutcomeDead
	OutcomeExpired
)

// Sample is what a host's disk and process say of themselves.
type Sample struct {
	Accepted, Acked, DeadLettered, Expired uint64
	Bytes, MaxBytes                        int64  // of the disk
	Owned, MaxOwned                        int64  // of the files of a spool that has some
	Overdrawn                              string // what takes more than it may, or is not counted
	Buffer, MaxBuffer                      int    // of memory
	InFlight, MaxInFlight                  int    // Produce requests unanswered on one connection
	Unanswered, MaxUnanswered              int    // batches of one partition on the wire
}

// Log is one partition of one incarnation of a topic, below the high watermark, with what retention has taken.
type Log struct {
	Topic     string
	ID        string
	Partition int32
	Deleted   bool // the topic was: then Entries are what any replica had, replicated or not
	Entries   []Entry
}

// Entry of a Log.
type Entry struct {
	Offset    int64
	Timestamp int64
	Appended  bool // the timestamp is the broker's
	Key       []byte
	Value     []byte
	Headers   []Header
	Record    int          // number of the Record that it claims to be; -1: of none
	Of        *Transaction // nil: it is in none
	Unread    bool         // it was deleted before its transaction had ended
}

// Transaction is the Kafka transaction that an Entry is in.
type Transaction struct {
	Number  int64
	Aborted bool  // a reader of committed records leaves it out
	Open    bool  // a reader of committed records waits for its end
	Commit  bool  // what the coordinator decided
	Decided int64 // when; -1: not yet
	Torn    bool  // the cluster itself has committed a part of it and aborted the rest
}

// Dead letter.
type Dead struct {
	Host, Record int
}

// Hosted is what a host's disk holds at the end.
type Hosted struct {
	Pending []int // records that have not left
	Stopped bool  // the process had to stop for good (P11): what is pending stays so
}

// Park is a partition that waits for an operator.
type Park struct {
	Host      int
	Topic     string
	Partition int32
	Reason    string
}

// Violation is a law that was broken.
type Violation struct {
	Law  string // "P1" …
	Text string
}

func (v Violation) String() string { return v.Law + ": " + v.Text }
