package world

import (
	"encoding/json"
	"fmt"

	"github.com/spoold/spoold/integration/sim/broker"
)

// Shrink looks for a smaller plan that breaks the same law: fewer faults, chances, clients and requests. It runs at most so
// many plans, and gives the smallest that it found; that is p itself if none is smaller.
func Shrink(p *Plan, law string, most int) *Plan {
	s := &shrinking{best: p.clone(), law: law, left: most}
	for s.left > 0 && s.round() {
	}
	return s.best
}

type shrinking struct {
	best *Plan
	law  string
	left int
}

// round tries everything once, and reports whether anything helped.
func (s *shrinking) round() (better bool) {
	for n := len(s.best.Faults); n > 0; n /= 2 { // half of them, a quarter of them, … each alone
		for at := 0; at < len(s.best.Faults); {
			end := min(at+n, len(s.best.Faults))
			if s.try(func(p *Plan) { p.Faults = append(p.Faults[:at], p.Faults[end:]...) }) {
				better = true
			} else {
				at = end
			}
		}
	}
	for at := 0; at < len(s.best.Lasting); {
		if s.try(func(p *Plan) { p.Lasting = append(p.Lasting[:at], p.Lasting[at+1:]...) }) {
			better = true
		} else {
			at++
		}
	}
	for i := range s.best.Clients {
		if s.best.Clients[i].Ops > 0 && s.try(func(p *Plan) { p.Clients[i].Ops = 0 }) {
			better = true
		}
	}
	for _, change := range simpler {
		better = s.try(change) || better
	}
	for i := range s.best.Clients {
		for s.best.Clients[i].Ops > 1 && s.try(func(p *Plan) { p.Clients[i].Ops /= 2 }) {
			better = true
		}
		for s.best.Clients[i].Batch > 1 && s.try(func(p *Plan) { p.Clients[i].Batch /= 2 }) {
			better = true
		}
	}
	return better
}

// simpler takes whole kinds of trouble away.
var simpler = []func(*Plan){
	func(p *Plan) { p.Whole = false },
	func(p *Plan) { p.Chance = Chance{} },
	func(p *Plan) { p.Weather = broker.Weather{} },
	func(p *Plan) { p.Chance.LoseAnswer = 0 },
	func(p *Plan) { p.Chance.LoseRequest = 0 },
	func(p *Plan) { p.Chance.Twice = 0 },
	func(p *Plan) { p.Chance.Hold = 0 },
	func(p *Plan) { p.Chance.Zombie = 0 },
	func(p *Plan) { p.Chance.LoseReply, p.Chance.Impatient = 0, 0 },
	func(p *Plan) { p.Weather.Storage, p.Weather.Corrupt = 0, 0 },
	func(p *Plan) { p.Weather.Unknown, p.Weather.Unavailable, p.Weather.Throttle = 0, 0, 0 },
	func(p *Plan) {
		for i := range p.Topics {
			p.Topics[i].Refuse, p.Topics[i].AppendTime, p.Topics[i].Compact, p.Topics[i].Late = 0, false, false, false
		}
	},
	func(p *Plan) {
		for i := range p.Clients {
			p.Clients[i].Old, p.Clients[i].Pinned = 0, false
		}
	},
	func(p *Plan) {
		for i := range p.Hosts {
			p.Hosts[i].Wall, p.Hosts[i].Real, p.Hosts[i].Alone = 0, false, false
		}
	},
}

// try keeps a change if the law is still broken with it.
func (s *shrinking) try(change func(*Plan)) bool {
	if s.left <= 0 {
		return false
	}
	p := s.best.clone()
	change(p)
	if string(p.JSON()) == string(s.best.JSON()) {
		return false
	}
	s.left--
	for _, v := range run(p, false, nil).Violations {
		if v.Law == s.law {
			s.best = p
			return true
		}
	}
	return false
}

// JSON is the plan as it is kept.
func (p *Plan) JSON() []byte {
	raw, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		panic(fmt.Sprintf("world: a plan cannot be written: %v", err)) // it has nothing that cannot
	}
	return raw
}

// ReadPlan reads a plan that JSON wrote.
func ReadPlan(raw []byte) (*Plan, error) {
	p := new(Plan)
	if err := json.Unmarshal(raw, p); err != nil {
		return nil, fmt.Errorf("world: plan: %w", err)
	}
	return p, nil
}

func (p *Plan) clone() *Plan {
	c, err := ReadPlan(p.JSON())
	if err != nil {
		panic(err.Error())
	}
	return c
}
