package differ

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/raw"
)

// world is a set of topics of its own on both sides, and what is done with it.
type world struct {
	sides  [2]side // the real one first
	prefix string  // of topic names
	lives  [][][2][16]byte
	parts  []int
	// expiry: producers whose last batch is too old are forgotten after each step, on both sides.
	expiry bool
	// answered, if not nil, is told the model's answer to a part of a Produce.
	answered func(s *Step, part int, code int16)
	// ended, if not nil, is told where a log ends.
	ended  func(place, int64)
	Counts Counts
}

// Counts is what was done.
type Counts struct {
	Requests, Looks, Batches, Restarts, Other, Forgotten, LostSessions int
	Codes                                                              map[string]int
}

func (c *Counts) add(d Counts) {
	c.Requests += d.Requests
	c.Looks += d.Looks
	c.Batches += d.Batches
	c.Restarts += d.Restarts
	c.Other += d.Other
	c.Forgotten += d.Forgotten
	c.LostSessions += d.LostSessions
	if c.Codes == nil {
		c.Codes = map[string]int{}
	}
	for k, v := range d.Codes {
		c.Codes[k] += v
	}
}

// Difference is what the two sides do not agree on.
type Difference struct {
	What        string
	Real, Model string
}

func (d *Difference) Error() string {
	return fmt.Sprintf("%s:\n  Kafka %s\n  model %s", d.What, d.Real, d.Model)
}

// errDiffer is wrapped by errors that are differences, and by no other.
var errDiffer = errors.New("they differ")

func (d *Difference) Unwrap() error { return errDiffer }

func newWorld(real, model side, prefix string) (*world, error) {
	w := &world{sides: [2]side{real, model}, prefix: prefix, Counts: Counts{Codes: map[string]int{}}}
	for _, s := range w.sides {
		if err := s.ready(); err != nil {
			return nil, err
		}
	}
	for i := range topics {
		w.parts = append(w.parts, topics[i].partitions)
		w.lives = append(w.lives, nil)
		if err := w.create(i); err != nil {
			return nil, err
		}
	}
	return w, nil
}

func (w *world) name(topic int) string { return w.prefix + "-" + topics[topic].name }

func (w *world) create(topic int) error {
	var ids [2][16]byte
	for i, s := range w.sides {
		var err error
		if ids[i], err = s.create(w.name(topic), &topics[topic]); err != nil {
			return err
		}
	}
	w.parts[topic] = topics[topic].partitions
	w.lives[topic] = append(w.lives[topic], ids)
	return nil
}

// close deletes the topics.
func (w *world) close() error {
	var errs []error
	for i := range topics {
		for _, s := range w.sides {
			errs = append(errs, s.remove(w.name(i)))
		}
	}
	return errors.Join(errs...)
}

// do does a step on both sides and compares. A *Difference is what it is about.
func (w *world) do(s *Step) error {
	if s.Op < requests {
		w.Counts.Requests++
		return w.request(s)
	}
	touched := []place{}
	both := func(do func(side) error) error {
		for _, x := range w.sides {
			if err := do(x); err != nil {
				return err
			}
		}
		return nil
	}
	var err error
	switch w.Counts.Other++; s.Op {
	case SetMaxBytes:
		err = both(func(x side) error { return x.limit(w.name(s.Topic), int(s.N)) })
	case Grow:
		w.parts[s.Topic]++
		err = both(func(x side) error { return x.grow(w.name(s.Topic), w.parts[s.Topic]) })
	case Recreate:
		if err = both(func(x side) error { return x.remove(w.name(s.Topic)) }); err == nil {
			err = w.create(s.Topic)
		}
	case StopBroker, KillBroker:
		w.Counts.Restarts++
		all := map[string]int{}
		for i, n := range w.parts {
			all[w.name(i)] = n
			for p := range int32(n) {
				touched = append(touched, place{i, p})
			}
		}
		err = both(func(x side) error { return x.restart(s.Op == StopBroker, all) })
	}
	if err != nil {
		return fmt.Errorf("differ: %s: %w", s, err)
	}
	return w.look(touched)
}

// request puts a request to both sides, compares the answers and then what they know.
func (w *world) request(s *Step) error {
	now := time.Now().UnixMilli()
	var answers [2]kmsg.Response
	for i, x := range w.sides {
		var err error
		if answers[i], err = x.ask(0, w.message(s, i, now)); err != nil {
			return fmt.Errorf("differ: %s: %w", s, err)
		}
	}
	stamped := topics[s.Topic].cfg.AppendTime
	var touched []place
	switch s.Op {
	case Produce:
		return w.produced(s, answers[0].(*kmsg.ProduceResponse), answers[1].(*kmsg.ProduceResponse))
	case Fetch:
		a, b := answers[0].(*kmsg.FetchResponse), answers[1].(*kmsg.FetchResponse)
		return compare("the answer", fetchText(&a.Topics[0].Partitions[0], stamped), fetchText(&b.Topics[0].Partitions[0], stamped))
	case ListOffsets:
		a, b := answers[0].(*kmsg.ListOffsetsResponse), answers[1].(*kmsg.ListOffsetsResponse)
		return compare("the answer", offsetText(&a.Topics[0].Partitions[0], int64(s.N)), offsetText(&b.Topics[0].Partitions[0], int64(s.N)))
	case InitProducerID:
		a, b := answers[0].(*kmsg.InitProducerIDResponse), answers[1].(*kmsg.InitProducerIDResponse)
		return compare("the answer", initText(a, s.PID), initText(b, s.PID))
	case DeleteRecords:
		a, b := answers[0].(*kmsg.DeleteRecordsResponse), answers[1].(*kmsg.DeleteRecordsResponse)
		if err := compare("the answer", deleteText(&a.Topics[0].Partitions[0]), deleteText(&b.Topics[0].Partitions[0])); err != nil {
			return err
		}
		touched = append(touched, place{s.Topic, s.Partition})
	}
	return w.look(touched)
}

// message is a step's request for one side: topic ids are each side's own.
func (w *world) message(s *Step, side int, now int64) kmsg.Request {
	switch s.Op {
	case Produce:
		var parts []raw.Part
		for i := range s.Parts {
			p := &s.Parts[i]
			part := raw.Part{Topic: w.name(p.Topic), Partition: p.Partition, Records: p.Batch.bytes(now)}
			if s.Version >= 13 {
				part.Topic, part.ID = "", [16]byte{1, 2, 3}
				if p.Life >= 0 && p.Life < len(w.lives[p.Topic]) {
					part.ID = w.lives[p.Topic][p.Life][side]
				}
			}
			parts = append(parts, part)
		}
		// Those of one topic stand together.
		slices.SortStableFunc(parts, func(a, b raw.Part) int {
			return slices.Compare([]byte(a.Topic+string(a.ID[:])), []byte(b.Topic+string(b.ID[:])))
		})
		return raw.Produce(s.Version, s.Acks, 10_000, parts...)
	case Fetch:
		return raw.Fetch(s.Version, w.name(s.Topic), s.Partition, s.Offset, s.Epoch, s.N)
	case ListOffsets:
		return raw.ListOffsets(s.Version, w.name(s.Topic), int64(s.N), s.Partition)
	case DeleteRecords:
		return raw.DeleteRecords(w.name(s.Topic), s.Partition, s.Offset, 10_000)
	}
	return raw.InitProducerID(s.Version, s.PID, s.PEpoch)
}

func compare(what, real, model string) error {
	if real == model {
		return nil
	}
	return &Difference{what, real, model}
}

// produced compares answers to a Produce, part by part.
func (w *world) produced(s *Step, a, b *kmsg.ProduceResponse) error {
	var touched []place
	for i := range s.Parts {
		p := &s.Parts[i]
		real, model := w.partOf(a, s, p, 0), w.partOf(b, s, p, 1)
		if real == nil || model == nil {
			return fmt.Errorf("differ: %s: an answer without part %d", s, i)
		}
		stamped := topics[p.Topic].cfg.AppendTime
		if err := compare(fmt.Sprintf("part %d", i), produceText(real, stamped), produceText(model, stamped)); err != nil {
			return err
		}
		w.Counts.Batches++
		w.Counts.Codes[raw.Code(model.ErrorCode)]++
		if w.answered != nil {
			w.answered(s, i, model.ErrorCode)
		}
		at := place{p.Topic, p.Partition}
		if !slices.Contains(touched, at) {
			touched = append(touched, at)
		}
		if err := w.forget(at); err != nil {
			return err
		}
	}
	return w.look(touched)
}

func (w *world) partOf(m *kmsg.ProduceResponse, s *Step, p *Part, side int) *kmsg.ProduceResponseTopicPartition {
	for i := range m.Topics {
		t := &m.Topics[i]
		if s.Version < 13 && t.Topic != w.name(p.Topic) {
			continue
		}
		if s.Version >= 13 {
			id := [16]byte{1, 2, 3}
			if p.Life >= 0 && p.Life < len(w.lives[p.Topic]) {
				id = w.lives[p.Topic][p.Life][side]
			}
			if t.TopicID != id {
				continue
			}
		}
		for j := range t.Partitions {
			if t.Partitions[j].Partition == p.Partition {
				return &t.Partitions[j]
			}
		}
	}
	return nil
}

// forget has producers forgotten on both sides if their last batch is too old, where brokers look for such often.
func (w *world) forget(at place) error {
	if !w.expiry {
		return nil
	}
	model := w.sides[1]
	resp, err := model.ask(0, raw.DescribeProducers(w.name(at.topic), at.partition))
	if err != nil {
		return err
	}
	var pids []int64
	for _, a := range resp.(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0].ActiveProducers {
		if time.Now().UnixMilli()-a.LastTimestamp > dayInMs {
			pids = append(pids, a.ProducerID)
		}
	}
	if len(pids) == 0 {
		return nil
	}
	w.Counts.Forgotten += len(pids)
	for _, s := range w.sides {
		if err := s.forget(w.name(at.topic), at.partition, pids); err != nil {
			return err
		}
	}
	return nil
}

// fenced reports whether the real broker leads in a later epoch than the model's: it was fenced, and nobody had asked for it.
func (w *world) fenced() bool {
	for topic := range topics {
		epochs := [2]int32{}
		for i, x := range w.sides {
			resp, err := x.ask(0, raw.Metadata(12, w.name(topic)))
			if err != nil {
				return false
			}
			for _, p := range resp.(*kmsg.MetadataResponse).Topics[0].Partitions {
				epochs[i] = max(epochs[i], p.LeaderEpoch)
			}
		}
		if epochs[0] > epochs[1] {
			return true
		}
	}
	return false
}

// ids are a topic's incarnations on one side.
func (w *world) ids(topic, side int) (list [][16]byte) {
	for _, l := range w.lives[topic] {
		list = append(list, l[side])
	}
	return list
}

// look compares what both sides know of some partitions: producers, the ends of the log, and its last batches.
func (w *world) look(at []place) error {
	for _, p := range at {
		name, stamped := w.name(p.topic), topics[p.topic].cfg.AppendTime
		var known, first, last, log, meta [2]string
		var end int64
		version := 1 + int16(w.Counts.Looks/10%12)
		for i, x := range w.sides {
			w.Counts.Looks += 5
			resp, err := x.ask(0, raw.DescribeProducers(name, p.partition))
			if err != nil {
				return err
			}
			known[i] = knownText(&resp.(*kmsg.DescribeProducersResponse).Topics[0].Partitions[0], stamped)
			if resp, err = x.ask(0, raw.ListOffsets(7, name, raw.Earliest, p.partition)); err != nil {
				return err
			}
			first[i] = offsetText(&resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0], raw.Earliest)
			if resp, err = x.ask(0, raw.ListOffsets(7, name, raw.Latest, p.partition)); err != nil {
				return err
			}
			last[i] = offsetText(&resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0], raw.Latest)
			if i == 0 {
				end = resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].Offset
			}
			if resp, err = x.ask(0, raw.Fetch(12, name, p.partition, max(0, end-10), -1, 1<<20)); err != nil {
				return err
			}
			log[i] = fetchText(&resp.(*kmsg.FetchResponse).Topics[0].Partitions[0], stamped)
			if resp, err = x.ask(0, raw.Metadata(version, name)); err != nil {
				return err
			}
			meta[i] = metadataText(resp.(*kmsg.MetadataResponse), x.firstBroker(), w.ids(p.topic, i))
		}
		if w.ended != nil {
			w.ended(p, end)
		}
		where := fmt.Sprintf(" of %s-%d", topics[p.topic].name, p.partition)
		err := errors.Join(compare("producers"+where, known[0], known[1]), compare("start"+where, first[0], first[1]),
			compare("end"+where, last[0], last[1]), compare("log"+where, log[0], log[1]), compare("metadata"+where, meta[0], meta[1]))
		if err != nil {
			return err
		}
	}
	return nil
}
