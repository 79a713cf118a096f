package bolt

import "github.com/spoold/spoold/spool"

// pendingStep is how many bytes Pending reads at once.
const pendingStep = 256 << 10

// Pending calls yield with the entries of a topic, or with "" of all topics, that have not left, lane by lane, ascending,
// until it returns false or an error. It ends at what was there when it came to a lane. Safe from any goroutine; it blocks on the
// disk.
func (s *Store) Pending(topic string, yield func(topic string, i spool.Index, raw []byte) (bool, error)) error {
	s.view.RLock()
	lanes := s.state.Lanes()
	s.view.RUnlock()
	var buf []byte
	for i := range lanes {
		id := spool.LaneID(i)
		s.view.RLock()
		name, end := s.state.Topic(id), s.state.End(id)
		s.view.RUnlock()
		if topic != "" && topic != name {
			continue
		}
		step := pendingStep
		for at := spool.Index(0); at < end; {
			sections, next, b, err := s.Read(id, at, step, buf)
			if err != nil && step > 1 {
				step = 1 // a section at a time: what stands before the damage is intact
				continue
			}
			if err != nil {
				return err
			}
			if len(sections) == 0 {
				break
			}
			buf = b
			for k := range sections {
				if more, err := s.yieldPending(name, &sections[k], spool.Span{First: at, End: min(next, end)}, yield); !more || err != nil {
					return err
				}
			}
			at = next
		}
	}
	return nil
}

// yieldPending is Pending for one section.
func (s *Store) yieldPending(topic string, sect *spool.Section, want spool.Span, yield func(string, spool.Index, []byte) (bool, error)) (more bool, err error) {
	more = true
	eachErr := eachEntry(sect, func(i spool.Index, raw []byte) {
		if !more || err != nil || i < want.First || i >= want.End {
			return
		}
		s.view.RLock()
		left := s.state.Settled(sect.Lane).Contains(i)
		s.view.RUnlock()
		if !left {
			more, err = yield(topic, i, raw)
		}
	})
	if err == nil {
		err = eachErr
	}
	return more, err
}
