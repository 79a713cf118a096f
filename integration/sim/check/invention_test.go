package check

import "testing"

func TestNothingIsInALogThatWasNotSentByteForByte(t *testing.T) { run(t, inventions) }

// entered is one record more of topic a, acked in partition 0 with something about its entry changed.
func entered(change func(*Entry), more ...func(*Record)) func(*story) {
	return func(s *story) { s.delivered(s.spooled(0, "a", more...), 0, change) }
}

func header(r *Record) { r.Headers = []Header{{"h", []byte("x")}} }

func asSent(*Entry) {}

const sent8 = "P5: a-0 at 3: record 8 (host 0, topic a) "

var inventions = []chapter{
	{"an entry that is nobody's", func(s *story) {
		s.appended(s.spooled(1, "b"), 0, func(e *Entry) { e.Record, e.Key, e.Value = -1, []byte("k"), []byte("what?") })
		s.delivered(8, 0)
	}, []string{`P5: b-0 at 1: nobody sent key "k" value "what?"`}},
	{"an entry with the number of no record", func(s *story) {
		s.appended(s.spooled(1, "b"), 0, func(e *Entry) { e.Record = 9 })
		s.delivered(8, 0)
	}, []string{`P5: b-0 at 1: nobody sent key "" value "v8"`}},
	{"an entry with a value of which only the beginning is told", func(s *story) {
		s.appended(s.spooled(1, "b"), 0, func(e *Entry) { e.Record, e.Value = -1, []byte("0123456789012345678901234567890123456789and more") })
		s.delivered(8, 0)
	}, []string{`P5: b-0 at 1: nobody sent key "" value "0123456789012345678901234567890123456789"`}},
	{"a record that never was on a disk", func(s *story) {
		s.appended(s.sent(0, "a"), 0)
	}, []string{sent8 + "is there and never was on its host's disk"}},
	{"an invention in a log that was deleted", func(s *story) {
		s.appended(s.sent(0, "a"), 0)
		s.log("a", 0).Deleted = true
	}, []string{sent8 + "is there and never was on its host's disk"}},
	{"a record in a log of another topic", func(s *story) {
		r := s.spooled(1, "b")
		s.h.Records[r].Topic = "a"
		s.delivered(r, 0)
		s.h.Records[r].Topic = "b"
	}, []string{"P5: a-0 at 3: record 8 (host 1, topic b) was sent to another topic"}},
	{"another value", entered(func(e *Entry) { e.Value = []byte("v9") }),
		[]string{sent8 + `has other bytes: key "" value "v9" headers [], sent were "" "v8" []`}},
	{"another key", entered(func(e *Entry) { e.Key = []byte("kk") }),
		[]string{sent8 + `has other bytes: key "kk" value "v8" headers [], sent were "" "v8" []`}},
	{"an empty key for none", entered(func(e *Entry) { e.Key = []byte{} }),
		[]string{sent8 + `has other bytes: key "" value "v8" headers [], sent were "" "v8" []`}},
	{"no value for an empty one", entered(func(e *Entry) { e.Value = nil }, func(r *Record) { r.Value = []byte{} }),
		[]string{sent8 + `has other bytes: key "" value "" headers [], sent were "" "" []`}},
	{"no headers", entered(func(e *Entry) { e.Headers = nil }, header),
		[]string{sent8 + `has other bytes: key "" value "v8" headers [], sent were "" "v8" [{"h" "x"}]`}},
	{"a header of another name", entered(func(e *Entry) { e.Headers = []Header{{"i", []byte("x")}} }, header),
		[]string{sent8 + `has other bytes: key "" value "v8" headers [{"i" "x"}], sent were "" "v8" [{"h" "x"}]`}},
	{"a header of another value", entered(func(e *Entry) { e.Headers = []Header{{"h", nil}} }, header),
		[]string{sent8 + `has other bytes: key "" value "v8" headers [{"h" ""}], sent were "" "v8" [{"h" "x"}]`}},
	{"another timestamp than on the disk", entered(func(e *Entry) { e.Timestamp = 501 }),
		[]string{sent8 + "has timestamp 501, spooled with 500"}},
	{"another timestamp, and it is the broker's", entered(func(e *Entry) { e.Timestamp, e.Appended = 501, true }), nil},
	{"the timestamp of the day before its disk was put back", func(s *story) {
		r := s.spooled(1, "b")
		s.delivered(r, 0)
		s.undone(r)
		s.durableWith(r, 600)
		s.delivered(r, 0, func(e *Entry) { e.Timestamp = 600 })
	}, nil},
	{"a timestamp of neither day", func(s *story) {
		r := s.spooled(1, "b")
		s.undone(r)
		s.durableWith(r, 600)
		s.delivered(r, 0, func(e *Entry) { e.Timestamp = 501 })
	}, []string{"P5: b-0 at 1: record 8 (host 1, topic b) has timestamp 501, spooled with 600"}},
	{"another timestamp on the disk than the client's", func(s *story) {
		r := s.sent(0, "a", func(r *Record) { r.Given, r.Timestamp = true, 77 })
		s.durableWith(r, 78)
		s.answered(r, OK)
		s.delivered(r, 0, func(e *Entry) { e.Timestamp = 78 })
	}, []string{sent8 + "was spooled with timestamp 78, sent with 77"}},
	{"another partition than the client asked for", entered(asSent, func(r *Record) { r.Partition = 1 }),
		[]string{sent8 + "was sent to partition 1"}},
	{"another partition than the first, for which the client asked", func(s *story) {
		s.delivered(s.spooled(0, "a", func(r *Record) { r.Partition = 0 }), 1)
	}, []string{"P5: a-1 at 1: record 8 (host 0, topic a) was sent to partition 0"}},
	{"the partition that the client asked for, and not its key's", entered(asSent, func(r *Record) { r.Partition, r.Key = 0, []byte("k") }), nil},
	{"another partition than its key's", entered(asSent, func(r *Record) { r.Key = []byte("k") }),
		[]string{sent8 + `has key "k", which belongs to no such partition of [2]`}},
	{"another partition than that of a key that is empty", func(s *story) {
		s.delivered(s.spooled(0, "a", func(r *Record) { r.Key = []byte{} }), 1)
	}, []string{`P5: a-1 at 1: record 8 (host 0, topic a) has key "", which belongs to no such partition of [2]`}},
	{"the partition of its key when the topic had fewer", func(s *story) {
		s.h.Counts["a"] = []int32{1, 2}
		s.delivered(s.spooled(0, "a", func(r *Record) { r.Key = []byte("k") }), 0)
	}, nil},
	{"the partition of its key since the topic has more", func(s *story) {
		s.h.Counts["a"] = []int32{2, 3}
		s.delivered(s.spooled(0, "a", func(r *Record) { r.Key = []byte("kk") }), 2)
	}, nil},
}
