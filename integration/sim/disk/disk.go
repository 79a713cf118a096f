package disk

import (
	"errors"
	"hash/fnv"

	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// Disk is one host's spool as the host's process uses it. Between Begin and Finish a commit is under way.
type Disk interface {
	// Open is a start: it gives what the disk holds.
	Open(c Clock) (*spool.Recovered, error)
	// Append puts a batch into the open group, or says why not. now is what the process takes the time for.
	Append(b *bolt.BatchInput, now spool.Time) (Receipt, error)
	// Begin takes the open group and writes, to make them durable.
	Begin(writes []*spool.Write, now spool.Time)
	// Finish ends the commit well and says what is durable now.
	Finish() []Commit
	// Answered are the groups whose callers were told since the last call that they are spooled, rightly or not.
	Answered() []uint64
	// Fail ends the commit with an error: whether it is durable, nobody is told. The process must end, or Open again.
	Fail(durable, full bool) error
	// Crash ends the process. power: the kernel's memory goes, too. pick(n) chooses one of n ways it may go.
	Crash(power bool, pick func(n int) int)
	// Now is the time as the process is told.
	Now() spool.Time
	// Read gives entries, as bolt.Store.Read does.
	Read(lane spool.LaneID, from spool.Index, bytes int) ([]spool.Section, spool.Index, error)
	// OnDurable has f told of every commit that is durable, whatever became of the process.
	OnDurable(f func([]DurableBatch, []*spool.Write))
	// Note is a caller's fact, as it was last committed.
	Note(name string) ([]byte, bool)
	// DeadLettered reports whether an entry is among the dead letters.
	DeadLettered(lane spool.LaneID, i spool.Index) bool
	// Counters of all that is durable.
	Counters() spool.Counters
	// Bytes is how much the records take that have not left.
	Bytes() int64
	// Copy is the disk as it is, for another host or another day.
	Copy() Disk
	// Close lets go of what the simulation itself holds.
	Close()
}

// Clock is what a host's process is told of time.
type Clock struct {
	Boot func() int64 // CLOCK_BOOTTIME, ms
	Wall func() int64 // ms since 1970
	// Boots is how often the host was booted: a boot of its own.
	Boots int
}

// Receipt says where a batch will be, or is.
type Receipt struct {
	Group  uint64 // that makes it durable; 0: it is
	Spots  []Spot // of its records
	Repeat bool   // it was there already, by its key
}

// DurableBatch is a batch that a commit made durable.
type DurableBatch struct {
	Batch      *bolt.BatchInput
	Spots      []Spot
	Timestamps []int64 // of its records, as they were spooled
}

// Spot is a record's place.
type Spot struct {
	Lane  spool.LaneID
	Index spool.Index
}

// Commit is one commit that is durable.
type Commit struct {
	Group  uint64 // its batches' Receipts
	Events spool.Committed
}

// What Append says; as spool/bolt does.
var (
	ErrFull      = errors.New("disk: the spool is full")
	ErrKeyReused = bolt.ErrKeyReused
	ErrKeyWindow = bolt.ErrKeyWindow
)

// Rules are a spool's limits.
type Rules struct {
	MaxBytes int64
	Keys     spool.KeyRule
	Policies // of a spool in files alone
}

// digest of a batch's key, and of the rest of it. Not the product's: equal batches have equal ones, that is all.
func digest(b *bolt.BatchInput) (spool.KeyDigest, uint64) {
	k := fnv.New128a()
	_, _ = k.Write([]byte(b.Scope + "\x00" + b.Key)) // a hash takes everything
	h := fnv.New64a()
	field := func(p []byte) {
		n := len(p)
		if p == nil {
			n = -1
		}
		_, _ = h.Write([]byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)})
		_, _ = h.Write(p)
	}
	for i := range b.Records {
		r := &b.Records[i]
		field([]byte(r.Topic))
		field([]byte{byte(r.Partition), byte(r.Partition >> 8), byte(r.Partition >> 16)})
		for s := range 8 {
			_, _ = h.Write([]byte{byte(r.Timestamp >> (8 * s))})
		}
		field(r.Key)
		field(r.Value)
		for _, x := range r.Headers {
			field([]byte(x.Key))
			field(x.Value)
		}
	}
	return spool.KeyDigest(k.Sum(nil)), h.Sum64()
}
