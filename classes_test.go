package spoold_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/protocol"
)

// unanswered in place of a code: the connection ends in place of an answer, and nothing was appended.
const unanswered = protocol.NetworkException

// answering has the next n Produce requests refused with code.
func answering(c *cluster, code protocol.ErrorCode, n int32) *atomic.Int32 {
	var seen atomic.Int32
	c.ControlKey(0, func(q kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if seen.Add(1) > n {
			return nil, nil, false
		}
		if code == unanswered {
			return nil, errors.New("the answer is lost"), true
		}
		req := q.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for i := range req.Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic, t.TopicID = req.Topics[i].Topic, req.Topics[i].TopicID
			for j := range req.Topics[i].Partitions {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.BaseOffset, p.ErrorCode = req.Topics[i].Partitions[j].Partition, -1, int16(code)
				text := "said the broker"
				p.ErrorMessage = &text
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil, true
	})
	return &seen
}

// classCase is a code that so many Produce requests are answered with, and the end of the record that is sent.
type classCase struct {
	class protocol.Class
	code  protocol.ErrorCode
	times int32
	end   string
}

// always is more often than anything is tried.
const always = 1 << 20

// eachClass runs f for each case, on a cluster of its own that answers so. seen counts the requests.
func eachClass(t *testing.T, cases []classCase, f func(t *testing.T, tt *classCase, c *cluster, seen *atomic.Int32)) {
	t.Helper()
	for i := range cases {
		tt := &cases[i]
		t.Run(tt.code.String(), func(t *testing.T) {
			t.Parallel()
			if tt.code.Class() != tt.class {
				t.Fatalf("its class is %v, want %v", tt.code.Class(), tt.class)
			}
			c := newCluster(t, kfake.SeedTopics(1, "t"))
			f(t, tt, c, answering(c, tt.code, tt.times))
		})
	}
}

// Each class of errors has one end for a spooled record: see the table in ARCHITECTURE.md.
func TestEachClassOfErrorsHasOneEnd(t *testing.T) {
	t.Parallel()
	const acked, deadLettered, waits = "acked", "dead-lettered", "waits"
	eachClass(t, []classCase{
		{protocol.Retriable, protocol.NotEnoughReplicas, 2, acked},
		{protocol.Retriable, protocol.RequestTimedOut, 1, acked},
		{protocol.Retriable, protocol.NotEnoughReplicasAfterAppend, 1, acked},
		{protocol.RefreshRetriable, protocol.NotLeaderOrFollower, 2, acked},
		{protocol.RefreshRetriable, protocol.KafkaStorageError, 1, acked},
		{protocol.RefreshRetriable, unanswered, 2, acked},
		{protocol.Duplicate, protocol.DuplicateSequenceNumber, 1, acked},
		{protocol.OutOfOrder, protocol.OutOfOrderSequenceNumber, 1, acked},
		{protocol.Fenced, protocol.InvalidProducerEpoch, 1, acked},
		{protocol.Fenced, protocol.ProducerFenced, 1, acked},
		{protocol.Refused, protocol.MessageTooLarge, 1, deadLettered},
		{protocol.Refused, protocol.InvalidRecord, 1, deadLettered},
		{protocol.Misfit, protocol.InvalidTopicException, always, waits},
		{protocol.Misfit, protocol.UnsupportedForMessageFormat, always, waits},
		{protocol.Authorization, protocol.TopicAuthorizationFailed, always, waits},
		{protocol.Authorization, protocol.ClusterAuthorizationFailed, always, waits},
		{protocol.Fatal, protocol.UnsupportedVersion, always, waits},
		{protocol.Fatal, protocol.ErrorCode(9999), 2, acked}, // what nobody has heard of proves nothing: the leader is asked
	}, func(t *testing.T, tt *classCase, c *cluster, seen *atomic.Int32) {
		trouble := make(chan spoold.TopicTrouble, 100)
		p, err := spoold.Open(c.config(t, t.TempDir()), spoold.Env{Hooks: spoold.Hooks{TopicTrouble: func(e spoold.TopicTrouble) { trouble <- e }}})
		if err != nil {
			t.Fatal(err)
		}
		d, err := p.Send(patient(t), spoold.Record{Topic: "t", Value: []byte("v")})
		if err != nil {
			t.Fatal(err)
		}
		if tt.end == waits {
			if e := <-trouble; e.Topic != "t" || e.Code != spoold.ErrorCode(tt.code) {
				t.Errorf("trouble %+v", e)
			}
			if st := p.Status(); st.Pending != 1 || st.DeadLettered != 0 {
				t.Errorf("%d pending, %d dead-lettered", st.Pending, st.DeadLettered)
			}
		} else {
			ack, err := d.Acked(patient(t))
			var refused *spoold.RefusedError
			switch {
			case tt.end == acked && err != nil, tt.end == deadLettered && !errors.As(err, &refused):
				t.Errorf("%v, %v", ack, err)
			case refused != nil && (refused.Code != tt.code.String() || !strings.HasPrefix(refused.Message, "said the broker")):
				t.Errorf("refused: %+v", refused)
			case tt.class == protocol.Duplicate && ack.Offset != -1:
				t.Errorf("offset %d, want none", ack.Offset)
			case tt.end == acked && tt.class != protocol.Duplicate && (seen.Load() != tt.times+1 || p.Status().Retries != uint64(tt.times)):
				t.Errorf("%d requests, %d retries, want %d of them", seen.Load(), p.Status().Retries, tt.times)
			}
		}
		if err := p.Close(patient(t)); err != nil {
			t.Error(err)
		}
	})
}
