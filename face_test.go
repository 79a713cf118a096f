package spoold

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
	"github.com/spoold/spoold/spool/bolt"
)

// within fails the test if f takes longer than most.
func within(t *testing.T, most time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(most):
		t.Fatalf("not within %v: %s", most, what)
	}
}

// sendOne sends a record and waits until it is spooled.
func sendOne(t *testing.T, p *Producer) Delivery {
	t.Helper()
	d, err := p.Send(context.Background(), Record{Topic: "t", Value: []byte("v")})
	if err == nil {
		err = d.Spooled(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// acks plays the sender: it says of the first records of topic t that they are acked, from offset 40 on.
func (f *failing) acks(n spool.Index) {
	f.Resolve(&spool.Delivery{Lane: 0, Spans: []spool.Span{{First: 0, End: n}}, Partition: 3, Offset: 40, Timestamp: -1})
}

// A Delivery of a record that is on disk waits for the engine that follows after a full disk.
func TestAckedAndCallbacksOutliveAReopenedSpool(t *testing.T) {
	p, stores := offline(t)
	defer func() { _ = p.Close(closed()) }()
	first := <-stores
	d := sendOne(t, p)
	called := make(chan Ack, 1)
	err := p.SendFunc(context.Background(), Record{Topic: "t"}, func(a Ack, err error) {
		if err != nil {
			t.Errorf("callback = %v", err)
		}
		called <- a
	})
	if err != nil {
		t.Fatal(err)
	}
	sendOne(t, p) // and the one before it
	e := p.engines.now.Load()
	first.fail <- &bolt.SpaceError{Err: syscall.ENOSPC}
	<-e.replaced
	second := <-stores
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := d.Acked(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Acked after the spool was opened again = %v, want that it waits", err)
	}
	second.acks(2)
	p.callbacks.poke()
	within(t, 10*time.Second, "Acked answers", func() {
		if a, err := d.Acked(context.Background()); err != nil || a.Partition != 3 || a.Offset != 40 {
			t.Errorf("Acked = %+v, %v", a, err)
		}
	})
	within(t, 10*time.Second, "the callback is called", func() {
		if a := <-called; a.Offset != 41 {
			t.Errorf("callback = %+v, want offset 41", a)
		}
	})
}

func TestCloseAnswersReceiptsThatWereHandedOn(t *testing.T) {
	t.Parallel()
	p, stores := offline(t)
	d := sendOne(t, p)
	e := p.engines.now.Load()
	(<-stores).fail <- &bolt.SpaceError{Err: syscall.ENOSPC}
	<-e.replaced
	if err := p.Close(closed()); err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "Acked answers", func() {
		if _, err := d.Acked(context.Background()); !errors.Is(err, ErrClosed) {
			t.Errorf("Acked = %v, want ErrClosed", err)
		}
	})
}

func TestAPanicInACallbackIsReportedAndTheNextIsCalled(t *testing.T) {
	panics := make(chan Panicked, 1)
	p, stores := offlineWith(t, Hooks{Panicked: func(e Panicked) { panics <- e }})
	defer func() { _ = p.Close(closed()) }()
	called := make(chan error, 1)
	for _, f := range []func(Ack, error){
		func(Ack, error) { panic("oh") },
		func(_ Ack, err error) { called <- err },
	} {
		if err := p.SendFunc(context.Background(), Record{Topic: "t"}, f); err != nil {
			t.Fatal(err)
		}
	}
	sendOne(t, p)
	(<-stores).acks(3)
	p.callbacks.poke()
	within(t, 10*time.Second, "both are called", func() {
		if e := <-panics; e.Where != "callback" || e.Value != "oh" || !strings.Contains(string(e.Stack), "face_test.go") {
			t.Errorf("reported %s %v:\n%s", e.Where, e.Value, e.Stack)
		}
		if err := <-called; err != nil {
			t.Errorf("the next callback = %v", err)
		}
	})
}

func TestAPanicInAHookIsReportedAndDeliveryGoesOn(t *testing.T) {
	panics := make(chan Panicked, 10)
	p, _ := offlineWith(t, Hooks{
		SpoolCommit: func(SpoolCommit) { panic("oh") },
		Panicked:    func(e Panicked) { panics <- e; panic("again") },
	})
	sendOne(t, p)
	sendOne(t, p)
	within(t, 10*time.Second, "it is reported", func() {
		if e := <-panics; e.Where != "hook" {
			t.Errorf("reported %+v", e)
		}
	})
	if err := p.Close(closed()); err != nil {
		t.Error(err)
	}
}

func TestCloseFromACallbackReturnsWithinItsContext(t *testing.T) {
	t.Parallel()
	p, stores := offline(t)
	result := make(chan error, 1)
	err := p.SendFunc(context.Background(), Record{Topic: "t"}, func(Ack, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		result <- p.Close(ctx)
	})
	if err != nil {
		t.Fatal(err)
	}
	sendOne(t, p)
	(<-stores).acks(2)
	p.callbacks.poke()
	within(t, 10*time.Second, "Close returns", func() {
		if err := <-result; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close = %v", err)
		}
	})
	if err := p.Close(context.Background()); err != nil {
		t.Errorf("Close again = %v", err)
	}
}

func TestCloseObeysItsContextWhileACallbackHangs(t *testing.T) {
	t.Parallel()
	p, stores := offline(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	if err := p.SendFunc(context.Background(), Record{Topic: "t"}, func(Ack, error) { close(entered); <-leave }); err != nil {
		t.Fatal(err)
	}
	sendOne(t, p)
	(<-stores).acks(2)
	p.callbacks.poke()
	<-entered
	within(t, 10*time.Second, "Close returns", func() {
		if err := p.Close(closed()); !errors.Is(err, context.Canceled) {
			t.Errorf("Close = %v, want the context's error", err)
		}
	})
	select {
	case <-p.Done():
	default:
		t.Error("the spool is not closed")
	}
	close(leave)
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// A second Close may have less patience than the first.
func TestALaterCloseHurriesAnEarlierOne(t *testing.T) {
	t.Parallel()
	p, stores := offline(t)
	hold := make(chan struct{})
	p.engines.now.Load().loop.Refresh(context.Background())
	f := <-stores
	f.hold(hold) // the loop hangs in its store
	first := make(chan error, 1)
	go func() { first <- p.Close(context.Background()) }()
	within(t, 10*time.Second, "the later Close returns", func() {
		if err := p.Close(closed()); !errors.Is(err, context.Canceled) {
			t.Errorf("Close = %v", err)
		}
	})
	close(hold)
	within(t, 10*time.Second, "the first Close returns", func() {
		if err := <-first; err != nil {
			t.Error(err)
		}
	})
}

func TestAnEndedContextGivenToSendTakesNothing(t *testing.T) {
	p, _ := offline(t)
	defer func() { _ = p.Close(closed()) }()
	if _, err := p.Send(closed(), Record{Topic: "t"}); !errors.Is(err, context.Canceled) {
		t.Errorf("Send = %v", err)
	}
	if _, err := p.SendBatch(closed(), Batch{Records: []Record{{Topic: "t"}}}); !errors.Is(err, context.Canceled) {
		t.Errorf("SendBatch = %v", err)
	}
	if err := p.SendFunc(closed(), Record{Topic: "t"}, func(Ack, error) { t.Error("called") }); !errors.Is(err, context.Canceled) {
		t.Errorf("SendFunc = %v", err)
	}
	sendOne(t, p)
	if n := p.Status().Accepted; n != 1 {
		t.Errorf("%d records accepted, want 1", n)
	}
}

func TestTheZeroDeliveryAnswersUnknown(t *testing.T) {
	var d Delivery
	var ds Deliveries
	ctx := context.Background()
	if err := d.Spooled(ctx); !errors.Is(err, ErrUnknown) {
		t.Errorf("Spooled = %v", err)
	}
	if _, err := d.Acked(ctx); !errors.Is(err, ErrUnknown) {
		t.Errorf("Acked = %v", err)
	}
	if err := ds.Spooled(ctx); !errors.Is(err, ErrUnknown) {
		t.Errorf("Deliveries.Spooled = %v", err)
	}
	if _, err := ds.Acked(ctx); !errors.Is(err, ErrUnknown) || ds.Len() != 0 || ds.Duplicate() {
		t.Errorf("Deliveries.Acked = %v", err)
	}
}

func TestARefusedRecordIsDeadLetteredToo(t *testing.T) {
	p, stores := offline(t)
	defer func() { _ = p.Close(closed()) }()
	d := sendOne(t, p)
	(<-stores).Resolve(&spool.Delivery{Spans: []spool.Span{{First: 0, End: 1}}, Err: &sender.RefusedError{Code: "MESSAGE_TOO_LARGE", Message: "no"}})
	_, err := d.Acked(context.Background())
	var refused *RefusedError
	if !errors.Is(err, ErrDeadLettered) || !errors.As(err, &refused) || refused.Code != "MESSAGE_TOO_LARGE" || refused.Message != "no" {
		t.Errorf("Acked = %v", err)
	}
}

// Every error of an inner package that reaches a caller is one of this package, with the same text.
func TestInnerErrorsBecomePublicOnes(t *testing.T) {
	for _, s := range sentinels {
		got := public(errors.Join(errors.New("while testing"), s.inner))
		if !errors.Is(got, s.public) || !strings.Contains(got.Error(), s.inner.Error()) {
			t.Errorf("%v becomes %v", s.inner, got)
		}
		if public(got) != got { //nolint:errorlint // the very same value
			t.Errorf("%v is wrapped twice", s.inner)
		}
	}
	for _, inner := range []error{
		&bolt.LockedError{Path: "p", PID: 7}, &bolt.VersionError{Path: "p", Err: syscall.EIO}, &bolt.SpaceError{Err: syscall.ENOSPC},
		&spool.CorruptError{Segment: 3, Block: NoBlock, What: "cut off"}, &sender.DamageError{Err: syscall.EIO},
		&sender.RefusedError{Code: "C", Message: "m"}, &sender.ForeignClusterError{Bound: "a", Found: "b"}, &sender.StoppedError{Reason: "r"},
		&sender.ResolveError{Why: "w", Nothing: true},
	} {
		got := publicType(inner)
		if got == nil || reflect.TypeOf(got).Elem().PkgPath() != "github.com/spoold/spoold" || got.Error() != inner.Error() {
			t.Errorf("%T becomes %T", inner, got)
		}
	}
	if err := public(syscall.EIO); err != syscall.EIO { //nolint:errorlint // the very same value
		t.Errorf("a system's error becomes %v", err)
	}
}

// An event of the sender that no hook receives would be lost without a word.
func TestEveryEventReachesItsHook(t *testing.T) {
	var got []any
	h := Hooks{}
	v := reflect.ValueOf(&h).Elem()
	for i := range v.NumField() {
		f := v.Field(i)
		f.Set(reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value {
			got = append(got, args[0].Interface())
			return nil
		}))
	}
	tp := "t"
	for _, e := range []struct {
		in   sender.Event
		want any
	}{
		{sender.BatchAcked{Topic: tp, Partition: 1, Records: 2, Bytes: 3, Offset: 4, Recovered: true, How: "tail"},
			BatchAcked{Topic: tp, Partition: 1, Records: 2, Bytes: 3, Offset: 4, Recovered: true, How: AckedByTail}},
		{sender.BatchRetried{Topic: tp, Partition: 1, Code: protocol.NotLeaderOrFollower}, BatchRetried{Topic: tp, Partition: 1, Code: 6}},
		{sender.PartitionParked{Topic: tp, Partition: 1, Park: spool.Park{Reason: "r", Detail: "d"}, InDoubt: 2},
			PartitionParked{Topic: tp, Partition: 1, Reason: "r", Detail: "d", InDoubt: 2}},
		{sender.PartitionUnparked{Topic: tp, Partition: 1, Choice: sender.ResolveResend, Records: 2},
			PartitionUnparked{Topic: tp, Partition: 1, Choice: Resend, Records: 2}},
		{sender.RecordDeadLettered{Topic: tp, Partition: 1, Index: 2, Code: protocol.NotLeaderOrFollower, Message: "m"},
			RecordDeadLettered{Topic: tp, Partition: 1, Index: 2, Code: 6, Message: "m"}},
		{sender.LinkChanged{Up: true, Err: "e"}, LinkChanged{Up: true, Err: "e"}},
		{sender.TopicTrouble{Topic: tp, Code: protocol.NotLeaderOrFollower, Message: "m"}, TopicTrouble{Topic: tp, Code: 6, Message: "m"}},
		{sender.TopicRecreated{Topic: tp, From: protocol.TopicID{1}, To: protocol.TopicID{2}},
			TopicRecreated{Topic: tp, From: protocol.TopicID{1}.String(), To: protocol.TopicID{2}.String()}},
		{sender.EpochBumped{Topic: tp, Partition: 1, Identity: protocol.ProducerIdentity{ID: 2, Epoch: 3}, Why: "w"},
			EpochBumped{Topic: tp, Partition: 1, ProducerID: 2, ProducerEpoch: 3, Why: "w"}},
		{sender.CopyUnchecked{Unasked: 1}, CopyUnchecked{Unasked: 1}},
		{sender.Recovery{Pending: 1, Seals: 2, Partitions: 3}, Recovery{Pending: 1, Seals: 2, Partitions: 3}},
	} {
		got = nil
		h.call(e.in, 0)
		if len(got) != 1 || got[0] != e.want {
			t.Errorf("%+v reached hooks as %+v, want %+v", e.in, got, e.want)
		}
	}
	if name := ErrorCode(6).String(); name != "NOT_LEADER_OR_FOLLOWER" {
		t.Errorf("ErrorCode(6) = %s", name)
	}
}
