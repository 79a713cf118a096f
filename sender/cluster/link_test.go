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
	if c[ClusterForeign].Text != "elsewhere" || r.Link().Up || !strings.Contains(r.Link().Err, "elsewhere") || r.Generation() != 1 {
		t.Errorf("changes %+v, link %+v, generation %d", c, r.Link(), r.Generation())
	}
	if w, o, ok := r.Way(a, 0); ok || r.Usable(a, 0, w) || !strings.Contains(o.Why, "elsewhere") {
		t.Errorf("there is a way: %+v", o)
	}
	r.after(2000)
	r.metadata(r.asked(), topic("a", id(1), [2]int32{1, 1})) // asked again by itself
	if _, _, ok := r.Way(a, 0); !ok || !r.Link().Up {
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
