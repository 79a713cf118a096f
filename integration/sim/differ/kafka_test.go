//go:build kafka

package differ

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/proof"
	"github.com/spoold/spoold/integration/sim/broker"
)

var (
	requestsFlag = flag.Int("requests", 2000, "how many requests are put to the model and to Apache Kafka")
	seedFlag     = flag.Uint64("seed", 0, "of the first world; 0: by the clock")
	worldsFlag   = flag.Int("worlds", 0, "how many worlds; 0: as many as the requests need")
	versionFlag  = flag.String("kafka", kafka.Newest, "which Apache Kafka, "+kafka.Newest+" or "+kafka.Last3x)
	patienceFlag = flag.Duration("patience", time.Minute, "how long a sequence that shows a difference is shrunk")
)

const perWorld = 500 // steps

// unhurried has a broker do by itself nothing that would change what is compared.
var unhurried = map[string]string{
	"log.initial.task.delay.ms":                     "86400000", // retention, and checkpoints of log starts
	"producer.id.expiration.check.interval.ms":      "86400000",
	"auto.leader.rebalance.enable":                  "false",
	"log.cleaner.enable":                            "true",
	"log.cleaner.backoff.ms":                        "86400000",
	"replica.high.watermark.checkpoint.interval.ms": "86400000",
}

func TestTheModelAnswersRandomRequestsAsKafkaDoes(t *testing.T) {
	c := kafka.Run(t, kafka.Options{Version: *versionFlag, Props: unhurried})
	set := &Setting{Mix: Mix{Restarts: 2000, Recreate: 4000, Grow: 2000, MaxBytes: 8000}, Steps: perWorld}
	many(t, c, set, "differential", *requestsFlag*3/4)
}

// Producers whose batches are old are forgotten within a moment; the model forgets them when Kafka is seen to have.
func TestTheModelAnswersAsKafkaDoesWhereProducersAreForgotten(t *testing.T) {
	props := maps.Clone(unhurried)
	props["producer.id.expiration.check.interval.ms"] = "50"
	c := kafka.Run(t, kafka.Options{Version: *versionFlag, Props: props})
	set := &Setting{Mix: Mix{Restarts: 1000, Recreate: 4000, Grow: 2000, MaxBytes: 8000}, Steps: perWorld, Expiry: true}
	many(t, c, set, "differential-expiry", *requestsFlag/4)
}

func many(t *testing.T, c *kafka.Cluster, set *Setting, name string, n int) {
	seed := theSeed()
	set.Patience = *patienceFlag
	set.Older = *versionFlag == kafka.Last3x
	set.Model = func() side { return newModel(config()) }
	real := newReal(t.Context(), c)
	run := proof.Begin(name, "The model of a cluster against Apache Kafka "+*versionFlag+": "+t.Name(), "PROOF=1 go test -tags kafka -run "+t.Name()+" -timeout 2h ./integration/sim/differ -requests 100000")
	run.What = "Random requests, lies included, are put to the model and to a real broker, and answers, producer state and logs are compared after each."
	var sum Counts
	for world := 0; sum.Requests < n && (*worldsFlag == 0 || world < *worldsFlag); world++ {
		set.Steps = min(perWorld, n-sum.Requests)
		counts, err := set.Run(real, seed+uint64(world))
		sum.add(counts)
		if err != nil {
			t.Fatalf("%v\nreplay: go test -tags kafka -count=1 -run '^%s$' ./integration/sim/differ -seed %d -worlds 1", err, t.Name(), seed+uint64(world))
		}
	}
	run.Count("requests", sum.Requests)
	run.Count("batches in them", sum.Batches)
	run.Count("looks at what both know", sum.Looks)
	for _, code := range slices.Sorted(maps.Keys(sum.Codes)) {
		run.Count("batches answered "+code, sum.Codes[code])
	}
	run.Count("producers forgotten", sum.Forgotten)
	run.Inject("broker restarts", sum.Restarts)
	if sum.LostSessions > 0 {
		run.Notes = append(run.Notes, fmt.Sprintf("%d times a world was begun anew: the machine was so busy that the broker lost its session.", sum.LostSessions))
	}
	run.Inject("topics recreated, grown or limited", sum.Other-sum.Restarts)
	save(t, run)
	var codes []string
	for _, code := range slices.Sorted(maps.Keys(sum.Codes)) {
		codes = append(codes, fmt.Sprintf("%s %d", code, sum.Codes[code]))
	}
	t.Logf("seed %d: %d requests with %d batches, %d looks, %d restarts, %d other steps, %d producers forgotten, %d sessions lost: no difference\n%s", seed, sum.Requests, sum.Batches,
		sum.Looks, sum.Restarts, sum.Other-sum.Restarts, sum.Forgotten, sum.LostSessions, strings.Join(codes, ", "))
}

// config is the model's for the Kafka that was asked for.
func config() broker.Config {
	cfg := modelConfig
	if *versionFlag == kafka.Last3x {
		cfg.ProduceMax, cfg.NoELR = 11, true
	}
	return cfg
}

// theSeed is the one that was asked for, or one by the clock.
func theSeed() uint64 {
	if *seedFlag != 0 {
		return *seedFlag
	}
	return uint64(time.Now().UnixNano()) % 1_000_000_000
}
