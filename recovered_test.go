package spoold_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/producers"
	"github.com/spoold/spoold/integration/poll"
	"github.com/spoold/spoold/protocol"
)

// lines is a log that may be read while it is written.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

// of are the lines of an event.
func (l *lines) of(event string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, "event="+event+" ") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}

// heard are the events about trouble that a program was told of, in order.
type heard struct {
	mu   sync.Mutex
	list []string
}

func (h *heard) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, fmt.Sprintf(format, args...))
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.list, ", ")
}

func (h *heard) env(log *lines) spoold.Env {
	return spoold.Env{Logger: slog.New(slog.NewTextHandler(log, nil)), Hooks: spoold.Hooks{
		TopicTrouble:         func(e spoold.TopicTrouble) { h.say("trouble %s %v", e.Topic, e.Delivered) },
		TopicRecovered:       func(e spoold.TopicRecovered) { h.say("recovered %s %v", e.Topic, e.Delivered) },
		TransactionTrouble:   func(e spoold.TransactionTrouble) { h.say("trouble %s", e.TransactionalID) },
		TransactionRecovered: func(e spoold.TransactionRecovered) { h.say("recovered %s", e.TransactionalID) },
	}}
}

// denied has requests of a kind answered with a code as long as the func says.
func denied(c *cluster, key kmsg.Key, answer func(kmsg.Request) kmsg.Response, while func() bool) {
	c.ControlKey(int16(key), func(q kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if !while() {
			return nil, nil, false
		}
		return answer(q), nil, true
	})
}

// The right to write is given a moment after the first try. That was reported when it was missing, with the code twice and without
// what to do, and never that it is there.
func TestATopicThatIsDeliveredToAgainIsReportedOnce(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "t1"} {
		t.Run("id "+id, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, kfake.SeedTopics(1, "t"))
			answering(c, protocol.TopicAuthorizationFailed, 1)
			var log lines
			var events heard
			p := c.openEnv(t, t.TempDir(), events.env(&log), transactional(id))
			d, err := p.Send(patient(t), spoold.Record{Topic: "t", Value: []byte("v")})
			if err != nil {
				t.Fatal(err)
			}
			until(t, p, "the status says which right is missing", func(st *spoold.Status) bool {
				return len(st.Topics) == 1 && strings.Contains(st.Topics[0].Trouble, "TOPIC_AUTHORIZATION_FAILED: said the broker: grant WRITE on the topic")
			})
			if _, err := d.Acked(patient(t)); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the end of it is reported", func() bool { return events.String() == "trouble t false, recovered t false" })
			until(t, p, "the status is fine", func(st *spoold.Status) bool { return st.Topics[0].Trouble == "" && st.Topics[0].State == "idle" })
			trouble, recovered := log.of("topic.trouble"), log.of("topic.recovered")
			if len(trouble) != 1 || len(recovered) != 1 || strings.Count(trouble[0], "TOPIC_AUTHORIZATION_FAILED") != 1 || !strings.Contains(trouble[0], "grant WRITE on the topic") ||
				!strings.Contains(recovered[0], "topic=t") {
				t.Errorf("log: %q, %q", trouble, recovered)
			}
			answering(c, protocol.TopicAuthorizationFailed, 1) // it is taken away again
			send(t, p, "t", 0, 1)
			eventually(t, "the next one is reported, too", func() bool { return strings.Count(events.String(), "trouble") == 2 })
		})
	}
}

// Without the right to read, records are delivered, and the log said that they cannot be.
func TestAMissingRightToReadIsNoTopicThatCannotBeDeliveredTo(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"", "t1"} {
		t.Run("id "+id, func(t *testing.T) {
			t.Parallel()
			fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "t"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(fake.Close)
			c := &cluster{fake, &link{}}
			var given atomic.Bool
			denied(c, kmsg.DescribeProducers, func(q kmsg.Request) kmsg.Response {
				req := q.(*kmsg.DescribeProducersRequest)
				resp := req.ResponseKind().(*kmsg.DescribeProducersResponse)
				for _, topic := range req.Topics {
					rt := kmsg.NewDescribeProducersResponseTopic()
					rt.Topic = topic.Topic
					for _, n := range topic.Partitions {
						rp := kmsg.NewDescribeProducersResponseTopicPartition()
						rp.Partition, rp.ErrorCode = n, int16(protocol.TopicAuthorizationFailed)
						rt.Partitions = append(rt.Partitions, rp)
					}
					resp.Topics = append(resp.Topics, rt)
				}
				return resp
			}, func() bool { return !given.Load() })
			producers.Describe(fake) // answers what is not denied
			var log lines
			var events heard
			p := c.openEnv(t, t.TempDir(), events.env(&log), transactional(id), func(cfg *spoold.Config) { cfg.MetadataMaxAge = time.Second })
			all := func() {
				t.Helper()
				for n := range int32(3) {
					d, err := p.Send(patient(t), spoold.Record{Topic: "t", Partition: spoold.ToPartition(n), Value: []byte("v")})
					if err != nil {
						t.Fatal(err)
					}
					if _, err := d.Acked(patient(t)); err != nil {
						t.Fatal(err)
					}
				}
			}
			all()
			until(t, p, "the status says which right is missing", func(st *spoold.Status) bool {
				return len(st.Topics) == 1 && strings.Contains(st.Topics[0].Detail, "grant READ") && st.Topics[0].Trouble == ""
			})
			missing := log.of("topic.right_missing")
			if len(log.of("topic.trouble")) != 0 || len(missing) != 1 || !strings.Contains(missing[0], "topic is delivered to, but a right is missing") || events.String() != "trouble t true" {
				t.Errorf("log: %q; told of %v", missing, &events)
			}
			given.Store(true) // leaders are asked again now and then
			eventually(t, "the end of it is reported", func() bool { all(); return events.String() == "trouble t true, recovered t true" })
			until(t, p, "the status is fine", func(st *spoold.Status) bool { return st.Topics[0].Detail == "" })
			if given := log.of("topic.right_given"); len(given) != 1 {
				t.Errorf("log: %q", given)
			}
		})
	}
}

// A transaction that waits for a right was "delivering", and for a minute nothing said that it does not.
func TestATransactionalIDThatWaitsForARightIsNotDelivering(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	var given atomic.Bool
	denied(c, kmsg.InitProducerID, func(q kmsg.Request) kmsg.Response {
		resp := q.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ErrorCode = int16(protocol.TransactionalIDAuthorizationFailed)
		return resp
	}, func() bool { return !given.Load() })
	var log lines
	var events heard
	p := c.openEnv(t, t.TempDir(), events.env(&log), transactional("t1"))
	u := unit(t, p, "v", "t")
	until(t, p, "the status says which right is missing", func(st *spoold.Status) bool {
		if len(st.Topics) != 1 {
			return false
		}
		of := st.Topics[0]
		return of.State == "waiting" && strings.Contains(of.Trouble, "grant WRITE and DESCRIBE on transactional id t1") && of.Detail == of.Trouble
	})
	given.Store(true)
	if err := u.Committed(patient(t)); err != nil {
		t.Fatal(err)
	}
	if !poll.Until(func() bool { return events.String() == "trouble t1, recovered t1" }) {
		t.Errorf("told of %v", &events)
	}
	if trouble, resumed := log.of("transaction.trouble"), log.of("transaction.resumed"); len(trouble) != 1 || len(resumed) != 1 {
		t.Errorf("log: %q, %q", trouble, resumed)
	}
	until(t, p, "the status is fine", func(st *spoold.Status) bool { return st.Topics[0].Trouble == "" && st.Topics[0].State == "idle" })
}
