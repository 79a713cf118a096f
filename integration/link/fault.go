package link

import (
	"fmt"
	"strings"
	"time"
)

// Fault is one way to break a request or its answer.
type Fault uint8

// The faults. All but Zombie are mutually exclusive for one request.
const (
	Pass         Fault = iota // none
	DropRequest               // not passed on; then both sides are closed
	DropAnswer                // passed on and served; its answer is not passed back; then both sides are closed
	HoldAnswer                // its answer, and those behind it, wait
	DelayRequest              // it, and those behind it, wait
	CutRequest                // only its first bytes are passed on; then both sides are closed
	CutAnswer                 // only the first bytes of its answer are passed back; then both sides are closed
	Reset                     // both sides are reset after it was passed on, answer or not
	Blackhole                 // from here on nothing passes in either direction, and nothing is closed
	Duplicate                 // passed on twice on the same connection; the second answer is swallowed
	Zombie                    // a Produce request that is sent again after its connection is gone, on its own connection
	numFaults
)

var faultNames = [numFaults]string{"pass", "drop-request", "drop-answer", "hold-answer", "delay-request", "cut-request",
	"cut-answer", "reset", "blackhole", "duplicate", "zombie"}

func (f Fault) String() string { return faultNames[f] }

// Mix says how often what happens. The zero Mix lets everything pass.
type Mix struct {
	Chance      [numFaults]float64 // per request; of Zombie, per Produce request
	Hold, Delay time.Duration      // longest of HoldAnswer and DelayRequest
	After       time.Duration      // longest time between the end of a connection and its zombies
}

// Counts is how often what happened.
type Counts [numFaults]int

func (c Counts) String() string {
	var out []string
	for f, n := range c {
		out = append(out, fmt.Sprintf("%v %d", Fault(f), n))
	}
	return strings.Join(out, ", ")
}

// Total is how many faults there were.
func (c Counts) Total() int {
	n := 0
	for f := Pass + 1; f < numFaults; f++ {
		n += c[f]
	}
	return n
}

// Add adds the counts of another link.
func (c *Counts) Add(o Counts) {
	for f, n := range o {
		c[f] += n
	}
}

// Decision is what befell one request.
type Decision struct {
	At          time.Time
	Link        string
	Conn, Frame int // the connection's number since Begin, the request's on it; both from 1
	APIKey      int16
	Version     int16
	Correlation int32
	Size        int
	Fault       Fault
	Detail      string // how far a cut went, how long something waits, what a zombie was answered
}

func (d Decision) String() string {
	return fmt.Sprintf("%s %s conn %d request %d: api %d v%d correlation %d, %d bytes: %v %s", d.At.Format("15:04:05.000"),
		d.Link, d.Conn, d.Frame, d.APIKey, d.Version, d.Correlation, d.Size, d.Fault, d.Detail)
}
