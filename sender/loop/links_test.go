package loop

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/sender"
	"github.com/spoold/spoold/spool"
)

// openLinks are links to brokers, each with a connection that is open.
func openLinks(opt Options, brokers ...int32) *links {
	ls := newLinks(&opt, newInbox(), &spool.Time{Age: 100})
	for _, b := range brokers {
		ls.open[b] = &link{broker: b, conn: newFakeWire()}
	}
	return ls
}

func closed(k *link) bool {
	select {
	case <-k.conn.Done():
		return true
	default:
		return false
	}
}

func TestAnyBrokerIsTheOneThatIsMostLikelyToAnswer(t *testing.T) {
	ls := openLinks(Options{}, 1, 2, 3)
	ls.open[1].outstanding = 1
	ls.open[2].answeredAt, ls.open[3].answeredAt = 50, 40
	if k := ls.anyLink(); k.broker != 2 {
		t.Errorf("broker %d, want 2: nothing is asked of it, and it answered last", k.broker)
	}
	ls.open[2].gone = errIdle
	if k := ls.anyLink(); k.broker != 3 {
		t.Errorf("broker %d, want 3: the connection to 2 has ended", k.broker)
	}
	ls.open[3].conn = nil
	if k := ls.anyLink(); k.broker != 1 {
		t.Errorf("broker %d, want 1: it alone is connected", k.broker)
	}
	if all, producing := ls.outstanding(); all != 1 || producing != 0 {
		t.Errorf("%d outstanding, %d of them Produce; want 1, 0", all, producing)
	}
}

func TestOnlyAnIdleConnectionIsClosed(t *testing.T) {
	ls := openLinks(Options{MaxIdle: 60 * time.Millisecond}, 1, 2, 3)
	ls.open[1].answeredAt = 41 // 59 ms ago
	ls.open[2].answeredAt = 40
	ls.open[3].outstanding = 1
	ls.closeIdle()
	if closed(ls.open[1]) || !closed(ls.open[2]) || closed(ls.open[3]) {
		t.Errorf("closed: 1 %v, 2 %v, 3 %v; want 2 alone", closed(ls.open[1]), closed(ls.open[2]), closed(ls.open[3]))
	}
}

func TestABootstrapServerIsLeftOnceABrokerIsKnownByNumber(t *testing.T) {
	ls := openLinks(Options{}, seedLink)
	if ls.closeIdle(); closed(ls.open[seedLink]) {
		t.Fatal("it was left with no other connection")
	}
	ls.open[1] = &link{broker: 1, conn: newFakeWire()}
	if ls.closeIdle(); !closed(ls.open[seedLink]) || closed(ls.open[1]) {
		t.Error("the bootstrap server is still connected, or the broker is not")
	}
}

// What is asked between the closing of a connection here and its end would be answered with an error.
func TestNothingIsAskedOfAConnectionThatIsBeingClosed(t *testing.T) {
	for what, end := range map[string]func(*links){"left": (*links).closeIdle, "bootstrapped anew": (*links).rebootstrap} {
		ls := openLinks(Options{}, seedLink, 1)
		end(ls)
		if k := ls.anyLink(); k != nil && closed(k) {
			t.Errorf("%s: broker %d is asked, which was closed", what, k.broker)
		}
		ls.request(&sender.Request{ID: 7, Broker: seedLink, Kind: sender.KindControl, Message: kmsg.NewPtrMetadataRequest()})
		if seed := ls.open[seedLink]; seed.outstanding != 0 || len(seed.late) != 1 {
			t.Errorf("%s: a request was given to a connection that was closed", what)
		}
	}
}

func TestAddressesAreThoseOfTheLastMetadata(t *testing.T) {
	ls := openLinks(Options{})
	metadata := func(id int32, host string) *kmsg.MetadataResponse {
		m := kmsg.NewPtrMetadataResponse()
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = id, host, 9092
		m.Brokers = append(m.Brokers, b)
		return m
	}
	ls.noteAddresses(metadata(1, "a"))
	ls.noteAddresses(metadata(2, "::1"))
	ls.noteAddresses(kmsg.NewPtrMetadataResponse()) // of no broker
	if len(ls.book) != 1 || ls.book[2] != "[::1]:9092" || ls.metadata != 100 {
		t.Errorf("addresses %v, as of %d; want [::1]:9092 for broker 2, as of 100", ls.book, ls.metadata)
	}
}

// The only connection, to a bootstrap server, has ended, and one of its requests is not answered yet. What is asked of any
// broker meanwhile must not wait for a connection that nobody opens.
func TestARequestBesideAnEndedConnectionIsNotForgotten(t *testing.T) {
	dialled := make(chan string, 1)
	ls := openLinks(Options{Servers: []string{"seed:1"}, dial: func(_ context.Context, addr string, _ time.Duration) (wire, error) {
		dialled <- addr
		return nil, errIdle
	}}, seedLink)
	t.Cleanup(ls.close)
	k := ls.open[seedLink]
	k.gone, k.outstanding = errIdle, 1
	ls.any(&sender.Request{ID: 2, Kind: sender.KindControl, Broker: sender.AnyBroker})
	if len(dialled) != 0 || len(ls.waiting) != 1 {
		t.Fatalf("%d dialled, %d requests wait; want 0 and 1", len(dialled), len(ls.waiting))
	}
	k.outstanding = 0
	ls.forget(k)
	select {
	case <-dialled:
	case <-time.After(patience):
		t.Fatal("no bootstrap server is dialled for the request that waits")
	}
}
