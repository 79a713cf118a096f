package soak

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kinds of trouble, as the files have them.
const (
	Kill          = "kill"
	EarlyKill     = "early-kill"
	Stop          = "stop"
	Freeze        = "freeze"
	BrokerKill    = "broker-kill"
	BrokerStop    = "broker-stop"
	BrokerFreeze  = "broker-freeze"
	BrokerRolling = "brokers-rolling"
	LinkRefuses   = "link-refuses"
	LinkHangs     = "link-hangs"
	Weather       = "weather"
	DiskFull      = "disk-full"
	Growth        = "growth"
	Rest          = "rest"
)

// titles says what a kind is, for people, in the order of the report.
var titles = []struct{ kind, title string }{
	{Kill, "SIGKILL of the daemon"},
	{EarlyKill, "of these, within 300 ms of its start"},
	{Stop, "SIGTERM and restart of the daemon"},
	{Freeze, "SIGSTOP of the daemon, for seconds"},
	{BrokerKill, "SIGKILL of a broker, mostly a leader"},
	{BrokerStop, "SIGTERM of a broker"},
	{BrokerFreeze, "SIGSTOP of a broker, for seconds"},
	{BrokerRolling, "rolling restart of all brokers"},
	{LinkRefuses, "outage: all links refuse"},
	{LinkHangs, "outage: all links hang"},
	{Weather, "stretches in which proxies break requests one by one"},
	{DiskFull, "disk filled by something else"},
	{Growth, "partitions added to a topic"},
	{Rest, "times at rest, to drain and to be idle"},
}

// Trouble is one of them, from when to when, in seconds since the run began.
type Trouble struct {
	Kind     string
	From, To float64
}

// Book is where trouble is written down. Safe for concurrent use.
type Book struct {
	began time.Time
	out   *csv.Writer

	mu    sync.Mutex
	list  []Trouble
	on    []string // what is on now
	count map[string]int
}

// NewBook is an empty one of a run that begins now. What ends is written to out, trouble.csv.
func NewBook(began time.Time, out io.Writer) *Book {
	b := &Book{began: began, out: csv.NewWriter(out), count: make(map[string]int)}
	b.write("kind", "from_s", "to_s")
	return b
}

// write writes a line that is only missed if it cannot be written.
func (b *Book) write(fields ...string) {
	_ = b.out.Write(fields)
	b.out.Flush()
}

// Begin writes down that trouble begins. It ends when end is called.
func (b *Book) Begin(kind string) (end func()) {
	from := time.Since(b.began).Seconds()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count[kind]++
	b.on = append(b.on, kind)
	return sync.OnceFunc(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		i := slices.Index(b.on, kind)
		b.on = slices.Delete(b.on, i, i+1)
		t := Trouble{kind, from, time.Since(b.began).Seconds()}
		b.list = append(b.list, t)
		b.write(kind, strconv.FormatFloat(t.From, 'f', 3, 64), strconv.FormatFloat(t.To, 'f', 3, 64))
	})
}

// Once writes down trouble that takes no time.
func (b *Book) Once(kind string) { b.Begin(kind)() }

// On is what is on now, with a plus sign between.
func (b *Book) On() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	on := slices.Sorted(slices.Values(b.on))
	return strings.Join(on, "+")
}

// Count is how often there was trouble of a kind.
func (b *Book) Count(kind string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count[kind]
}

// Seconds is how long trouble of a kind lasted in all.
func (b *Book) Seconds(kind string) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	sum := 0.0
	for _, t := range b.list {
		if t.Kind == kind {
			sum += t.To - t.From
		}
	}
	return sum
}

// Table is all counts, for people.
func (b *Book) Table() string {
	var out strings.Builder
	for _, t := range titles {
		fmt.Fprintf(&out, "\n  %6d  %s", b.Count(t.kind), t.title)
	}
	return out.String()
}
