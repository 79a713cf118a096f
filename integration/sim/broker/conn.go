package broker

import (
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Conn is a client's connection as a broker has it. A broker takes the next request of a connection only when
// the one before is answered (SocketServer mutes the channel): what comes early waits in the socket.
type Conn struct {
	node   *node
	life   int // of the broker's process
	queue  []arrived
	busy   bool
	closed bool // by the client: answers go nowhere
	dead   bool // the broker is gone
	gone   bool // what was taken and not begun is not served either
	down   func()

	// The request that is served. With what is done about it made once, a request costs no closures.
	now    arrived
	begin  func()
	finish func(kmsg.Response)
}

type arrived struct {
	req    kmsg.Request
	answer func(kmsg.Response)
}

// Open connects to a broker. false: nobody listens there. down is called when the broker's process ends, after
// which nothing is answered any more.
func (c *Cluster) Open(broker int32, down func()) (*Conn, bool) {
	if int(broker) >= len(c.nodes) || !c.nodes[broker].alive || c.nodes[broker].starting {
		return nil, false
	}
	k := &Conn{node: c.nodes[broker], life: c.nodes[broker].life, down: down}
	k.begin, k.finish = k.handle, k.answered
	k.node.conns = append(k.node.conns, k)
	return k, true
}

// Beside is another connection to the same process, for what arrives late. false: that process has ended.
func (k *Conn) Beside() (*Conn, bool) {
	if !k.node.alive || k.node.life != k.life {
		return nil, false
	}
	return k.node.c.Open(k.node.id, func() {})
}

// Receive gives the broker a request that has arrived whole. answer is called when it answers, in the order
// of requests. The request must not be changed any more.
func (k *Conn) Receive(req kmsg.Request, answer func(kmsg.Response)) {
	if k.dead {
		return
	}
	k.queue = append(k.queue, arrived{req, answer})
	k.serve()
}

// Close is the client's end. What had arrived and was not served may still be: serve says so.
func (k *Conn) Close(serve bool) {
	k.closed = true
	if !serve {
		k.queue = nil
	}
	k.leave()
}

// Forget is Close, and nothing comes of a request that a frozen broker has taken and not begun to serve.
func (k *Conn) Forget() {
	k.gone = true
	k.Close(false)
}

// leave forgets a connection on which nothing is to come any more.
func (k *Conn) leave() {
	if k.closed && !k.busy && len(k.queue) == 0 || k.dead {
		k.node.conns = slices.DeleteFunc(k.node.conns, func(x *Conn) bool { return x == k })
	}
}

func (k *Conn) lost() {
	k.dead, k.queue = true, nil
	k.leave()
	if !k.closed {
		k.closed = true
		k.down()
	}
}

func (k *Conn) serve() {
	if k.busy || k.dead || len(k.queue) == 0 {
		return
	}
	k.busy = true
	k.now = k.queue[0]
	k.queue = slices.Delete(k.queue, 0, 1)
	k.node.c.agenda.After(k.node.c.within(k.node.c.cfg.Work), k.begin)
}

func (k *Conn) handle() {
	switch {
	case k.dead:
	case k.gone:
		k.busy, k.now = false, arrived{}
		k.leave()
	case k.node.paused:
		k.node.backlog = append(k.node.backlog, k.begin)
	default:
		k.node.handle(k.now.req, k.finish)
	}
}

func (k *Conn) answered(resp kmsg.Response) {
	if k.dead {
		return
	}
	answer := k.now.answer
	k.busy, k.now = false, arrived{}
	if ms := throttle(resp); ms > 0 { // the answer goes out, the next request waits (KIP-219)
		k.busy = true
		k.node.after(int64(ms), k.unmute)
	}
	if !k.closed && resp != nil {
		answer(resp)
	}
	k.serve()
	k.leave()
}

func throttle(resp kmsg.Response) int32 {
	if t, ok := resp.(kmsg.ThrottleResponse); ok {
		ms, _ := t.Throttle()
		return ms
	}
	return 0
}

func (k *Conn) unmute() {
	k.busy = false
	k.serve()
	k.leave()
}

// handle serves one request; reply is called once, at once or later, with nil if there is no answer.
func (n *node) handle(req kmsg.Request, reply func(kmsg.Response)) {
	switch m := req.(type) {
	case *kmsg.ProduceRequest:
		n.produce(m, reply)
	case *kmsg.FetchRequest:
		reply(n.fetch(m))
	case *kmsg.ListOffsetsRequest:
		reply(n.listOffsets(m))
	case *kmsg.MetadataRequest:
		reply(n.metadata(m))
	case *kmsg.DescribeProducersRequest:
		reply(n.describeProducers(m))
	case *kmsg.InitProducerIDRequest:
		if m.TransactionalID != nil {
			n.coordinator.initProducerID(n, m, reply)
			return
		}
		reply(n.initProducerID(m))
	case *kmsg.DescribeConfigsRequest:
		reply(n.describeConfigs(m))
	case *kmsg.DeleteRecordsRequest:
		reply(n.deleteRecords(m))
	default:
		if (transactional{n}).handleTransactional(req, reply) {
			return
		}
		panic(fmt.Sprintf("broker: the model does not know %T", req))
	}
}
