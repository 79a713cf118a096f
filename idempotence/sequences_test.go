package idempotence

import (
	"testing"

	"github.com/spoold/spoold/protocol"
)

func ready() protocol.Sequences {
	p := protocol.NewSequences()
	p.Adopt(protocol.ProducerIdentity{ID: 7})
	p.Assign(1)
	p.Acked(0, 1, 0, 1000)
	return p
}

func TestFiveMayBeUnansweredOnlyWhileTheBrokerSurelyRemembers(t *testing.T) {
	const day = 24 * 3600_000
	now := protocol.Margin{Wall: 10 * day, Ms: 20 * 3600_000}
	fresh := now.Wall - 1000
	tests := []struct {
		name      string
		change    func(*protocol.Sequences)
		mayAsk    bool
		oldest    int64
		candidate int64
		want      int
	}{
		{"everything is recent", func(*protocol.Sequences) {}, true, fresh, fresh, MaxInFlight},
		{"first batch under this id", func(p *protocol.Sequences) { p.Known = false }, true, fresh, fresh, 1},
		{"no right to ask", func(*protocol.Sequences) {}, false, fresh, fresh, 1},
		{"last ack is older than the margin", func(p *protocol.Sequences) { p.LastMaxTimestamp = now.Wall - day }, true, fresh, fresh, 1},
		{"an unanswered batch is older", func(*protocol.Sequences) {}, true, now.Wall - day, fresh, 1},
		{"the next one is older", func(*protocol.Sequences) {}, true, fresh, now.Wall - day, 1},
		{"exactly at the margin", func(p *protocol.Sequences) { p.LastMaxTimestamp = now.Wall - now.Ms }, true, fresh, fresh, 1},
		{"a millisecond inside", func(p *protocol.Sequences) { p.LastMaxTimestamp = now.Wall - now.Ms + 1 }, true, fresh, fresh, MaxInFlight},
	}
	for _, tt := range tests {
		p := ready()
		p.LastMaxTimestamp = fresh
		tt.change(&p)
		if got := inFlightLimit(&p, now, tt.mayAsk, tt.oldest, true, tt.candidate); got != tt.want {
			t.Errorf("%s: limit %d, want %d", tt.name, got, tt.want)
		}
	}
}
