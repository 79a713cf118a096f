package idempotence

import "fmt"

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

// enter goes on to another phase. One that may not follow is a mistake of this package.
func (m *Machine) enter(to Phase) {
	if m.phase != to && !legal[m.phase][to] {
		panic(fmt.Sprintf("idempotence: %s-%d: phase %d (%v) cannot follow %d (%v)", m.Lane.Topic, m.ID, to, to, m.phase, m.phase))
	}
	m.phase = to
}
