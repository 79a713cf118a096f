package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// story tells a history, event after event, one ms after the other. Whoever tells one thing wrong tells it himself: what a
// story adds of its own accord (counts, places, answers) is true.
type story struct {
	h     *History
	at    int64
	index map[string]uint64 // next, by lane
	disk  []Sample          // what each host's disk counts
	left  map[int]Outcome
}

// chapter is one thing more in a sound history, and what the checker is to say of it. Nothing: it is sound.
type chapter struct {
	name string
	tell func(*story)
	want []string
}

// run tells each chapter after an ordinary day of two hosts, has the processes end in good order, and checks.
// Times in a chapter begin at 1000 ms, records at 8, requests at 7.
func run(t *testing.T, chapters []chapter) {
	t.Helper()
	for _, c := range chapters {
		t.Run(c.name, func(t *testing.T) {
			if got := told(c.tell); !slices.Equal(got, c.want) {
				t.Errorf("the checker says\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
		})
	}
}

func told(tell func(*story)) (got []string) {
	s := ordinaryDay()
	s.at = 1000
	tell(s)
	s.end()
	for _, v := range Check(s.h) {
		got = append(got, v.String())
	}
	return got
}

// beginning has two hosts and nothing else. Topic a has two partitions, b one.
func beginning() *story {
	s := &story{h: &History{
		Hosts:   2,
		Healed:  2000,
		Quiet:   3000,
		Hosted:  make([]Hosted, 2),
		Allowed: map[string]bool{"the topic was deleted": true},
		Reborn:  map[string]bool{},
		Counts:  map[string][]int32{"a": {2}, "b": {1}},
		Hash:    func(key []byte) uint32 { return uint32(len(key)) | 1<<31 },
	}, index: map[string]uint64{}, disk: make([]Sample, 2), left: map[int]Outcome{}}
	s.tell(Event{Kind: Began, Host: 0})
	s.tell(Event{Kind: Began, Host: 1})
	return s
}

// ordinaryDay has one of everything that may be.
func ordinaryDay() *story {
	s := beginning()
	s.delivered(s.spooled(0, "a"), 0)
	s.delivered(s.spooled(0, "a", func(r *Record) { r.Key = []byte("k") }), 1)
	s.delivered(s.spooled(1, "a", func(r *Record) { r.Given, r.Timestamp, r.Partition = true, 77, 0 }), 0)
	s.delivered(s.spooled(0, "a", func(r *Record) { r.Headers = []Header{{"h", []byte("x")}, {"", nil}} }), 0)
	s.dead(s.spooled(0, "a"))
	s.settled(s.spooled(1, "a"), OutcomeExpired)
	s.answered(s.sent(1, "b"), Refused)
	r := s.sent(1, "b", func(r *Record) { r.Value = nil })
	s.answered(r, Refused)
	s.asked(r)
	s.durable(r)
	s.answered(r, OK)
	s.delivered(r, 0)
	s.tell(Event{Kind: Sent, Host: 0, N: 3})
	s.tell(Event{Kind: Woken, Host: 0})
	s.sampled(0)
	return s
}

// end ends all processes as they should.
func (s *story) end() {
	for host := range s.h.Hosts {
		s.sampled(host)
		s.tell(Event{Kind: Ended, Host: host, Result: Stopped, Text: "the run is over"})
	}
}

func (s *story) tell(e Event) {
	e.At = s.at
	s.at++
	s.h.Events = append(s.h.Events, e)
}

// sent is a request of one record.
func (s *story) sent(host int, topic string, more ...func(*Record)) int {
	return s.sentMany(host, topic, 1, more...)
}

// sentMany is a request of many records; its first is the answer.
func (s *story) sentMany(host int, topic string, n int, more ...func(*Record)) int {
	first := len(s.h.Records)
	for i := range n {
		r := Record{Op: len(s.h.Ops), Topic: topic, Partition: -1, Value: fmt.Appendf(nil, "v%d", first+i)}
		for _, do := range more {
			do(&r)
		}
		s.h.Records = append(s.h.Records, r)
	}
	s.h.Ops = append(s.h.Ops, Op{Host: host, First: first, Count: n})
	s.asked(first)
	return first
}

func (s *story) op(r int) *Op { return &s.h.Ops[s.h.Records[r].Op] }

func (s *story) host(r int) int { return s.op(r).Host }

func (s *story) asked(r int) { s.tell(Event{Kind: Asked, Host: s.host(r), Op: s.h.Records[r].Op}) }

func (s *story) answered(r int, as Result) {
	s.tell(Event{Kind: Answered, Host: s.host(r), Op: s.h.Records[r].Op, Result: as})
}

// durable puts a record behind the others of its lane, with the client's timestamp, or 500.
func (s *story) durable(r int) {
	x, ts := &s.h.Records[r], int64(500)
	if x.Given {
		ts = x.Timestamp
	}
	s.durableWith(r, ts)
}

func (s *story) durableWith(r int, ts int64) {
	lane := fmt.Sprint(s.host(r), s.h.Records[r].Topic)
	s.tell(Event{Kind: Durable, Host: s.host(r), Record: r, Index: s.index[lane], Timestamp: ts})
	s.index[lane]++
	s.disk[s.host(r)].Accepted++
}

func (s *story) spooled(host int, topic string, more ...func(*Record)) int {
	r := s.sent(host, topic, more...)
	s.durable(r)
	s.answered(r, OK)
	return r
}

// log is the last one of a partition.
func (s *story) log(topic string, partition int32) *Log {
	for i := len(s.h.Logs) - 1; i >= 0; i-- {
		if l := &s.h.Logs[i]; l.Topic == topic && l.Partition == partition && !l.Deleted {
			return l
		}
	}
	s.h.Logs = append(s.h.Logs, Log{Topic: topic, Partition: partition})
	return &s.h.Logs[len(s.h.Logs)-1]
}

// appended puts a record into a log as it was sent, behind the others: at its offset.
func (s *story) appended(r int, partition int32, more ...func(*Entry)) int64 {
	x := &s.h.Records[r]
	e := Entry{Timestamp: 500, Key: x.Key, Value: x.Value, Headers: x.Headers, Record: r}
	if x.Given {
		e.Timestamp = x.Timestamp
	}
	l := s.log(x.Topic, partition)
	e.Offset = int64(len(l.Entries))
	for _, do := range more {
		do(&e)
	}
	l.Entries = append(l.Entries, e)
	return e.Offset
}

func (s *story) acked(r int, partition int32, offset int64) {
	s.tell(Event{Kind: Acked, Host: s.host(r), Record: r, Partition: partition, Offset: offset})
}

func (s *story) settled(r int, as Outcome) {
	s.tell(Event{Kind: Left, Host: s.host(r), Record: r, Outcome: as})
	s.count(r, as, 1)
	s.left[r] = as
}

func (s *story) count(r int, as Outcome, n uint64) {
	switch d := &s.disk[s.host(r)]; as {
	case OutcomeAcked:
		d.Acked += n
	case OutcomeDead:
		d.DeadLettered += n
	case OutcomeExpired:
		d.Expired += n
	}
}

func (s *story) delivered(r int, partition int32, more ...func(*Entry)) {
	s.acked(r, partition, s.appended(r, partition, more...))
	s.settled(r, OutcomeAcked)
}

func (s *story) dead(r int) {
	s.settled(r, OutcomeDead)
	s.h.Dead = append(s.h.Dead, Dead{Host: s.host(r), Record: r})
}

func (s *story) pending(r int) {
	p := &s.h.Hosted[s.host(r)].Pending
	*p = append(*p, r)
}

// undone and back are a disk that is put back to a day before the record, or before its settlement.
func (s *story) undone(r int) {
	s.tell(Event{Kind: Undone, Host: s.host(r), Record: r})
	s.disk[s.host(r)].Accepted--
	s.count(r, s.left[r], ^uint64(0))
	delete(s.left, r)
}

func (s *story) back(r int) {
	s.tell(Event{Kind: Back, Host: s.host(r), Record: r})
	s.count(r, s.left[r], ^uint64(0))
	delete(s.left, r)
}

// sampled tells what a disk counts, at the edge of every limit.
func (s *story) sampled(host int, more ...func(*Sample)) {
	x := s.disk[host]
	x.Bytes, x.MaxBytes, x.Buffer, x.MaxBuffer, x.InFlight, x.MaxInFlight, x.Unanswered, x.MaxUnanswered = 100, 100, 90, 90, 5, 5, 4, 4
	for _, do := range more {
		do(&x)
	}
	s.tell(Event{Kind: Sampled, Host: host, Sample: &x})
}
