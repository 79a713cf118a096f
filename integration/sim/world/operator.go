package world

import (
	"github.com/spoold/spoold/integration/sim/broker"
	"github.com/spoold/spoold/integration/sim/check"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

type (
	brokerTopic  = broker.TopicConfig
	brokerRecord = broker.Record
)

// operate is an operator who knows what is true, and decides on each parked partition by it. Where one
// part of what is in doubt is in the log and another is not, no choice is right, and none is made.
func (w *World) operate() {
	for _, h := range w.hosts {
		if !h.up {
			continue
		}
		operator{h}.takeOver()
		operator{h}.outcomes()
		for _, t := range h.core.Status(h.now()).Topics {
			for _, p := range t.Partitions {
				if p.Park.Parked() && h.up {
					w.hist.Parks = append(w.hist.Parks, check.Park{Host: h.id, Topic: t.Topic, Partition: p.Partition, Reason: p.Park.Reason})
					operator{h}.resolve(t.Lane, t.Topic, p.Partition)
				}
			}
		}
	}
}

// operator decides about the parked partitions of a host.
type operator struct{ *host }

func (h operator) resolve(lane spool.LaneID, topic string, partition int32) {
	present, absent, refused := 0, 0, false
	for _, s := range h.seals(lane, partition) {
		refused = refused || s.Refused != 0 // what followed it may be there: sent again, it would stand behind that
		for k := range int(s.Count) {
			if h.w.appended(topic, partition, s.Identity, s.Base.Next(k)) {
				present++
			} else {
				absent++
			}
		}
	}
	choice := sender.ResolveResend
	switch {
	case present > 0 && absent > 0:
		h.w.tell("host %d: %s-%d stays parked: %d records in doubt are in the log, %d are not", h.id, topic, partition, present, absent)
		h.stuck = true
		return
	case present > 0:
		choice = sender.ResolveDelivered
	case refused, h.w.plan.Seed%3 == 0:
		choice = sender.ResolveDeadLetter
	}
	e, got, err := h.core.Resolve(h.now(), topic, partition, choice)
	h.w.tell("host %d: resolve %s-%d --%s: %+v, %v", h.id, topic, partition, choice, got, err)
	if err == nil {
		h.w.resolved++
		h.carry(e)
	}
}

// appended looks in all incarnations of a topic: where Produce goes by name, one may have taken what was meant for another.
func (w *World) appended(topic string, partition int32, who protocol.ProducerIdentity, s protocol.Sequence) bool {
	for _, t := range w.cluster.Topics() {
		if t.Name == topic && w.cluster.Appended(t.ID, partition, who, s) {
			return true
		}
	}
	return false
}

// seals are those of a partition that are on the disk.
func (h operator) seals(lane spool.LaneID, partition int32) (out []spool.Seal) {
	d := h.disk.Copy()
	defer d.Close()
	rec, err := d.Open(h.clock())
	if err != nil {
		return nil
	}
	for _, s := range rec.Seals {
		if s.Lane == lane && s.Partition == partition {
			out = append(out, s)
		}
	}
	return out
}
