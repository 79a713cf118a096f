package soak

import (
	"strconv"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/proc"
)

// Sample is one moment of the run.
type Sample struct {
	At       float64 // seconds since the run began
	Epoch    int
	Pid      int
	Answered uint64        // records that clients were told are spooled, before Status was asked
	Use      *proc.Usage   // nil: no process runs
	Status   *crash.Status // nil: it did not answer
	Routines int           // goroutines; 0: it was not asked, or did not answer
	Disk     int64         // bytes that the spool's files occupy
	Device   int64         // bytes that were written to its disk so far
	Trouble  string        // what is on
}

// column is a column of samples.csv. Those that nobody could tell are empty.
type column struct {
	name string
	text func(*Sample) string
}

var columns = []column{
	{"t_s", func(s *Sample) string { return strconv.FormatFloat(s.At, 'f', 2, 64) }},
	{"epoch", func(s *Sample) string { return strconv.Itoa(s.Epoch) }},
	{"pid", func(s *Sample) string { return strconv.Itoa(s.Pid) }},
	{"answered", func(s *Sample) string { return strconv.FormatUint(s.Answered, 10) }},
	{"accepted", asked(func(s *crash.Status) uint64 { return s.Accepted })},
	{"acked", asked(func(s *crash.Status) uint64 { return s.Acked })},
	{"pending", asked(func(s *crash.Status) uint64 { return s.Pending })},
	{"oldest_ms", asked(func(s *crash.Status) uint64 { return uint64(1000 * s.Oldest) })},
	{"spool_bytes", asked(func(s *crash.Status) int64 { return s.SpoolBytes })},
	{"segments", asked(func(s *crash.Status) int { return s.Segments })},
	{"keys", asked(func(s *crash.Status) int { return s.Keys })},
	{"retries", asked(func(s *crash.Status) uint64 { return s.Retries })},
	{"link_up", asked(func(s *crash.Status) int { return bit(s.Link == "up") })},
	{"full", asked(func(s *crash.Status) int { return bit(s.SpoolFull != "") })},
	{"disk_bytes", func(s *Sample) string { return strconv.FormatInt(s.Disk, 10) }},
	{"device_bytes", func(s *Sample) string { return strconv.FormatInt(s.Device, 10) }},
	{"anon_bytes", used(func(u *proc.Usage) int64 { return u.Anon })},
	{"file_bytes", used(func(u *proc.Usage) int64 { return u.File })},
	{"descriptors", used(func(u *proc.Usage) int { return u.Descriptors })},
	{"threads", used(func(u *proc.Usage) int { return u.Threads })},
	{"goroutines", func(s *Sample) string {
		if s.Routines == 0 {
			return ""
		}
		return strconv.Itoa(s.Routines)
	}},
	{"written_bytes", used(func(u *proc.Usage) int64 { return u.Written })},
	{"cpu_ms", used(func(u *proc.Usage) int64 { return u.CPU.Milliseconds() })},
	{"trouble", func(s *Sample) string { return s.Trouble }},
}

type number interface{ ~int | ~int64 | ~uint64 }

func asked[N number](f func(*crash.Status) N) func(*Sample) string {
	return func(s *Sample) string {
		if s.Status == nil {
			return ""
		}
		return strconv.FormatInt(int64(f(s.Status)), 10)
	}
}

func used[N number](f func(*proc.Usage) N) func(*Sample) string {
	return func(s *Sample) string {
		if s.Use == nil {
			return ""
		}
		return strconv.FormatInt(int64(f(s.Use)), 10)
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// head is the first line of samples.csv.
func head() []string {
	var out []string
	for _, c := range columns {
		out = append(out, c.name)
	}
	return out
}

// row is one of the others.
func (s *Sample) row() []string {
	out := make([]string, 0, len(columns))
	for _, c := range columns {
		out = append(out, c.text(s))
	}
	return out
}
