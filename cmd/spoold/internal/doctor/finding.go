package doctor

// Level says how bad a finding is.
type Level string

// Levels of a finding.
const (
	OK      Level = "ok"
	Warning Level = "warning" // it works, and will hurt on a bad day
	Fault   Level = "fault"   // it does not work, or the promise does not hold
)

// Finding is one thing that was looked at.
type Finding struct {
	Check string `json:"check"`        // what was looked at
	Level Level  `json:"level"`        // how bad it is
	What  string `json:"what"`         // what was seen
	Do    string `json:"do,omitempty"` // what to do about it
}

// Report is every finding, in the order in which they were looked for.
type Report struct {
	Findings []Finding `json:"findings"`
}

func (r *Report) ok(check, what string) { r.add(Finding{Check: check, Level: OK, What: what}) }

func (r *Report) warn(check, what, do string) {
	r.add(Finding{Check: check, Level: Warning, What: what, Do: do})
}

func (r *Report) fault(check, what, do string) {
	r.add(Finding{Check: check, Level: Fault, What: what, Do: do})
}

func (r *Report) add(f Finding) { r.Findings = append(r.Findings, f) }

// Worst is the level of the worst finding.
func (r *Report) Worst() Level {
	worst := OK
	for _, f := range r.Findings {
		if f.Level == Fault || f.Level == Warning && worst == OK {
			worst = f.Level
		}
	}
	return worst
}
