package transaction

import (
	"slices"

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

	stable bool // not a marker: the end that the last stable offset is to reach, see stable.go
}

// other reports whether a log is not the one that it was shown in: another broker leads, or the topic was created anew.
func (w *shown) other(log shownLog) bool { return w.epoch != log.epoch || log.end < w.end }

// shownLog is what a leader says of its log.
type shownLog struct {
	end, high int64 // where it ends, and where it is replicated to
	stable    int64 // its last stable offset; or notAsked
	start     int64 // where it begins; -1: it was not asked for
	epoch     int32 // of the leader
	code      protocol.ErrorCode
	refused   bool // it does not say, now or later: what it shows counts
}

const notAsked = -2

const notReplicated = "its end is not on all in-sync replicas"

// says is why it does not tell.
func (l *shownLog) says() string {
	if l.code != protocol.None {
		return l.code.String()
	}
	return "ListOffsets: the response does not mention the partition"
}

// which of its offsets a log is asked for.
type whichOffset uint8

const (
	highWatermark whichOffset = iota
	logEnd
	lastStable
	logStart
)

// leaderLook is what the leader of some places is asked: three requests over one connection, which it answers one after the other;
// five if one of the topics may not be read.
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
	k := &leaderLook{places: places, joined: s.joined(), producers: make(map[protocol.TopicPartition]*kmsg.DescribeProducersResponseTopicPartition, len(places))}
	d := kmsg.NewPtrDescribeProducersRequest()
	end, unread := kmsg.NewPtrListOffsetsRequest(), false
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
		}
		_, epoch := x.part.lane.remote.Leader(x.part.id)
		k.logs = append(k.logs, shownLog{end: -1, high: -1, stable: notAsked, start: -1, epoch: epoch})
		d.Topics[i].Partitions = append(d.Topics[i].Partitions, x.part.id)
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = x.part.id, -1, epoch
		end.Topics[i].Partitions = append(end.Topics[i].Partitions, p)
		if x.part.lane.unread {
			unread, k.logs[len(k.logs)-1].stable = true, -1
		}
	}
	// In this order: what is shown is below the end.
	k.ask(s, broker, d, 0)
	k.ask(s, broker, offsetsOf(end.Topics, debuggerID, 0), logEnd)
	k.ask(s, broker, offsetsOf(end.Topics, consumerID, 0), highWatermark)
	if unread {
		k.ask(s, broker, offsetsOf(end.Topics, consumerID, readCommitted), lastStable)
		k.ask(s, broker, offsetsOf(earliest(end.Topics), consumerID, 0), logStart)
	}
}

func (k *leaderLook) ask(s *markers, broker int32, m kmsg.Request, which whichOffset) {
	k.open++
	s.request(sender.Request{Kind: sender.KindControl, Broker: broker, Message: m, MaxVersion: -1}, &request{kind: reqMarkers, look: k, which: which})
}

// readCommitted is an isolation level.
const readCommitted = 1

func offsetsOf(topics []kmsg.ListOffsetsRequestTopic, replica int32, isolation int8) *kmsg.ListOffsetsRequest {
	m := kmsg.NewPtrListOffsetsRequest()
	m.ReplicaID, m.IsolationLevel, m.Topics = replica, isolation, topics
	return m
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
		k.offsets(r, q.which)
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
			s.failed(x, "DescribeProducers: the response does not mention the partition")
		default:
			s.described(x, p, k.logs[i], k.joined)
		}
	}
}

// earliest asks for the beginning instead.
func earliest(topics []kmsg.ListOffsetsRequestTopic) []kmsg.ListOffsetsRequestTopic {
	topics = slices.Clone(topics)
	for i := range topics {
		topics[i].Partitions = slices.Clone(topics[i].Partitions)
		for j := range topics[i].Partitions {
			topics[i].Partitions[j].Timestamp = -2
		}
	}
	return topics
}

func (k *leaderLook) offsets(r *kmsg.ListOffsetsResponse, which whichOffset) {
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
		case class == protocol.Retriable, class == protocol.RefreshRetriable, code == protocol.TopicAuthorizationFailed: // nor may it be written to then
			log.code = code
		case code != protocol.None:
			log.refused = true
		case which == logEnd:
			log.end = p.Offset
		case which == lastStable:
			log.stable = max(log.stable, p.Offset)
		case which == logStart:
			log.start = p.Offset
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
	case log.code == protocol.OffsetNotAvailable:
		x.why = log.code.String() // a new leader's high watermark is not known yet
	case log.code != protocol.None || log.end < 0 || log.high < 0:
		s.failed(x, log.says())
		return false
	case !x.shown.ok || x.shown.other(log):
		x.shown = shown{end: log.end, epoch: log.epoch, ok: true}
	}
	if log.high >= x.shown.end && x.shown.ok && log.code == protocol.None {
		return true
	}
	if log.code == protocol.None {
		x.why = notReplicated
	}
	x.looks++
	s.pause(x)
	return false
}
