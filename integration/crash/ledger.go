package crash

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
)

// Ledger knows what was sent and what was answered. Each client numbers its
// records from 0 and never sends n+1 before n was answered, so in the topic they
// must stand 0, 1, 2… on one partition. Safe for concurrent use.
type Ledger struct {
	// Size says how long a client's next value is to be, from 1 byte up. Set it before
	// the first record; nil: about the size that NewLedger was given.
	Size func(client int, r *rand.Rand) int

	seed uint64
	size int // about how many bytes a value has

	mu      sync.Mutex
	clients []account
	grown   int // how often the topic got more partitions
}

type account struct {
	next  int          // the first n that was not answered yet
	maybe map[int]bool // sent once, never answered, never sent again: there once, or not at all
}

// NewLedger is for so many clients; values have about size bytes.
func NewLedger(seed uint64, clients, size int) *Ledger {
	return &Ledger{seed: seed, size: size, clients: make([]account, clients)}
}

// Clients is how many there are.
func (l *Ledger) Clients() int { return len(l.clients) }

// Key is the record key of a client: all its records go to one partition.
func Key(client int) string { return keyPrefix + strconv.Itoa(client) }

const keyPrefix = "client-"

// Value is the value of a client's record n. It can be told from any other, unless it
// is too short for that: then its place must tell.
func (l *Ledger) Value(client, n int) []byte {
	r := dice(l.seed, client, n)
	if l.Size == nil {
		return value(r, client, n, usual(r, l.size))
	}
	return value(r, client, n, l.Size(client, r))
}

// Value is Ledger.Value for a program that has no ledger.
func Value(seed uint64, client, n, size int) []byte {
	r := dice(seed, client, n)
	return value(r, client, n, usual(r, size))
}

func dice(seed uint64, client, n int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(client)<<32|uint64(n)))
}

func usual(r *rand.Rand, size int) int { return max(shortest, r.IntN(size)+size/2) }

// shortest is the least length of a value that says whose it is. Shorter ones are bytes that no such value begins with.
const shortest = 32

func value(r *rand.Rand, client, n, want int) []byte {
	v := make([]byte, 0, want+16)
	if want < shortest {
		for len(v) < want {
			v = append(v, 0x80|byte(r.Uint32()))
		}
		return v
	}
	v = append(strconv.AppendInt(v, int64(client), 10), '/')
	v = append(strconv.AppendInt(v, int64(n), 10), '/')
	for len(v) < want-9 { // which is the sum's length
		for x, i := r.Uint64(), 0; i < 8; i++ {
			v = append(v, 'a'+byte(x>>(8*i))%16)
		}
	}
	return fmt.Appendf(v, "/%08x", crc32.ChecksumIEEE(v))
}

// Next is the first record of client that was not answered yet.
func (l *Ledger) Next(client int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.clients[client].next
}

// Answered says that records up to n, without n, are spooled.
func (l *Ledger) Answered(client, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clients[client].next = max(l.clients[client].next, n)
}

// GaveUp says that the next record was sent, not answered, and will not be sent again.
func (l *Ledger) GaveUp(client int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &l.clients[client]
	if a.maybe == nil {
		a.maybe = make(map[int]bool)
	}
	a.maybe[a.next] = true
	a.next++
}

// Grew says that the topic gets more partitions now: from some record on, a client's may be on another one. A
// topic that grows must have no values under 32 bytes: their place says too little then.
func (l *Ledger) Grew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.grown++
}

// Total is how many records were sent: all of them, and those whose answer is missing.
func (l *Ledger) Total() (sent, unanswered int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.clients {
		sent += l.clients[i].next
		unanswered += len(l.clients[i].maybe)
	}
	return sent, unanswered
}

// Verdict is what the comparison found.
type Verdict struct {
	Records    int // in the topic
	Lost       int
	Duplicated int
	Reordered  int // behind a later record of the same client, on one partition
	Changed    int // bytes that nobody sent, or a key that is not the sender's
	Strayed    int // clients whose records are on more than one partition, or, if the topic grew, moved more often than that
	First      []string
}

// OK reports whether nothing is wrong.
func (v *Verdict) OK() bool {
	return v.Lost == 0 && v.Duplicated == 0 && v.Reordered == 0 && v.Changed == 0 && v.Strayed == 0
}

func (v *Verdict) String() string {
	s := fmt.Sprintf("%d records: lost %d, duplicated %d, reordered %d, changed %d, on a wrong partition %d",
		v.Records, v.Lost, v.Duplicated, v.Reordered, v.Changed, v.Strayed)
	if len(v.First) > 0 {
		s += "\nthe first of them:\n  " + strings.Join(v.First, "\n  ")
	}
	return s
}

func (v *Verdict) note(format string, args ...any) {
	if len(v.First) < 20 {
		v.First = append(v.First, fmt.Sprintf(format, args...))
	}
}

// Reading compares what is read, one record after the other, with the ledger.
type Reading struct {
	l       *Ledger
	verdict Verdict
	seen    []sight
}

// sight is what was seen of a client.
type sight struct {
	parts   []place // one for each partition, as they came
	moves   int     // stretches of records without a gap, on all partitions: each of them but one is a move
	strayed bool
	read    map[int]bool
	dense   int // all below were read
}

// place is a partition with records of a client.
type place struct {
	partition int32
	last      int // highest n so far; -1: none
}

func (s *sight) on(partition int32) *place {
	for i := range s.parts {
		if s.parts[i].partition == partition {
			return &s.parts[i]
		}
	}
	s.parts = append(s.parts, place{partition, -1})
	return &s.parts[len(s.parts)-1]
}

// Read begins a comparison. Sending has ended.
func (l *Ledger) Read() *Reading {
	r := &Reading{l: l, seen: make([]sight, len(l.clients))}
	for i := range r.seen {
		r.seen[i].read = make(map[int]bool)
	}
	return r
}

// Record takes one record, in offset order within its partition.
func (r *Reading) Record(partition int32, offset int64, key, value []byte) {
	v := &r.verdict
	v.Records++
	client, n := r.whose(partition, key, value)
	if client < 0 || client >= len(r.seen) || n < 0 || n >= r.l.clients[client].next ||
		string(value) != string(r.l.Value(client, n)) || string(key) != Key(client) {
		v.Changed++
		v.note("partition %d offset %d: nobody sent key %q value %.60q (%d bytes) here", partition, offset, key, value, len(value))
		return
	}
	s := &r.seen[client]
	at := s.on(partition)
	if len(s.parts) > 1+r.l.grown && !s.strayed {
		s.strayed = true
		v.Strayed++
		v.note("client %d record %d: on partition %d, earlier ones on %v", client, n, partition, s.parts[:len(s.parts)-1])
	}
	switch {
	case n < s.dense || s.read[n]:
		v.Duplicated++
		v.note("partition %d offset %d: client %d record %d is there again", partition, offset, client, n)
	case n < at.last:
		v.Reordered++
		v.note("partition %d offset %d: client %d record %d stands behind %d", partition, offset, client, n, at.last)
		fallthrough
	default:
		s.read[n] = true
		for s.read[s.dense] {
			delete(s.read, s.dense)
			s.dense++
		}
	}
	if at.last < 0 || n > at.last+1 {
		s.moves++
	}
	at.last = max(at.last, n)
}

// whose is the client and the number that a record seems to have.
func (r *Reading) whose(partition int32, key, value []byte) (client, n int) {
	if len(value) < shortest { // only its place can tell
		client, err := strconv.Atoi(strings.TrimPrefix(string(key), keyPrefix))
		if err != nil || client < 0 || client >= len(r.seen) {
			return -1, -1
		}
		return client, r.seen[client].on(partition).last + 1
	}
	who, rest, _ := strings.Cut(string(value[:min(len(value), 40)]), "/")
	what, _, _ := strings.Cut(rest, "/")
	client, err := strconv.Atoi(who)
	if err != nil {
		return -1, -1
	}
	if n, err = strconv.Atoi(what); err != nil {
		return -1, -1
	}
	return client, n
}

// Verdict ends the comparison.
func (r *Reading) Verdict() *Verdict {
	v := &r.verdict
	for client := range r.seen {
		s, a := &r.seen[client], &r.l.clients[client]
		for n := s.dense; n < a.next; n++ {
			if !s.read[n] && !a.maybe[n] {
				v.Lost++
				v.note("client %d record %d was answered and is not there", client, n)
			}
		}
		if len(s.parts) > 1 && s.moves > 1+r.l.grown && !s.strayed {
			v.Strayed++
			v.note("client %d: its records moved between partitions %d times, the topic grew %d times", client, s.moves-1, r.l.grown)
		}
	}
	return v
}

// Keyless reports whether a client of libprog sends without a key.
func Keyless(client int) bool { return client%4 == 3 }
