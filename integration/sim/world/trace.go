package world

import "fmt"

// keepTrace is how many lines are kept for a failure's report.
const keepTrace = 200

// trace is what happened: a sum over all of it, and if lines are wanted, the last ones.
type trace struct {
	sum   uint64
	want  bool
	all   bool // keep all lines
	lines []string
}

func (t *trace) add(at int64, format string, args ...any) {
	if !t.want {
		return
	}
	if len(t.lines) >= 2*keepTrace && !t.all {
		t.lines = append(t.lines[:0], t.lines[keepTrace:]...)
	}
	t.lines = append(t.lines, fmt.Sprintf("%8d  ", at)+fmt.Sprintf(format, args...))
}

// mix puts numbers into the sum: two runs that differ anywhere have different ones.
func (t *trace) mix(numbers ...int64) {
	for _, n := range numbers {
		t.sum = (t.sum ^ uint64(n)) * 0x9e3779b97f4a7c15
		t.sum ^= t.sum >> 29
	}
}

// tail is the last n lines.
func (t *trace) tail(n int) []string { return t.lines[max(0, len(t.lines)-n):] }
