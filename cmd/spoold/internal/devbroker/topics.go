package devbroker

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const metadataKey = 3

// makeTopics has the cluster make a topic that a Metadata request asks for as if by
// CreateTopics. kfake makes it by itself, too, but writes its id down only when it is closed
// (September 2026): after a kill the same topic would have another id, and spoold would
// rightly park it as made anew. The func it returns ends that.
func makeTopics(c *kfake.Cluster, partitions int) (stop func(), err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		return nil, err
	}
	c.ControlKey(metadataKey, func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.MetadataRequest)
		if !req.AllowAutoTopicCreation || len(req.Topics) == 0 {
			return nil, nil, false
		}
		// The cluster must not wait for us while it is asked.
		c.SleepControl(func() {
			create := kmsg.NewPtrCreateTopicsRequest()
			for _, t := range req.Topics {
				if t.Topic != nil && c.TopicInfo(*t.Topic) == nil {
					topic := kmsg.NewCreateTopicsRequestTopic()
					topic.Topic, topic.NumPartitions, topic.ReplicationFactor = *t.Topic, int32(partitions), 1
					create.Topics = append(create.Topics, topic)
				}
			}
			if len(create.Topics) == 0 {
				return
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			// If it fails, the answer to the Metadata request says what is wrong.
			_, _ = cl.SeedBrokers()[0].Request(ctx, create)
		})
		return nil, nil, false
	})
	return cl.Close, nil
}
