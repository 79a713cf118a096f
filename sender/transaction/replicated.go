package transaction

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
)

// What a leader shows of its producers is in its own log. A marker there that is not replicated yet is cut off if another broker
// comes to lead, and Kafka 4.3.1 does not write it again if nobody led in between. So a marker is seen when the high watermark has
// passed where the leader's log ended behind it.

// shown is a marker in the log of a leader. The zero value: none was shown.
type shown struct {
	end   int64 // of the log, after that
	epoch int32 // of the leader
	ok    bool
}

// shownLog is what a leader says of its log.
type shownLog struct {
	end, high int64 // where it ends, and where it is replicated to
	epoch     int32 // of the leader
	code      protocol.ErrorCode
	refused   bool // it does not say, now or later: what it shows counts
}

// leaderLook is what the leader of some places is asked: three requests over one connection, which it answers one after the other.
type leaderLook struct {
	places    []*place
	logs      []shownLog // of places
	joined    bool       // the coordinator was done with what was before
	open      int        // requests that are not answered
	producers map[protocol.TopicPartition]*kmsg.DescribeProducersResponseTopicPartition
}

// Replica ids in ListOffsets: a consumer gets offsets up to the high watermark, a debugger those of the log.
const (
	consumerID int32 = -1
	debuggerID int32 = -2
)

func (s *markers) askLeader(broker int32, places []*place) {
	k := &leaderLook{places: places, joined: s.joined(), open: 3, producers: make(map[protocol.TopicPartition]*kmsg.DescribeProducersResponseTopicPartition, len(places))}
	d := kmsg.NewPtrDescribeProducersRequest()
	end, high := kmsg.NewPtrListOffsetsRequest(), kmsg.NewPtrListOffsetsRequest()
	end.ReplicaID, high.ReplicaID = debuggerID, consumerID
	at := make(map[string]int)
	for _, x := range places {
		x.asked = true
		topic := x.part.lane.topic
		i, ok := at[topic]
		if !ok {
			i = len(d.Topics)
			at[topic] = i
			d.Topics = append(d.Topics, kmsg.DescribeProducersRequestTopic{Topic: topic})
			end.Topics = append(end.Topics, kmsg.ListOffsetsRequestTopic{Topic: topic})
			high.Topics = append(high.Topics, kmsg.ListOffsetsRequestTopic{Topic: topic})
		}
		_, epoch := x.part.lane.remote.Leader(x.part.id)
		k.logs = append(k.logs, shownLog{end: -1, high: -1, epoch: epoch})
		d.Topics[i].Partitions = append(d.Topics[i].Partitions, x.part.id)
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = x.part.id, -1, epoch
		end.Topics[i].Partitions = append(end.Topics[i].Partitions, p)
		high.Topics[i].Partitions = append(high.Topics[i].Partitions, p)
	}
	for _, m := range []kmsg.Request{d, end, high} { // in this order: what is shown is below the end
		s.request(sender.Request{Kind: sender.KindControl, Broker: broker, Message: m, MaxVersion: -1}, &request{kind: reqMarkers, look: k, debugger: m == end})
	}
}

// answered takes one answer of a leader, and with the last one what all of them say.
func (s *markers) answered(q *request, resp sender.Response) {
	k := q.look
	switch r := resp.Message.(type) {
	case *kmsg.DescribeProducersResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				p := &r.Topics[i].Partitions[j]
				k.producers[protocol.TopicPartition{Topic: r.Topics[i].Topic, Partition: p.Partition}] = p
			}
		}
	case *kmsg.ListOffsetsResponse:
		k.offsets(r, q.debugger)
	}
	s.unsupported = s.unsupported || resp.Unsupported
	if k.open--; k.open > 0 {
		return
	}
	s.stir = true
	for i, x := range k.places {
		x.asked = false
		switch p := k.producers[x.part.tp()]; {
		case x.sight != unseen || s.stop != nil:
		case s.unsupported:
			s.see(x)
		case p == nil:
			s.failed(x)
		default:
			s.described(x, p, k.logs[i], k.joined)
		}
	}
}

func (k *leaderLook) offsets(r *kmsg.ListOffsetsResponse, debugger bool) {
	found := make(map[protocol.TopicPartition]*kmsg.ListOffsetsResponseTopicPartition, len(k.places))
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			p := &r.Topics[i].Partitions[j]
			found[protocol.TopicPartition{Topic: r.Topics[i].Topic, Partition: p.Partition}] = p
		}
	}
	for i, x := range k.places {
		p, log := found[x.part.tp()], &k.logs[i]
		if p == nil {
			continue
		}
		code := protocol.ErrorCode(p.ErrorCode)
		switch class := code.Class(); {
		case class == protocol.Retriable || class == protocol.RefreshRetriable:
			log.code = code
		case code != protocol.None:
			log.refused = true
		case debugger:
			log.end = p.Offset
		default:
			log.high = p.Offset
		}
	}
}

// replicated reports whether the high watermark has passed what the leader showed first.
func (s *markers) replicated(x *place, log shownLog) bool {
	switch {
	case log.refused:
		return true
	case log.code == protocol.OffsetNotAvailable: // a new leader's high watermark is not known yet
	case log.code != protocol.None || log.end < 0 || log.high < 0:
		s.failed(x)
		return false
	case !x.shown.ok || x.shown.epoch != log.epoch:
		x.shown = shown{end: log.end, epoch: log.epoch, ok: true}
	}
	if log.high >= x.shown.end && x.shown.ok && log.code == protocol.None {
		return true
	}
	x.looks++
	x.askAt = s.now.Age + min(int64(1)<<min(x.looks, 10), lookMaxMs)
	return false
}
