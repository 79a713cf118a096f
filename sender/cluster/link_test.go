package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

func TestAnotherClusterIsAnOutageUntilTheRightOneAnswers(t *testing.T) {
	r := newRig(t, func(c *Config) { c.ID = "here" })
	a := r.Follow("a", protocol.TopicID{})
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 1}))
	r.connect(1)
	if _, _, ok := r.Way(a, 0); !ok {
		t.Fatal("there is no way to the leader")
	}
	r.Want()
	r.after(2000)
	q := r.asked()
	m := kmsg.NewPtrMetadataResponse()
	m.ClusterID = kmsg.StringPtr("elsewhere")
	r.Handle(q, Answer{Message: m})
	c := kinds(r.Changes())
	if c[ClusterForeign].Text != "elsewhere" || r.Link().Up || r.Link().Foreign != "elsewhere" || !strings.Contains(r.Link().Err, "elsewhere") || r.Generation() != 1 {
		t.Errorf("changes %+v, link %+v, generation %d", c, r.Link(), r.Generation())
	}
	if w, o, ok := r.Way(a, 0); ok || r.Usable(a, 0, w) || !strings.Contains(o.Why, "elsewhere") {
		t.Errorf("there is a way: %+v", o)
	}
	r.after(2000)
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 1})) // asked again by itself
	if _, _, ok := r.Way(a, 0); !ok || !r.Link().Up || r.Link().Foreign != "" {
		t.Errorf("there is no way to the right cluster: %+v", r.Link())
	}
}

func TestLinkIsDownWhenNothingAnswers(t *testing.T) {
	r := newRig(t, nil)
	r.Handle(r.asked(), Answer{Err: errors.New("refused")})
	if c := kinds(r.Changes())[LinkChanged]; c.Up || c.Text != "refused" {
		t.Errorf("change %+v", c)
	}
	if r.Update(); len(r.Requests()) != 0 || r.WakeAt() < r.now+80 {
		t.Errorf("asks again at %d, now %d: want a back-off", r.WakeAt(), r.now)
	}
	r.after(200)
	r.metadata(r.asked())
	if l := r.Link(); !l.Up || l.Since != r.now {
		t.Errorf("link %+v", l)
	}
}

func TestTheLinkIsLostWithTheLastConnectionThatFailed(t *testing.T) {
	r := newRig(t, nil)
	r.metadata(r.asked())
	r.connect(0)
	r.connect(1)
	r.Disconnected(0, errors.New("cut"))
	if !r.Link().Up {
		t.Fatal("down although broker 1 is connected")
	}
	r.Disconnected(1, errors.New("idle"))
	if !r.Link().Up {
		t.Fatal("down although all that was asked was answered")
	}
	r.connect(1)
	r.Unanswered(1)
	r.Unanswered(77) // nobody
	r.Disconnected(1, nil)
	if l := r.Link(); l.Up || l.Err != "no answer" {
		t.Errorf("link %+v, want it down", l)
	}
	r.Changes()
	r.Disconnected(1, errors.New("again"))
	r.Disconnected(77, errors.New("nobody"))
	if l := r.Link(); l.Err != "no answer" || len(r.Changes()) != 0 {
		t.Errorf("link %+v after connections ended that were not there", l)
	}
}

func TestAnotherReasonForALinkThatIsDownIsReported(t *testing.T) {
	r := newRig(t, nil)
	for _, tt := range []struct {
		why     string
		changes int
	}{{"refused", 1}, {"refused", 0}, {"timed out", 1}} {
		r.after(10_000)
		r.Handle(r.asked(), Answer{Err: errors.New(tt.why)})
		changes := r.Changes()
		if len(changes) != tt.changes || r.Link().Err != tt.why || r.Link().Up {
			t.Errorf("%s: link %+v, changes %+v, want %d", tt.why, r.Link(), changes, tt.changes)
		}
	}
	if since := r.Link().Since; since != 1 {
		t.Errorf("down since %d, want 1: nothing was reached since the first call", since)
	}
}

// Somebody who looks at a link that came up never must not see it become younger with the first refusal.
func TestALinkThatWasNeverUpIsDownSinceTheFirstCall(t *testing.T) {
	r := newRig(t, nil)
	r.after(3_000)
	if l := r.Link(); l.Up || l.Since != 1 || l.Err != "" {
		t.Errorf("link %+v before any answer, want it down since 1", l)
	}
	r.Handle(r.asked(), Answer{Err: errors.New("refused")})
	if l := r.Link(); l.Since != 1 || l.Err != "refused" {
		t.Errorf("link %+v, want it down since 1: refused", l)
	}
	r.after(10_000)
	r.metadata(r.asked())
	if l := r.Link(); !l.Up || l.Since != 13_001 {
		t.Errorf("link %+v, want it up since 13001", l)
	}
	r.after(1_000)
	r.connect(1)
	r.Unanswered(1)
	r.Disconnected(1, nil)
	if l := r.Link(); l.Up || l.Since != 14_001 {
		t.Errorf("link %+v, want it down since 14001", l)
	}
}

// With no record waiting, only the link itself has a reason to connect.
func TestBrokersThatCannotBeReachedAreTriedAgain(t *testing.T) {
	r := newRig(t, nil)
	r.metadata(r.asked())
	if r.Update(); len(r.Requests()) != 0 {
		t.Fatal("a broker that nobody tried is connected to")
	}
	r.Connect(r.Broker(2))
	r.Handle(r.Requests()[0], Answer{Err: errors.New("no such host")})
	r.after(2000)
	r.Update()
	q := r.Requests() // for metadata, as its address may have changed, and the connection
	if len(q) != 2 || q[1].Message != nil || q[1].Broker != 2 {
		t.Fatalf("asks %+v, want metadata and a connection to broker 2 alone", q)
	}
	r.Handle(Request{Broker: 77, kind: connect}, Answer{}) // nobody
	r.metadata(q[0])
	if l := r.Link(); l.Up || l.Err != "no such host" {
		t.Fatalf("link %+v although no broker can be reached", l)
	}
	if r.Update(); len(r.Requests()) != 0 {
		t.Error("connects beside a connection that is on its way")
	}
	if r.Handle(q[1], Answer{}); !r.Link().Up || r.Link().Err != "" {
		t.Errorf("link %+v after a connection opened", r.Link())
	}
	if r.Update(); len(r.Requests()) != 0 {
		t.Error("connects again to what is connected")
	}
}
