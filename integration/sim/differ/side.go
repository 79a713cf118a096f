package differ

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// side is who is put steps to.
type side interface {
	// ask puts a request to a broker and waits for the answer.
	ask(broker int32, req kmsg.Request) (kmsg.Response, error)
	// firstBroker is the number of the first broker in answers.
	firstBroker() int32
	// ready waits until all that a broker needs to answer is there.
	ready() error
	// create makes a topic, and waits until it can be used; id is its id.
	create(name string, k *kind) (id [16]byte, err error)
	// remove deletes a topic, and waits until nothing of it is left.
	remove(name string) error
	// grow gives a topic so many partitions, and waits.
	grow(name string, partitions int) error
	// limit sets max.message.bytes, and waits.
	limit(name string, bytes int) error
	// restart ends broker 0, in order or not, and starts it again, and waits until all topics can be used.
	restart(inOrder bool, topics map[string]int) error
	// forget has producers expire whose time is over: on one side it waits until pids are not known any more.
	forget(name string, partition int32, pids []int64) error
}
