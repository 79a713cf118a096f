package loop

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/conn"
	"github.com/spoold/spoold/sender"
)

// produceCap is the highest version that the batches can go in: from 13 on topics go by
// id, and an older cluster gives none.
func produceCap(batches []*accumulator.Batch) int16 {
	for _, b := range batches {
		if b.TopicID.IsZero() {
			return 12
		}
	}
	return -1
}

// part is one partition's place in a Produce request.
type part struct {
	to       protocol.ProducePartition
	encoding *encoding
}

// request carries one out. Whatever happens, one Response comes of it.
func (ls *links) request(r *sender.Request) {
	switch {
	case r.Kind == sender.KindConnect:
		ls.connect(r)
	case r.Kind == sender.KindControl && r.Broker == sender.AnyBroker:
		ls.any(r)
	default:
		k := ls.open[r.Broker]
		switch {
		case k == nil || k.conn == nil:
			ls.reply(sender.Response{ID: r.ID, Err: fmt.Errorf("broker %d is not connected", r.Broker)})
		case !k.open():
			k.late = append(k.late, r.ID) // answered by forget
		case r.Kind == sender.KindProduce:
			ls.produce(k, r)
		default:
			ls.control(k, r)
		}
	}
}

func (ls *links) control(k *link, r *sender.Request) {
	if ls.held(k, r) {
		return
	}
	version, ok := k.conn.Version(r.Message.Key(), r.MaxVersion)
	if !ok || version < r.MinVersion {
		ls.reply(sender.Response{ID: r.ID, Unsupported: true, Err: &UnsupportedError{Broker: k.broker, Request: kmsg.NameForKey(r.Message.Key())}})
		return
	}
	r.Message.SetVersion(version)
	k.outstanding++
	done := ls.done(k, r.ID, nil)
	if _, ok := r.Message.(*kmsg.MetadataRequest); ok {
		done = ls.metadataDone(done)
	}
	k.conn.Do(r.Message, time.Duration(r.Timeout)*time.Millisecond, done)
}

func (ls *links) produce(k *link, r *sender.Request) {
	most := produceCap(r.Batches)
	if r.TransactionalID != "" && r.MaxVersion >= 0 {
		most = r.MaxVersion // a bound is below the versions with topic ids
	}
	version, ok := k.conn.Version(protocol.ProduceKey, most)
	if !ok || version < r.MinVersion {
		ls.reply(sender.Response{ID: r.ID, Unsupported: true, Err: &UnsupportedError{Broker: k.broker, Request: "Produce"}})
		return
	}
	parts := make([]part, len(r.Batches))
	for i, b := range r.Batches {
		parts[i] = part{
			to:       protocol.ProducePartition{Topic: b.Topic, TopicID: b.TopicID, Partition: b.Partition},
			encoding: ls.encoding(b),
		}
		parts[i].encoding.setSize()
	}
	k.outstanding++
	k.producing++
	k.conn.Produce(&conn.ProduceRequest{
		Version:         version,
		TransactionalID: r.TransactionalID,
		// Less than our own patience, so that REQUEST_TIMED_OUT comes as an answer and
		// the connection lives on.
		TimeoutMillis: int32(min(r.Timeout/6*5, 1<<31-1)),
		Encode: func(dst []protocol.ProducePartition) ([]protocol.ProducePartition, error) {
			for i := range parts {
				p := parts[i].to
				p.Batch = parts[i].encoding.bytes()
				dst = append(dst, p)
			}
			return dst, nil
		},
	}, time.Duration(r.Timeout)*time.Millisecond, ls.done(k, r.ID, &producing{parts, time.Now()}))
}

// done passes an answer to the loop, from the connection's reader.
// p is not nil if it was a Produce request.
func (ls *links) done(k *link, id uint64, p *producing) conn.Done {
	return func(resp kmsg.Response, written bool, err error) {
		ls.inbox.post(func() {
			k.outstanding--
			if p != nil {
				k.producing--
				for i := range p.parts {
					p.parts[i].encoding.setSize() // those that were not made yet when they were sent
				}
				ls.produced(k.broker, p, resp, err)
			}
			if err == nil {
				k.answeredAt, k.answered = ls.now.Age, true
				ls.throttle(k, resp)
				ls.noteAddresses(resp)
			}
			ls.answer(sender.Response{ID: id, Err: err, Written: written, Message: resp})
			ls.forget(k)
		})
	}
}

// metadataDone notes when a Metadata request came to nothing, before done passes it on.
func (ls *links) metadataDone(done conn.Done) conn.Done {
	return func(resp kmsg.Response, written bool, err error) {
		if err != nil {
			ls.inbox.post(ls.metadataFailed)
		}
		done(resp, written, err)
	}
}

// UnsupportedError says that a broker does not support a request.
type UnsupportedError struct {
	Broker  int32
	Request string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("broker %d does not know the request %s: it needs Kafka 2.8 or newer", e.Broker, e.Request)
}
