package idempotence

import (
	"fmt"

	"github.com/spoold/spoold/spool"
)

// Phase is what a partition is doing.
type Phase uint8

// Phases.
const (
	Unknown     Phase = iota // the leader has to be asked before anything is sent
	Ready                    // seals and sends
	Muted                    // an error came, or the way is new: nothing is sent until all that is in flight is answered
	Resolving                // the fate of batches is found out: the leader is asked, the log read, one batch at a time sent again
	ReadingTail              // a refused batch may be in the log: the log is read
	Parked                   // waits for an operator
	numPhases
)

var phaseNames = [numPhases]string{"waiting", "ready", "waiting", "resolving", "resolving", "parked"}

// String is what status says of it.
func (p Phase) String() string { return phaseNames[p] }

// legal are the transitions: legal[from] lists what may follow.
var legal = [numPhases][numPhases]bool{
	Unknown:     {Resolving: true, Parked: true},
	Ready:       {Muted: true, Resolving: true, ReadingTail: true, Unknown: true, Parked: true},
	Muted:       {Ready: true, Unknown: true, Parked: true},
	Resolving:   {Ready: true, Parked: true, Unknown: true}, // Unknown: the topic was created anew
	ReadingTail: {Ready: true, Parked: true},
	Parked:      {Unknown: true},
}

// state is the phase of a partition, and why it is parked.
type state struct {
	phase Phase
	park  spool.Park
}

// Phase is what the partition is doing.
func (s *state) Phase() Phase { return s.phase }

// Park is why the partition is parked; the zero Park if it is not.
func (s *state) Park() spool.Park { return s.park }

// enter goes on to another phase. One that may not follow is a mistake of this package.
func (s *state) enter(to Phase) {
	if s.phase != to && !legal[s.phase][to] {
		panic(fmt.Sprintf("idempotence: phase %d (%v) cannot follow %d (%v)", to, to, s.phase, s.phase))
	}
	s.phase = to
}
