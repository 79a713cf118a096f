//go:build kafka

package differ

import (
	"flag"
	"fmt"
	"maps"
	"testing"

	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/proof"
)

var roundsFlag = flag.Int("rounds", 4, "how many times a leader is moved or killed, or a follower restarted or halted, on three brokers")

func TestThreeBrokersOfTheModelAnswerAsThreeOfKafkaDo(t *testing.T) {
	props := maps.Clone(unhurried)
	props["replica.fetch.wait.max.ms"] = "50"
	// A machine that is busy must not be taken for a broker that is gone.
	const session, lag = 6000, 60_000
	props["broker.session.timeout.ms"], props["replica.lag.time.max.ms"] = fmt.Sprint(session), fmt.Sprint(lag)
	cfg := config()
	cfg.Brokers, cfg.Session, cfg.Lag, cfg.Combined = brokers, session, lag, false
	seed := theSeed()
	run := proof.Begin("differential-three", "The model of a cluster against Apache Kafka "+*versionFlag+", three brokers",
		"PROOF=1 go test -tags kafka -run "+t.Name()+" -timeout 2h ./integration/sim/differ -rounds 60")
	run.What = "Batches and questions go to leaders and followers while leaders move and die, followers halt and restart; all replicas' answers, logs and producer state are compared."
	for attempt := 0; ; attempt++ {
		c := kafka.Run(t, kafka.Options{Version: *versionFlag, Brokers: brokers, Props: props})
		w, err := newTrio(newReal(t.Context(), c), newModel(cfg), seed)
		if err != nil {
			t.Fatal(err)
		}
		done, err := rounds(w, *roundsFlag)
		if err != nil && attempt < lostSessions && w.drifted() {
			run.Notes = append(run.Notes, "Begun anew: the machine was so busy that a broker lost its session.")
			c.Close()
			continue
		}
		if err != nil {
			t.Fatalf("seed %d: %v\nafter\n%v\nreplay: go test -tags kafka -count=1 -run '^%s$' ./integration/sim/differ -seed %d -rounds %d", seed, err, w, t.Name(), seed, *roundsFlag)
		}
		for what, n := range done {
			run.Inject(what, n)
		}
		run.Count("requests compared", w.Requests)
		save(t, run)
		t.Logf("seed %d: %v, %d requests, %d times begun anew: no difference", seed, done, w.Requests, attempt)
		return
	}
}

// rounds does n things that take a broker or a leadership away, each kind once and then by chance, and much between them.
func rounds(w *trio, n int) (map[string]int, error) {
	kinds := []struct {
		what string
		do   func() error
	}{
		{"follower halted", w.halt},
		{"leader killed", w.kill},
		{"leader moved", func() error { return w.move(w.rng.IntN(2)) }},
		{"follower restarted", w.restart},
	}
	done := map[string]int{}
	for i := range n {
		if err := w.steps(20); err != nil {
			return done, err
		}
		r := kinds[i%len(kinds)]
		if i >= len(kinds) {
			r = kinds[w.rng.IntN(len(kinds))]
		}
		if err := r.do(); err != nil {
			return done, fmt.Errorf("%s: %w", r.what, err)
		}
		done[r.what]++
	}
	return done, nil
}

func save(t *testing.T, run *proof.Run) {
	t.Helper()
	root, err := proof.Root()
	if err == nil {
		err = run.Save(root)
	}
	if err != nil {
		t.Fatal(err)
	}
}
