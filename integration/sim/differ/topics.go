package differ

import (
	"strconv"

	"github.com/spoold/spoold/integration/sim/broker"
)

// kind is a topic of every world.
type kind struct {
	name       string
	partitions int
	cfg        broker.TopicConfig
	props      map[string]string
}

// farAhead stands for no limit on timestamps ahead.
const farAhead = 9_223_372_036_854_775_807

const smallBytes = 600 // max.message.bytes of the topic small, at first

var topics = []kind{
	{name: "plain", partitions: 3, cfg: broker.TopicConfig{After: 60 * minute}},
	{name: "compacted", partitions: 1, cfg: broker.TopicConfig{After: 60 * minute, Compact: true}, props: map[string]string{"cleanup.policy": "compact"}},
	{name: "stamped", partitions: 1, cfg: broker.TopicConfig{After: 60 * minute, AppendTime: true}, props: map[string]string{"message.timestamp.type": "LogAppendTime"}},
	{name: "small", partitions: 1, cfg: broker.TopicConfig{After: 60 * minute, MaxMessageBytes: smallBytes}, props: map[string]string{"max.message.bytes": strconv.Itoa(smallBytes)}},
	{name: "recent", partitions: 1, cfg: broker.TopicConfig{After: farAhead, Before: dayInMs},
		props: map[string]string{"message.timestamp.before.max.ms": strconv.Itoa(dayInMs)}},
}
