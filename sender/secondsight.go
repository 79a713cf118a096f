package sender

import "github.com/spoold/spoold/internal/planted"

// secondSight is a look at metadata of another broker, before a partition is parked for what its leader says: a broker that
// is cut off from the others, and does not know it, goes on saying that it leads, under a reign that was once true. The
// spool knows the reigns that metadata told of, but not those in which it only went on sending to the same broker.
type secondSight struct {
	since int64  // Age at which there was a reason to park; -1: there is none
	gen   uint64 // of the metadata that is waited for; 0: of none
}

var noSecondSight = secondSight{since: -1}

// confirmed reports whether p may be parked. If not, another broker is asked who leads it, and the leader again after that.
// Who cannot reach another broker within metadata.max.age.ms has waited long enough: to park is safe.
func (s *Sender) confirmed(p *partition) bool {
	m := &s.meta
	if planted.Is(planted.StaleLeader) || planted.Is(planted.EpochForgotten) {
		return true // or what they do would be seen through
	}
	if p.sight.gen != 0 && m.heardGen >= p.sight.gen && m.heardOf != p.leader {
		return true
	}
	if p.sight.since < 0 {
		p.sight.since = s.now.Age
	}
	other, others := s.otherThan(p.leader)
	if !others || s.now.Age-p.sight.since >= s.cfg.MetadataMaxAgeMs {
		return true
	}
	p.resolver = s.newResolver(p) // that knows nothing of what the leader said
	if other == nil {
		s.trouble(p, "another broker is looked for, to ask who leads")
		return false
	}
	m.from = other.id
	p.sight.gen = s.refresh()
	p.needMeta = p.sight.gen
	p.detail = "another broker is asked who leads"
	return false
}

// otherThan is a broker that is connected, if there is one. It connects to those that are not; others reports whether there are
// others at all.
func (s *Sender) otherThan(leader int32) (other *broker, others bool) {
	for _, b := range s.brokers {
		switch {
		case b.id == leader:
			continue
		case b.up && other == nil:
			other = b
		case !b.up:
			s.connect(b)
		}
		others = true
	}
	return other, others
}

// askedOf is whom metadata is asked of.
func (m *metadata) askedOf(s *Sender) int32 {
	if b := s.broker(m.from); b != nil && b.up && !m.making {
		return m.from
	}
	m.from = AnyBroker
	return AnyBroker
}

// heard notes who has told what came as metadata.
func (m *metadata) heard(from int32) {
	if from != AnyBroker && !m.making {
		m.heardGen, m.heardOf, m.from = m.gen, from, AnyBroker
	}
}
