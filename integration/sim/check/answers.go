package check

// trueAnswers: "ok" only after the sync, "refused" never appears, an ack says where the record is.
func (f *facts) trueAnswers() (out []Violation) {
	durable := make([]bool, len(f.h.Records))
	asked, refused := make([]int, len(f.h.Ops)), make([]int, len(f.h.Ops))
	for i := range f.h.Events {
		e := &f.h.Events[i]
		switch e.Kind {
		case Durable:
			durable[e.Record] = true
		case Undone:
			durable[e.Record] = false
		case Asked:
			asked[e.Op]++
		case Answered:
			op := &f.h.Ops[e.Op]
			switch e.Result {
			case OK:
				for r := op.First; r < op.First+op.Count; r++ {
					if !durable[r] {
						out = append(out, broken("P6", "the client of %s was told \"ok\" at %d ms, before it was on the disk", f.name(r), e.At))
						break
					}
				}
			case Refused, Reused:
				refused[e.Op]++
			}
		case Acked:
			switch {
			case e.Offset >= 0 && !f.isAt(e):
				out = append(out, broken("P6", "%s was told to be acked on partition %d at %d, and is not there", f.name(e.Record), e.Partition, e.Offset))
			case len(f.seen[e.Record]) == 0: // at a place that is not known
				out = append(out, broken("P6", "%s was told to be acked, and is in no log", f.name(e.Record)))
			}
		}
	}
	return append(out, f.trueRefusals(asked, refused)...)
}

// trueRefusals: what was refused by each attempt is nowhere, nor is what expired in a log.
func (f *facts) trueRefusals(asked, refused []int) (out []Violation) {
	for o := range f.h.Ops {
		op := &f.h.Ops[o]
		if refused[o] == 0 || refused[o] < asked[o] {
			continue // one attempt at least may have been stored
		}
		for r := op.First; r < op.First+op.Count; r++ {
			if f.durable[r].ever || len(f.seen[r]) > 0 {
				out = append(out, broken("P6", "the client of %s was told that nothing is stored, and it is", f.name(r)))
				break
			}
		}
	}
	for r, all := range f.seen {
		// What a seal holds may be in a log, and does not expire before that is known.
		if list := standing(all); f.outcome[r] == OutcomeExpired && !f.twice[r] && len(list) > 0 {
			out = append(out, broken("P6", "%s has expired and is in %s-%d at %d", f.name(r), list[0].log.Topic, list[0].log.Partition, list[0].offset))
		}
	}
	return out
}

// isAt reports whether a log has the record where an ack says.
func (f *facts) isAt(e *Event) bool {
	for _, s := range f.seen[e.Record] {
		if s.log.Partition == e.Partition && s.offset == e.Offset {
			return true
		}
	}
	return false
}

// oneRecordAKey: a request, however often it is repeated, is stored once; a key that was used for others is refused.
func (f *facts) oneRecordAKey() (out []Violation) {
	durable := make([]bool, len(f.h.Records))
	for i := range f.h.Events {
		e := &f.h.Events[i]
		switch e.Kind {
		case Durable:
			if durable[e.Record] {
				out = append(out, broken("P7", "%s is in its spool twice, the second time at %d", f.name(e.Record), e.Index))
			}
			durable[e.Record] = true
		case Undone:
			durable[e.Record] = false
		case Answered:
			switch op := &f.h.Ops[e.Op]; {
			case op.Foreign && e.Result == OK:
				out = append(out, broken("P7", "request %d has a key that was used for others, and was taken", e.Op))
			case !op.Foreign && e.Result == Reused && !f.restored[op.Host]:
				out = append(out, broken("P7", "request %d was told that its key was used for others, and it was not", e.Op))
			}
		}
	}
	for o := range f.h.Ops {
		op := &f.h.Ops[o]
		some, all := false, true
		for r := op.First; r < op.First+op.Count; r++ {
			some, all = some || f.durable[r].ever, all && f.durable[r].ever
		}
		if some && !all {
			out = append(out, broken("P7", "request %d is in the spool in part", o))
		}
	}
	return out
}
