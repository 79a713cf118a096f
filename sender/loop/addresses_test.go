package loop

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/sender"
)

// atLinks are links whose answers are collected.
func atLinks(opt Options, brokers ...int32) (ls *links, answers *[]sender.Response) {
	ls = openLinks(opt, brokers...)
	answers = &[]sender.Response{}
	ls.answer = func(r sender.Response) { *answers = append(*answers, r) }
	ls.reply = ls.answer
	ls.ended = func(int32, error) {}
	return ls, answers
}

// deliver runs what was posted to the loop.
func (ls *links) deliver() {
	for _, do := range ls.inbox.take() {
		do()
	}
}

func produceNaming(id int32, host string) *kmsg.ProduceResponse {
	r := kmsg.NewPtrProduceResponse()
	b := kmsg.NewProduceResponseBroker()
	b.NodeID, b.Host, b.Port = id, host, 9092
	r.Brokers = append(r.Brokers, b)
	return r
}

func TestAddressesBesideNewLeadersAreKept(t *testing.T) {
	ls, _ := atLinks(Options{}, 1)
	ls.noteAddresses(metadata(1, 2))
	ls.noteAddresses(produceNaming(3, "new"))
	if ls.book[3] != "new:9092" || ls.book[1] != "broker1:9092" {
		t.Errorf("addresses %v", ls.book)
	}
	ls.noteAddresses(metadata(1))
	if len(ls.book) != 1 {
		t.Errorf("addresses %v, want those of the latest metadata", ls.book)
	}
}

func TestABrokerAtAnotherAddressIsDialledAtOnce(t *testing.T) {
	ls, _ := atLinks(Options{ReconnectBackoff: time.Hour, ReconnectMax: time.Hour}, 1)
	ls.noteAddresses(metadata(1, 2))
	ls.failed(2, errors.New("refused"))
	ls.noteAddresses(metadata(1, 2))
	if ls.pace(2).notUntil == 0 {
		t.Error("the same address was named again, and the pause is over")
	}
	ls.noteAddresses(produceNaming(2, "elsewhere"))
	if ls.pace(2).notUntil != 0 || ls.book[2] != "elsewhere:9092" {
		t.Errorf("paused until %d, address %s", ls.pace(2).notUntil, ls.book[2])
	}
}

// From one failure to the next the pause doubles, by a fifth more or less; a connection ends that.
func TestAPauseBeforeDiallingDoublesUntilAConnectionOpens(t *testing.T) {
	ls, _ := atLinks(Options{ReconnectBackoff: 100 * time.Millisecond, ReconnectMax: time.Minute}, 1)
	about := func(n int, want int64) {
		t.Helper()
		if pause := ls.pace(1).notUntil - ls.now.Age; pause < want*79/100 || pause > want*121/100 {
			t.Errorf("pause %d is %d ms, want about %d", n, pause, want)
		}
	}
	for n := range 6 {
		ls.failed(1, errors.New("refused"))
		about(n, int64(100)<<n)
	}
	k := ls.open[1]
	k.answered = true
	ls.lost(k)
	about(6, 100)
}

func TestAPauseBeforeDiallingStaysUnderItsLimit(t *testing.T) {
	ls, _ := atLinks(Options{ReconnectBackoff: 50 * time.Millisecond, ReconnectMax: time.Second}, 1)
	for range 200 {
		ls.failed(1, errors.New("refused"))
		if pause := ls.pace(1).notUntil - ls.now.Age; pause > 1000 {
			t.Fatalf("a pause of %d ms", pause)
		}
	}
}

func TestABrokerThatAsksForItHasTheClusterLookedForAnew(t *testing.T) {
	ls, _ := atLinks(Options{}, 1, 2)
	ls.noteAddresses(metadata(1, 2))
	r := metadata(1, 2)
	r.ErrorCode = int16(protocol.RebootstrapRequired)
	ls.noteAddresses(r)
	if !closed(ls.open[1]) || !closed(ls.open[2]) || len(ls.book) != 0 {
		t.Errorf("closed: %v, %v; addresses %v", closed(ls.open[1]), closed(ls.open[2]), ls.book)
	}
}

func TestTheClusterIsLookedForAnewWhenMetadataFailsForLong(t *testing.T) {
	ls, _ := atLinks(Options{Rebootstrap: time.Second}, 1)
	r := control(7, 1)
	ask := func(after int64, resp kmsg.Response, err error) {
		ls.now.Age += after
		ls.control(ls.open[1], &r)
		ls.open[1].conn.(*fakeWire).answer(resp, true, err)
		ls.deliver()
	}
	failure := errors.New("no answer")
	ask(0, metadata(1), nil)
	ask(5000, nil, failure)
	ask(999, metadata(1), nil) // which ends the count
	ask(5000, nil, failure)
	ask(999, nil, failure)
	if closed(ls.open[1]) {
		t.Fatal("closed before metadata.recovery.rebootstrap.trigger.ms was over")
	}
	ask(1, nil, failure)
	if !closed(ls.open[1]) || len(ls.book) != 0 {
		t.Errorf("closed %v, addresses %v", closed(ls.open[1]), ls.book)
	}
}

func TestAThrottledBrokerGetsNoRequestUntilItIsOver(t *testing.T) {
	ls, answers := atLinks(Options{}, 1, 2)
	k := ls.open[1]
	w := k.conn.(*fakeWire)
	first, second := control(7, 1), control(8, 1)
	ls.control(k, &first)
	w.expect(t, "Metadata")
	throttled := metadata(1)
	throttled.ThrottleMillis = 200
	throttled.SetVersion(9)
	w.answer(throttled, true, nil)
	ls.deliver()
	ls.control(k, &second)
	ls.now.Age += 199
	ls.release()
	if len(k.waiting) != 1 || ls.releaseAt() != ls.now.Age+1 {
		t.Fatalf("%d requests wait, until %d at %d", len(k.waiting), ls.releaseAt(), ls.now.Age)
	}
	if any := ls.anyLink(); any.broker != 2 {
		t.Errorf("any broker is %d, want the one that is not throttled", any.broker)
	}
	ls.now.Age++
	ls.release()
	w.expect(t, "Metadata")
	if len(k.waiting) != 0 || ls.releaseAt() != 0 || len(*answers) != 1 {
		t.Errorf("%d wait, release at %d, %d answers", len(k.waiting), ls.releaseAt(), len(*answers))
	}
}

func TestWhatWaitsForAThrottledBrokerFailsWithItsConnection(t *testing.T) {
	ls, answers := atLinks(Options{ReconnectBackoff: 1, ReconnectMax: 1}, 1)
	k := ls.open[1]
	k.throttled = ls.now.Age + 100
	r := control(7, 1)
	ls.control(k, &r)
	k.conn.Close(errors.New("reset"))
	ls.lost(k)
	if len(*answers) != 1 || (*answers)[0].ID != 7 || (*answers)[0].Err == nil {
		t.Errorf("answers %+v", *answers)
	}
}

func TestNoBrokerThrottlesForLong(t *testing.T) {
	ls, _ := atLinks(Options{}, 1)
	m := metadata(1)
	m.ThrottleMillis = 1 << 30
	m.SetVersion(9)
	ls.throttle(ls.open[1], m)
	if k := ls.open[1]; k.throttled != ls.now.Age+30_000 {
		t.Errorf("throttled until %d at %d", k.throttled, ls.now.Age)
	}
}

func TestWhatWaitsIsReleasedWhenTheFirstThrottleEnds(t *testing.T) {
	ls, _ := atLinks(Options{}, 1, 2, 3)
	if at := ls.releaseAt(); at != 0 {
		t.Errorf("release at %d with nothing that waits, want 0", at)
	}
	for id, until := range map[int32]int64{1: 500, 2: 300, 3: 200} {
		ls.open[id].throttled = until
		if id != 3 {
			ls.open[id].waiting = []sender.Request{control(7, id)}
		}
	}
	if at := ls.releaseAt(); at != 300 {
		t.Errorf("release at %d, want 300: that of the first link that something waits for", at)
	}
}

// Each answer has a throttle_time_ms, and most say 0.
func TestAnAnswerWithoutThrottleEndsNone(t *testing.T) {
	ls, _ := atLinks(Options{}, 1)
	m := metadata(1)
	m.SetVersion(9)
	m.ThrottleMillis = 500
	ls.throttle(ls.open[1], m)
	m.ThrottleMillis = 0
	if ls.throttle(ls.open[1], m); ls.open[1].throttled != ls.now.Age+500 {
		t.Errorf("throttled until %d at %d, want 500 ms", ls.open[1].throttled, ls.now.Age)
	}
}
