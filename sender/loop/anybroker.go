package loop

import (
	"errors"
	"fmt"

	"github.com/spoold/spoold/protocol/conn"
	"github.com/spoold/spoold/sender"
)

// anyLink is the open link that is most likely to answer soon, or nil.
func (ls *links) anyLink() *link {
	var best *link
	for _, k := range ls.open {
		if !k.open() {
			continue
		}
		if best != nil && (k.throttled > ls.now.Age) != (best.throttled > ls.now.Age) {
			if best.throttled > ls.now.Age {
				best = k
			}
			continue
		}
		if best == nil || k.outstanding < best.outstanding ||
			k.outstanding == best.outstanding && (k.answeredAt > best.answeredAt || k.answeredAt == best.answeredAt && k.broker > best.broker) {
			best = k
		}
	}
	return best
}

// any carries out a request to AnyBroker.
func (ls *links) any(r *sender.Request) {
	if k := ls.anyLink(); k != nil {
		ls.control(k, r)
		return
	}
	ls.waiting = append(ls.waiting, *r)
	if ls.open[seedLink] == nil { // else it is dialled, or has ended: see forget
		ls.dialSeeds()
	}
}

// dialSeeds connects to one of the bootstrap servers, each time beginning with another one.
func (ls *links) dialSeeds() {
	servers := ls.opt.Servers
	order := make([]string, 0, len(servers))
	for i := range servers {
		order = append(order, servers[(ls.seed+i)%len(servers)])
	}
	ls.seed = (ls.seed + 1) % len(servers)
	k := &link{broker: seedLink}
	ls.open[seedLink] = k
	ls.dial(k, order)
}

func (ls *links) giveWaiting(k *link) {
	waiting := ls.waiting
	ls.waiting = nil
	for i := range waiting {
		ls.control(k, &waiting[i])
	}
}

func (ls *links) refuseWaiting(err error) {
	waiting := ls.waiting
	ls.waiting = nil
	for i := range waiting {
		ls.answer(sender.Response{ID: waiting[i].ID, Err: ls.noServer(err)})
	}
}

func (ls *links) noServer(err error) error {
	var refusal *conn.SecurityError
	var foreign *sender.ForeignClusterError
	if errors.As(err, &refusal) || errors.As(err, &foreign) {
		return fmt.Errorf("none of %d bootstrap servers can be used: %w", len(ls.opt.Servers), err)
	}
	return fmt.Errorf("none of %d bootstrap servers answers: %w", len(ls.opt.Servers), err)
}
