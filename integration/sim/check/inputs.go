package check

import (
	"maps"
	"slices"
)

// processed: what was made of an input is visible if its offset is committed, and only then; and what was told of it is true.
func (f *facts) processed() (out []Violation) {
	for _, client := range slices.Sorted(maps.Keys(f.h.Inputs)) {
		in := f.h.Inputs[client]
		for offset, op := range in.Ops {
			o, done := &f.h.Ops[op], int64(offset) < in.Committed
			told := in.Told[offset]
			if done != (told == OK) && told != Unknown {
				out = append(out, broken("P6", "client %d was told that its transaction of input %d was committed: %v, and its group has offset %d", client, offset, told == OK, in.Committed))
			}
			for r := o.First; r < o.First+o.Count; r++ {
				seen := len(f.seen[r]) > 0
				if f.torn(r) {
					continue
				}
				switch {
				case done && !seen:
					out = append(out, broken("P1", "%s is in no log%s, and offset %d of its input is committed", f.name(r), f.behind(r), in.Committed))
				case !done && seen:
					out = append(out, broken("P4", "%s is visible, and offset %d of its input is not committed, but %d", f.name(r), offset+1, in.Committed))
				}
			}
		}
	}
	return out
}
