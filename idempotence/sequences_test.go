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

func TestNoMoreIsSealedThanMayBeUnanswered(t *testing.T) {
	b := newBench(t).ready()
	b.spool(3)
	if b.advance(1); b.InFlight() != 1 {
		t.Errorf("%d sealed before the first ack, want 1", b.InFlight())
	}
	b = newBench(t).known()
	b.spool(8)
	if b.advance(1); b.InFlight() != MaxInFlight {
		t.Errorf("%d sealed after it, want %d", b.InFlight(), MaxInFlight)
	}
	b.commit()
	sent := b.send()
	if len(sent) != MaxInFlight {
		t.Fatalf("%d sent, want %d", len(sent), MaxInFlight)
	}
	b.e.MaxInFlight = 2
	b.ack(sent[0], 1)
	if b.advance(1); b.InFlight() != MaxInFlight-1 {
		t.Errorf("%d in flight, and max.in.flight is 2", b.InFlight())
	}
}

// The broker goes by the last batch that it appended: one with an old record is alone, also where the next one is fresh.
func TestAnOldRecordIsUnansweredAlone(t *testing.T) {
	b := newBench(t).known()
	wall := b.e.Now.Wall
	b.e.Now.Wall -= 30 * hourMs
	b.spool(1)
	b.e.Now.Wall = wall
	b.spool(1)
	if b.advance(1); b.InFlight() != 1 {
		t.Errorf("%d sealed, want the old one alone", b.InFlight())
	}
	b.commit()
	old := b.send()[0]
	b.window = append(b.window, &Sealed{Seal: old.Seal, Batch: old.Batch, durable: true})
	b.window[1].Seal.MaxTimestamp = wall
	if len(b.send()) != 0 {
		t.Error("another one is sent beside it")
	}
}

func TestAPauseEndsAtItsTime(t *testing.T) {
	b := newBench(t).known()
	b.advance(1)
	b.spool(1)
	b.retryAt = b.e.Now.Age + 10
	if b.advance(9); b.InFlight() != 0 {
		t.Error("sealed 1 ms early")
	}
	if b.advance(1); b.InFlight() != 1 {
		t.Error("not sealed after the pause")
	}
	b.commit()
	b.retryAt = b.e.Now.Age + 1
	if len(b.send()) != 0 {
		t.Error("sent 1 ms early")
	}
	b.e.Now.Age++
	if len(b.send()) != 1 {
		t.Error("not sent after the pause")
	}
}

func TestASealHasWhatAStartNeeds(t *testing.T) {
	b := newBench(t).known()
	ordinal := b.e.Ordinal
	b.spool(1)
	b.advance(1)
	s := b.window[0]
	if s.Seal.Ordinal != ordinal+1 || s.Batch.Ordinal != ordinal+1 || s.Seal.Tail != 1 || s.Seal.Base != 1 || s.stamp != -1 ||
		s.Seal.SealedAt != b.e.Now.Wall || s.Seal.SealedAge != b.e.Now.Age || s.Seal.TopicID != b.e.TopicID {
		t.Errorf("sealed as %+v", s)
	}
}
