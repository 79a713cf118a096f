//go:build kafka

package differ

import (
	"fmt"
	"testing"

	"github.com/spoold/spoold/integration/kafka"
)

func TestTheModelEndsTransactionsAsKafkaDoesInVersionOne(t *testing.T) { compareTransactions(t, 1) }

func TestTheModelEndsTransactionsAsKafkaDoesInVersionTwo(t *testing.T) { compareTransactions(t, 2) }

// compareTransactions puts random requests of transactional ids to both: mostly as a client makes them, with epochs, sequences and
// versions that are out of place now and then.
func compareTransactions(t *testing.T, version int16) {
	o := kafka.Options{Version: *versionFlag, Props: unhurried}
	if *versionFlag == kafka.Newest {
		o.FormatArgs = []string{"-f", fmt.Sprint("transaction.version=", version)}
	} else if version > 1 {
		version = 1
	}
	real := newReal(t.Context(), kafka.Run(t, o))
	cfg := config()
	cfg.Transactions = version
	most, produce := int16(5), int16(12)
	if *versionFlag == kafka.Last3x {
		most, produce = 4, 11
	}
	seed := theSeed()
	const steps = 40
	for n := 0; n < *requestsFlag/20; n += steps { // of each step's ten requests half are questions about the id
		w, err := newTransactions(seed, fmt.Sprintf("x%d-%x", version, seed), real, newModel(cfg), most, produce)
		if err != nil {
			t.Fatal(err)
		}
		for range steps {
			if err := w.step(); err != nil {
				t.Fatalf("seed %d: %v\nagain: go test -tags kafka -run %s ./integration/sim/differ -seed %d", seed, err, t.Name(), seed)
			}
		}
		seed++
	}
}
