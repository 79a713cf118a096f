package loop

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/spoold/spoold/accumulator"
	"github.com/spoold/spoold/integration/poll"
	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEffectsAreCarriedOutInFieldOrder(t *testing.T) {
	var events []string
	opt := Options{Event: func(sender.Event) { events = append(events, "link") }}
	r := newRig(t, opt, nil)
	r.core.on("start", sender.Effects{
		Write:   &spool.Write{ID: 7},
		Urgent:  true,
		Deliver: []spool.Delivery{{Spans: []spool.Span{{First: 1, End: 3}}}},
		Feed:    []sender.Feed{{ID: 5, From: 20}},
		Events:  []sender.Event{sender.LinkChanged{Up: true}},
	})
	r.loop.Run()
	r.store.expect(t, "submit 7 true", "resolve [[1,3)]")
	r.core.expect(t, "start", "fed 5 30")
	r.loop.Refresh(context.Background())
	if len(events) != 1 {
		t.Errorf("events: %v, want [link]", events)
	}
}

func TestRequestToABrokerThatIsNotConnectedFailsAtOnceAndOnce(t *testing.T) {
	r := newRig(t, Options{}, nil)
	r.core.on("start", sender.Effects{Requests: []sender.Request{
		control(1, 4),
		{ID: 2, Kind: sender.KindConnect, Broker: 4}, // no address is known
		{ID: 3, Kind: sender.KindProduce, Broker: 4},
	}})
	r.loop.Run()
	r.core.expect(t, "start", "handle 1 error", "handle 2 error", "handle 3 error")
}

func TestAnyBrokerTriesTheBootstrapServersInTurn(t *testing.T) {
	r := newRig(t, Options{}, nil)
	r.core.on("start", sender.Effects{Requests: []sender.Request{control(1, sender.AnyBroker), control(2, sender.AnyBroker)}})
	r.core.on("handle", sender.Effects{})
	r.core.on("handle", sender.Effects{Requests: []sender.Request{control(3, sender.AnyBroker)}})
	r.wires <- nil
	r.wires <- nil
	r.wires <- nil
	w := newFakeWire()
	r.wires <- w
	r.loop.Run()
	r.core.expect(t, "start", "handle 1 error", "handle 2 error")
	w.expect(t, "Metadata")
	for _, want := range []string{"seed1:1", "seed2:2", "seed2:2", "seed1:1"} {
		if got := <-r.dials; got != want {
			t.Errorf("dialled %s, want %s", got, want)
		}
	}
	w.answer(metadata(1), true, nil)
	r.core.expect(t, "handle 3 ok")
}

// One that is not there may take its whole connection timeout: what the others say is shown before.
func TestABootstrapServersRefusalIsShownWhileTheNextIsTried(t *testing.T) {
	r := newRig(t, Options{}, nil)
	r.core.on("start", sender.Effects{Requests: []sender.Request{control(1, sender.AnyBroker)}})
	r.wires <- nil
	r.loop.Run()
	r.core.expect(t, "start")
	if !poll.Until(func() bool {
		tried := r.loop.Refresh(t.Context()).Tried
		return tried != nil && tried.Error() == "refused"
	}) {
		t.Fatalf("tried: %v, want that one refused", r.loop.Snapshot().Tried)
	}
	r.wires <- nil
	r.core.expect(t, "handle 1 error")
	if s := r.loop.Refresh(t.Context()); s.Tried != nil {
		t.Errorf("tried: %v, after the answer for all of them", s.Tried)
	}
}

func TestABrokerIsDialledWhereMetadataSaysItIs(t *testing.T) {
	r := newRig(t, Options{}, nil)
	r.connected(t, newFakeWire())
	if a, b := <-r.dials, <-r.dials; a != "seed1:1" || b != "broker1:9092" {
		t.Errorf("dialled %s, then %s", a, b)
	}
}

func TestDisconnectedComesAfterTheLastResponseOfItsConnection(t *testing.T) {
	r := newRig(t, Options{}, nil)
	w := newFakeWire()
	r.connected(t, w, sender.Effects{Requests: []sender.Request{control(3, 1), control(4, 1)}})
	w.expect(t, "Metadata")
	w.expect(t, "Metadata")
	w.Close(errors.New("reset"))
	r.core.expect(t, "handle 3 error written", "handle 4 error written", "disconnected 1")
}

// Else the core makes them again and again in the same call: nothing has said yet that
// the broker is gone, and the loop never gets to the answer that is missing.
func TestRequestsToAnEndedConnectionAreAnsweredAfterDisconnected(t *testing.T) {
	r := newRig(t, Options{}, nil)
	w := newFakeWire()
	r.connected(t, w, sender.Effects{Requests: []sender.Request{control(3, 1)}})
	w.expect(t, "Metadata")
	w.once.Do(func() { // it ends, and the answer to 3 is still on its way to the loop
		w.mu.Lock()
		w.err = errors.New("reset")
		w.mu.Unlock()
		close(w.over)
	})
	for deadline := time.Now().Add(patience); ; {
		if _, open := look(r.loop); !open {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the loop did not notice that the connection has ended")
		}
	}
	r.core.on("committed", sender.Effects{Requests: []sender.Request{
		{ID: 4, Kind: sender.KindProduce, Broker: 1, Batches: []*accumulator.Batch{sealedBatch(1)}}, control(5, 1)}})
	r.store.commits <- &bolt.Commit{}
	r.core.on("handle", sender.Effects{Requests: []sender.Request{control(6, 1)}})
	r.core.expect(t, "committed 0")
	w.answer(nil, true, errors.New("reset"))
	r.core.expect(t, "handle 3 error written", "disconnected 1", "handle 4 error", "handle 5 error", "handle 6 error")
}

// look reports whether broker 1 has a link, and whether it is open.
func look(l *Loop) (there, open bool) {
	asked := make(chan struct{})
	l.inbox.post(func() {
		defer close(asked)
		k := l.links.open[1]
		there, open = k != nil, k != nil && k.open()
	})
	<-asked
	return there, open
}

func TestProduceSendsAValidBatchAndKeepsItsBytesForAnotherCopy(t *testing.T) {
	for _, codec := range []protocol.Codec{protocol.CodecNone, protocol.CodecGzip, protocol.CodecSnappy, protocol.CodecLZ4, protocol.CodecZstd} {
		r := newRig(t, Options{Codec: codec, Level: 3}, nil)
		w := newFakeWire()
		b := sealedBatch(50)
		produce := func(id uint64) []sender.Request {
			return []sender.Request{{ID: id, Kind: sender.KindProduce, Broker: 1, Batches: []*accumulator.Batch{b}, Timeout: 1000}}
		}
		r.connected(t, w, sender.Effects{Sealed: []*accumulator.Batch{b}, Requests: produce(3)},
			sender.Effects{Requests: produce(4)}, sender.Effects{Recycle: []*accumulator.Batch{b}})
		w.expect(t, "Produce v9 1 <nil>")
		w.answer(nil, true, errors.New("lost"))
		w.expect(t, "Produce v9 1 <nil>")
		w.answer(nil, true, nil)
		r.core.expect(t, "handle 3 error written", "handle 4 ok")
		r.loop.Refresh(context.Background())
		if b.Shell != nil {
			t.Errorf("codec %d: the encoding is kept after the batch was recycled", codec)
		}
		select {
		case extra := <-w.sent:
			t.Errorf("codec %d: %s", codec, extra)
		default:
		}
	}
}

func sealedBatch(records int) *accumulator.Batch {
	b := &accumulator.Batch{Topic: "t", TopicID: protocol.TopicID{1}, Identity: protocol.ProducerIdentity{ID: 1},
		Count: int32(records), Buf: make([]byte, protocol.BatchHeaderSize)}
	body := []byte{1, 20} // null key, a value of ten bytes
	body = append(append(body, "0123456789"...), 0)
	for i := range records {
		b.Buf = spool.AppendRecord(b.Buf, body, 0, int32(i))
	}
	return b
}

func TestABatchThatWasSealedAnewIsEncodedAnew(t *testing.T) {
	en := newEncoder(protocol.CodecNone, 0, 1)
	b := sealedBatch(3)
	e := en.start(b)
	if !e.is(b) {
		t.Error("the encoding is not its batch's")
	}
	b.Identity.Epoch++
	if e.is(b) {
		t.Error("an encoding under the former epoch passes for the batch's")
	}
}

func TestFlushWaitsForWhatWasSpooledBeforeAndForNothingLater(t *testing.T) {
	rec := &spool.Recovered{Lanes: []spool.Lane{{ID: 0, End: 5, Settled: spool.NewSet(3)}}, Counters: spool.Counters{Accepted: 5, Acked: 3}}
	r := newRig(t, Options{}, rec)
	r.loop.Run()
	r.core.expect(t, "start")
	flushed := make(chan error, 1)
	go func() { flushed <- r.loop.Flush(context.Background(), 7) }()

	commit := func(writes uint64, first, end spool.Index) *bolt.Commit {
		return &bolt.Commit{Committed: spool.Committed{Writes: writes, Sections: []spool.Section{{Spans: []spool.Span{{First: first, End: end}}}}}}
	}
	deliver := func(first, end spool.Index) sender.Effects {
		return sender.Effects{Deliver: []spool.Delivery{{Spans: []spool.Span{{First: first, End: end}}}}}
	}
	r.store.commits <- commit(1, 5, 7)
	r.core.expect(t, "committed 1", "flush")
	r.core.on("committed", deliver(5, 7))
	r.core.on("committed", deliver(3, 5))
	r.store.commits <- commit(2, 7, 9)
	r.core.expect(t, "committed 2")
	select {
	case err := <-flushed:
		t.Fatalf("Flush returned %v before 3 and 4 had left", err)
	default:
	}
	r.store.commits <- commit(3, 9, 10)
	r.core.expect(t, "committed 3")
	if err := <-flushed; err != nil {
		t.Errorf("Flush = %v", err)
	}
}

func TestFlushEndsWithItsContextAndIsForgotten(t *testing.T) {
	rec := &spool.Recovered{Lanes: []spool.Lane{{ID: 0, End: 5, Settled: spool.NewSet(3)}}, Counters: spool.Counters{Accepted: 5, Acked: 3}}
	r := newRig(t, Options{}, rec)
	r.loop.Run()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.loop.Flush(ctx, 5); !errors.Is(err, context.Canceled) {
		t.Errorf("Flush = %v", err)
	}
	r.loop.Refresh(context.Background())
	if n := len(r.loop.progress.waiters); n != 0 {
		t.Errorf("%d waiters are left", n)
	}
}

func TestCloseLetsAnswersComeAndAsksNothingNew(t *testing.T) {
	r := newRig(t, Options{}, nil)
	w := newFakeWire()
	r.connected(t, w, sender.Effects{Requests: []sender.Request{{ID: 3, Kind: sender.KindProduce, Broker: 1, Batches: []*accumulator.Batch{sealedBatch(1)}, Timeout: 1000}}},
		sender.Effects{Write: &spool.Write{ID: 9}, Requests: []sender.Request{control(4, 1)}})
	w.expect(t, "Produce v9 1 <nil>")
	closed := make(chan struct{})
	go func() { r.loop.Close(context.Background()); close(closed) }()
	r.core.expect(t, "closing")
	w.answer(nil, true, nil)
	<-closed
	r.core.expect(t, "handle 3 ok")
	r.store.expect(t, "submit 9 false")
	if err := r.loop.Err(); err != nil {
		t.Errorf("Err() = %v after Close", err)
	}
	select {
	case got := <-w.sent:
		t.Errorf("sent %s while closing", got)
	default:
	}
}

func TestCloseSendsWhatIsBeingSealedAndWaitsForItsAnswer(t *testing.T) {
	r := newRig(t, Options{}, nil)
	w := newFakeWire()
	b := sealedBatch(1)
	r.connected(t, w, sender.Effects{Requests: []sender.Request{control(3, 1)}})
	w.expect(t, "Metadata")
	r.core.on("handle", sender.Effects{Write: &spool.Write{ID: 5}, Urgent: true, Sealed: []*accumulator.Batch{b}})
	r.core.on("committed", sender.Effects{Requests: []sender.Request{{ID: 4, Kind: sender.KindProduce, Broker: 1, Batches: []*accumulator.Batch{b}, Timeout: 1000}}})
	w.answer(metadata(1), true, nil)
	r.core.expect(t, "handle 3 ok")
	closed := make(chan struct{})
	go func() { r.loop.Close(context.Background()); close(closed) }()
	r.core.expect(t, "closing")
	r.store.expect(t, "submit 5 true")
	r.store.commits <- &bolt.Commit{Committed: spool.Committed{Writes: 5}}
	r.core.expect(t, "committed 5")
	w.expect(t, "Produce v9 1 <nil>")
	select {
	case <-closed:
		t.Fatal("Close did not wait for the answer")
	default:
	}
	w.answer(nil, true, nil)
	r.core.expect(t, "handle 4 ok")
	<-closed
}

func TestCloseDoesNotWaitLongerThanItsContext(t *testing.T) {
	r := newRig(t, Options{}, nil)
	w := newFakeWire()
	r.connected(t, w, sender.Effects{Requests: []sender.Request{{ID: 3, Kind: sender.KindProduce, Broker: 1, Batches: []*accumulator.Batch{sealedBatch(1)}, Timeout: 1000}}})
	w.expect(t, "Produce v9 1 <nil>")
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	r.loop.Close(ctx)
	r.over(t)
}

// What became of records, and what happened, is passed on by the call that stops, too.
func TestStopDeliversWhatStandsBesideIt(t *testing.T) {
	var events []sender.Event
	r := newRig(t, Options{Event: func(e sender.Event) { events = append(events, e) }}, nil)
	r.core.on("start", sender.Effects{
		Deliver: []spool.Delivery{{Spans: []spool.Span{{First: 1, End: 3}}}},
		Events:  []sender.Event{sender.LinkChanged{Up: true}},
		Stop:    errors.New("it is a copy"),
	})
	r.loop.Run()
	<-r.loop.Over()
	r.store.expect(t, "resolve [[1,3)]")
	if len(events) != 1 {
		t.Errorf("%d events, want 1", len(events))
	}
}

func TestStopEndsTheLoopOnceItsWriteIsDurable(t *testing.T) {
	r := newRig(t, Options{}, nil)
	reason := errors.New("somebody else used it")
	r.core.on("start", sender.Effects{Write: &spool.Write{ID: 3}, Stop: reason})
	r.core.on("committed", sender.Effects{Stop: reason}) // the core repeats it
	r.loop.Run()
	r.core.expect(t, "start")
	r.store.commits <- &bolt.Commit{Committed: spool.Committed{Writes: 2}}
	r.core.expect(t, "committed 2")
	select {
	case <-r.loop.Over():
		t.Fatal("the loop ended before its Write was durable")
	default:
	}
	r.store.commits <- &bolt.Commit{Committed: spool.Committed{Writes: 3}}
	if err := r.over(t); !errors.Is(err, reason) {
		t.Errorf("Err() = %v, want %v", err, reason)
	}
}

func TestAFailedCommitEndsTheLoop(t *testing.T) {
	r := newRig(t, Options{}, nil)
	r.loop.Run()
	r.store.commits <- &bolt.Commit{Err: bolt.ErrPoisoned}
	if err := r.over(t); !errors.Is(err, bolt.ErrPoisoned) {
		t.Errorf("Err() = %v", err)
	}
	if err := r.loop.Flush(context.Background(), 0); !errors.Is(err, ErrOver) {
		t.Errorf("Flush after the end = %v, want ErrOver", err)
	}
}

func TestDamageFoundWhileReadingBackEndsTheLoop(t *testing.T) {
	r := newRig(t, Options{}, nil)
	r.store.readErr = &spool.CorruptError{Segment: 4}
	r.core.on("start", sender.Effects{Feed: []sender.Feed{{ID: 1, Lane: 2, From: 3}}})
	r.loop.Run()
	err := r.over(t)
	var corrupt *spool.CorruptError
	if !errors.As(err, &corrupt) || !strings.Contains(err.Error(), "lane 2") {
		t.Errorf("Err() = %v", err)
	}
}

func TestTickComesAtWakeAt(t *testing.T) {
	r := newRig(t, Options{}, nil)
	r.core.on("start", sender.Effects{WakeAt: r.store.Now().Age + 5})
	r.loop.Run()
	r.core.expect(t, "start", "tick")
}
