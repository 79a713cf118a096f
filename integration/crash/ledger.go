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
	seed uint64
	size int // about how many bytes a value has

	mu      sync.Mutex
	clients []account
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
func Key(client int) string { return "client-" + strconv.Itoa(client) }

// Value is the value of a client's record n. It can be told from any other.
func (l *Ledger) Value(client, n int) []byte { return Value(l.seed, client, n, l.size) }

// Value is Ledger.Value for a program that has no ledger.
func Value(seed uint64, client, n, size int) []byte {
	r := rand.New(rand.NewPCG(seed, uint64(client)<<32|uint64(n)))
	v := fmt.Appendf(nil, "%d/%d/", client, n)
	for want := r.IntN(size) + size/2; len(v) < want; {
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
	Reordered  int // behind a later record of the same client
	Changed    int // bytes that nobody sent, or a key that is not the sender's
	Strayed    int // clients whose records are on more than one partition
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

type sight struct {
	partition int32
	strayed   bool
	last      int // highest n so far, -1: none
	read      map[int]bool
	dense     int // all below were read
}

// Read begins a comparison. Sending has ended.
func (l *Ledger) Read() *Reading {
	r := &Reading{l: l, seen: make([]sight, len(l.clients))}
	for i := range r.seen {
		r.seen[i] = sight{partition: -1, last: -1, read: make(map[int]bool)}
	}
	return r
}

// Record takes one record, in offset order within its partition.
func (r *Reading) Record(partition int32, offset int64, key, value []byte) {
	v := &r.verdict
	v.Records++
	var client, n int
	if _, err := fmt.Sscanf(string(value[:min(len(value), 40)]), "%d/%d/", &client, &n); err != nil ||
		client < 0 || client >= len(r.seen) || n < 0 || n >= r.l.clients[client].next ||
		string(value) != string(r.l.Value(client, n)) || string(key) != Key(client) {
		v.Changed++
		v.note("partition %d offset %d: nobody sent key %q value %.60q", partition, offset, key, value)
		return
	}
	s := &r.seen[client]
	if s.partition >= 0 && s.partition != partition && !s.strayed {
		s.strayed = true
		v.Strayed++
		v.note("client %d record %d: on partition %d, earlier ones on %d", client, n, partition, s.partition)
	}
	s.partition = partition
	switch {
	case n < s.dense || s.read[n]:
		v.Duplicated++
		v.note("partition %d offset %d: client %d record %d is there again", partition, offset, client, n)
	case n < s.last:
		v.Reordered++
		v.note("partition %d offset %d: client %d record %d stands behind %d", partition, offset, client, n, s.last)
		fallthrough
	default:
		s.read[n] = true
		for s.read[s.dense] {
			delete(s.read, s.dense)
			s.dense++
		}
	}
	s.last = max(s.last, n)
}

// Verdict ends the comparison.
func (r *Reading) Verdict() *Verdict {
	for client := range r.seen {
		s, a := &r.seen[client], &r.l.clients[client]
		for n := s.dense; n < a.next; n++ {
			if !s.read[n] && !a.maybe[n] {
				r.verdict.Lost++
				r.verdict.note("client %d record %d was answered and is not there", client, n)
			}
		}
	}
	return &r.verdict
}

// Keyless reports whether a client of libprog sends without a key.
func Keyless(client int) bool { return client%4 == 3 }
