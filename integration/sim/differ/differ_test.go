package differ

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/sim/broker"
)

// These tests put the model against itself: they show that the comparison compares. Against Kafka it is done with the build tag kafka.

var modelConfig = broker.Config{Check: never, Checkpoint: never, Combined: true}

var busy = Mix{Restarts: 10_000, Recreate: 10_000, Grow: 10_000, MaxBytes: 10_000}

func settings(steps int, expiry bool) *Setting {
	return &Setting{Mix: busy, Steps: steps, Expiry: expiry, Patience: 10 * time.Second, Model: func() side { return newModel(modelConfig) }}
}

func TestTheModelDoesNotDifferFromItself(t *testing.T) {
	for _, expiry := range []bool{false, true} {
		set := settings(1000, expiry)
		counts, err := set.Run(set.Model(), 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range []string{"NONE", "OUT_OF_ORDER_SEQUENCE_NUMBER", "INVALID_PRODUCER_EPOCH", "INVALID_RECORD", "CORRUPT_MESSAGE",
			"MESSAGE_TOO_LARGE", "INVALID_TIMESTAMP", "UNKNOWN_TOPIC_OR_PARTITION", "UNKNOWN_TOPIC_ID"} {
			if counts.Codes[code] == 0 {
				t.Errorf("expiry %v: no batch in 1000 requests was answered %s: %v", expiry, code, counts.Codes)
			}
		}
		if counts.Restarts == 0 || expiry && counts.Forgotten == 0 {
			t.Errorf("expiry %v: %+v", expiry, counts)
		}
	}
}

func TestASeedIsOneSequenceOfSteps(t *testing.T) {
	steps := func() (list []Step) {
		g := newGenerator(7, busy, false)
		for range 500 {
			s := g.next()
			list = append(list, s)
			for part := range s.Parts {
				g.saw(&s, part, 0)
			}
			g.did(&s)
		}
		return list
	}
	if one, two := steps(), steps(); !reflect.DeepEqual(one, two) {
		t.Error("the same seed drew two sequences")
	}
}

// lax is a cluster that has forgotten that one of its topics is compacted.
type lax struct{ side }

func (l lax) create(name string, k *kind) ([16]byte, error) {
	less := *k
	less.cfg.Compact = false
	return l.side.create(name, &less)
}

func TestADifferenceIsFoundAndShrunkToWhatShowsIt(t *testing.T) {
	set := settings(1000, false)
	_, err := set.Run(lax{set.Model()}, 3)
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatalf("no difference found, but %v", err)
	}
	if len(f.Steps) != 1 || f.Steps[0].Op != Produce && f.Steps[0].Op != DeleteRecords {
		t.Errorf("not shrunk to the one request that shows it: %v", f)
	}
	again := settings(0, false)
	if err := again.replay(lax{again.Model()}, "again", f.Steps); !errors.Is(err, errDiffer) {
		t.Errorf("the shrunk steps show %v", err)
	}
	if err := again.replay(again.Model(), "equal", f.Steps); err != nil {
		t.Errorf("the shrunk steps on two equal sides: %v", err)
	}
}
