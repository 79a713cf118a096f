package cluster

// LeaderCheck is a look at metadata of another broker, before a partition is parked for what its leader says: a broker that
// is cut off from the others, and has not noticed, goes on answering as a leader, under a leader epoch that was once true.
// The spool keeps the epochs that metadata showed, but not those during which records only went on to the same broker.
// The zero value is a check that has not begun.
type LeaderCheck struct {
	begun bool
	since int64      // Age at which it began
	gen   Generation // of the metadata that is waited for; 0: of none
}

// Verdict is what a LeaderCheck came to.
type Verdict uint8

// Verdicts.
const (
	Confirmed Verdict = iota + 1 // the leader's answer counts
	Later                        // there is no other broker to ask yet: ask the leader again after a while
	Again                        // another broker is asked: ask the leader again when metadata is as new as Refreshed
)

// Confirm reports whether the answer of the leader of partition n of t is enough to park it. If not, another broker is asked
// who leads it. Where no other broker can be reached within metadata.max.age.ms it is: to park is safe.
func (v *View) Confirm(t *Topic, n int32, c *LeaderCheck) (verdict Verdict, refreshed Generation) {
	m := &v.meta
	leader, _ := t.Leader(n)
	if c.gen != 0 && m.responderGen >= c.gen && m.responder != leader {
		return Confirmed, 0
	}
	if !c.begun {
		c.begun, c.since = true, v.now
	}
	other, others := v.other(leader)
	if !others || v.now-c.since >= v.cfg.MetadataMaxAgeMs {
		return Confirmed, 0
	}
	if other == nil {
		return Later, 0
	}
	m.from = other.ID
	c.gen = v.Refresh()
	return Again, c.gen
}

// Other is a connected broker other than id, or nil; those that are not connected are connected to. others reports whether
// metadata names any.
func Other(v *View, id int32) (other *Broker, others bool) {
	for _, b := range v.brokers {
		switch {
		case b.ID == id || !b.listed:
			continue
		case !b.Up:
			v.Connect(b)
		case other == nil:
			other = b
		}
		others = true
	}
	return other, others
}
