package check

// Wait is a look at a topic of which a record waits and does not leave.
type Wait struct {
	At      int64
	Host    int
	Topic   string
	Ms      int64 // for which the first record that waits is the same, with the link up
	Shown   bool  // the process says that there is trouble
	Besides bool  // only another topic has trouble
}

// waits: of records that do not leave, status says within a minute that there is trouble; and none waits for another topic's.
func (f *facts) waits() (out []Violation) {
	for i := range f.h.Waits {
		w := &f.h.Waits[i]
		switch {
		case w.Besides:
			out = append(out, broken("P9", "host %d at %d ms: records of %s wait long after the last fault, and only another topic has trouble", w.Host, w.At, w.Topic))
		case !w.Shown && w.Ms > 60_000:
			out = append(out, broken("P9", "host %d at %d ms: a record of %s has waited for %d ms, and status shows no trouble", w.Host, w.At, w.Topic, w.Ms))
		}
	}
	return out
}
