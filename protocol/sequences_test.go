package protocol

import "testing"

// ready is a partition with one acked record, at offset 0.
func ready() Sequences {
	p := NewSequences()
	p.Adopt(ProducerIdentity{ID: 7})
	p.Assign(1)
	p.Acked(0, 1, 0, 1000)
	return p
}

func TestASequenceIsNeverGivenTwiceInAnEpochAndWraps(t *testing.T) {
	p := ready()
	p.Next = 2147483646
	if base := p.Assign(3); base != 2147483646 || p.Next != 1 {
		t.Errorf("base %d, next %d; want 2147483646 and 1", base, p.Next)
	}
}

func TestAnEpochEndsAt32767AndNeverWraps(t *testing.T) {
	p := ready()
	p.Identity.Epoch = MaxProducerEpoch - 1
	if !p.Bump() || p.Identity.Epoch != MaxProducerEpoch || p.Next != 0 || p.Settled != NoSequence || p.Known {
		t.Errorf("after the last bump: %+v", p)
	}
	before := p
	if p.Bump() || p != before {
		t.Errorf("a bump past the end changed %+v to %+v", before, p)
	}
}

func TestAnAckWithoutAPlaceLeavesTheLastOffset(t *testing.T) {
	p := ready()
	p.Assign(4)
	p.Acked(4, 4, NoOffset, 2000)
	if p.LastOffset != 0 || p.Settled != 4 || p.LastMaxTimestamp != 2000 {
		t.Errorf("%+v", p)
	}
}

func TestAnAckedBatchEndsAtItsLastOffset(t *testing.T) {
	p := ready()
	p.Assign(4)
	p.Acked(4, 4, 100, 2000)
	if p.LastOffset != 103 || !p.Known {
		t.Errorf("four records at 100: %+v, want the last one at 103", p)
	}
}

func TestSequencesAreGivenUnderAnIdentityOnly(t *testing.T) {
	for name, ask := range map[string]func(){
		"under none": func() { p := NewSequences(); p.Assign(1) },
		"none":       func() { p := ready(); p.Assign(0) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			ask()
		})
	}
	if p := NewSequences(); p.Bump() || p.Identity != NoIdentity {
		t.Errorf("nobody's epoch was raised: %+v", p)
	}
	p := ready()
	if p.Bump(); p.Identity != (ProducerIdentity{ID: 7, Epoch: 1}) {
		t.Errorf("%v after 7/0", p.Identity)
	}
}

func TestTheMarginEndsAMillisecondBeforeItsTime(t *testing.T) {
	m := Margin{Wall: 10_000, Ms: 1000}
	for stamp, want := range map[int64]bool{9000: false, 9001: true, 10_000: true, 12_000: true, 0: false} {
		if m.Inside(stamp) != want {
			t.Errorf("a record of %d is inside of 1000 ms before 10000: %v, want %v", stamp, !want, want)
		}
	}
}
