//go:build crash

package wallclock

import (
	"bufio"
	"encoding/json"
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/kafka"
)

var seedFlag = flag.Uint64("seed", 0, "repeats a run; 0: a new one")

// wide is a limit of a topic that lets every stamp pass.
var wide = strconv.Itoa(1 << 60)

// rig is a broker, a daemon whose clock is wrong, and clients of topics that differ in the stamps that they take.
type rig struct {
	t       *testing.T
	cluster *kafka.Cluster
	daemon  *crash.Daemon
	killer  *crash.Killer
	clock   *Clock
	loads   map[string]*crash.Load // by topic
	begun   time.Time
	wrong   string // the last age that was
}

func newRig(t *testing.T, bin string, keys map[string]string) *rig {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d; again: go test -tags crash -count=1 -v ./integration/wallclock -run '^%s$' -seed %d", seed, t.Name(), seed)
	r := &rig{t: t, cluster: kafka.Run(t, kafka.Options{}), loads: map[string]*crash.Load{}, begun: time.Now()}
	dir := t.TempDir()
	var err error
	r.daemon, err = crash.NewDaemon(bin, dir, r.cluster.Bootstrap(), keys)
	r.must(err)
	r.clock, err = New(dir)
	r.must(err)
	r.daemon.Env = r.clock.Env()
	r.killer = &crash.Killer{Daemon: r.daemon, Rand: rand.New(rand.NewPCG(seed, 1))}
	r.must(r.killer.Start(t.Context()))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.daemon.Tail())
		}
		_ = r.daemon.End() // our own child: fails only when it is gone
	})
	for i, topic := range []string{"wide", "hour", "tight"} {
		seed += uint64(i)
		r.loads[topic] = &crash.Load{Ledger: crash.NewLedger(seed, 2, 100), URL: "http://" + r.daemon.HTTP + "/topics/" + topic, Seed: seed,
			Think: 20 * time.Millisecond, Records: 5}
	}
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) create(topic, before, after string) {
	r.t.Helper()
	r.must(r.cluster.CreateTopic(r.t.Context(), topic, 1, map[string]string{"message.timestamp.before.max.ms": before, "message.timestamp.after.max.ms": after}))
}

// status is the part of /api/status that says something of a topic, and everything that it says in seconds.
type status struct {
	Pending, Acked uint64
	Dead           uint64 `json:"dead_lettered"`
	Expired, Lost  uint64
	Topics         []struct {
		Topic, Trouble string
		Pending, Acked uint64
	}
}

// look asks for status and metrics, and checks every age: none is negative, and no record is older than this test.
func (r *rig) look(when string) *status {
	r.t.Helper()
	r.must(r.daemon.Check())
	for _, l := range r.loads {
		r.must(l.Err())
	}
	text := r.page("/api/status")
	s, all := new(status), any(nil)
	r.must(json.Unmarshal([]byte(text), s))
	r.must(json.Unmarshal([]byte(text), &all))
	r.seconds(when, "status", all)
	lines := bufio.NewScanner(strings.NewReader(r.page("/metrics")))
	for lines.Scan() {
		at := strings.LastIndexByte(lines.Text(), ' ')
		if at < 0 || strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		name := lines.Text()[:at]
		if v, err := strconv.ParseFloat(lines.Text()[at+1:], 64); err != nil || strings.Contains(name, "_seconds") && v < 0 {
			r.t.Errorf("%s: metric %s, %v", when, lines.Text(), err)
		}
	}
	return s
}

func (r *rig) seconds(when, where string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			r.seconds(when, where+"."+k, x)
		}
	case []any:
		for _, x := range v {
			r.seconds(when, where+"[]", x)
		}
	case float64:
		most := time.Since(r.begun).Seconds() + 5
		if strings.HasSuffix(where, "_seconds") && (v < 0 || strings.Contains(where, "age") && v > most) && r.wrong != when+where {
			r.wrong = when + where // once is enough
			r.t.Errorf("%s: %s is %v, and this test runs for %.0f s", when, where, v, most)
		}
	}
}

// page is what the daemon answers on its admin address.
func (r *rig) page(path string) string {
	r.t.Helper()
	resp, err := http.Get("http://" + r.daemon.Admin + path)
	r.must(err)
	defer func() { _ = resp.Body.Close() }() // it is read to its end
	text, err := io.ReadAll(resp.Body)
	r.must(err)
	if resp.StatusCode != http.StatusOK {
		r.t.Fatalf("%s: %d %s", path, resp.StatusCode, text)
	}
	return string(text)
}

// until looks every 50 ms, and fails where that takes too long.
func (r *rig) until(when string, patience time.Duration, ok func(*status) bool) *status {
	r.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	began := time.Now()
	for s := r.look(when); ; s = r.look(when) {
		if ok(s) {
			r.t.Logf("%s, after %v", when, time.Since(began).Round(time.Millisecond))
			return s
		}
		if time.Since(began) > patience {
			r.t.Fatalf("%s: not within %v: %+v", when, patience, s)
		}
		<-tick.C
	}
}

// goesOn waits until what the topic that takes any stamp is sent from now on is on the cluster.
func (r *rig) goesOn(when string) {
	r.t.Helper()
	acked := func(s *status) uint64 {
		for _, t := range s.Topics {
			if t.Topic == "wide" {
				return t.Acked
			}
		}
		return 0
	}
	was := acked(r.look(when))
	r.until(when, 20*time.Second, func(s *status) bool { return acked(s) >= was+20 })
}

// post posts a record with an idempotency key, to a topic of its own.
func (r *rig) post(key, value string, want int) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, "http://"+r.daemon.HTTP+"/topics/keyed", strings.NewReader(`{"records":[{"value":"`+value+`"}]}`))
	r.must(err)
	req.Header.Set("Content-Type", "application/vnd.kafka.json.v2+json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := http.DefaultClient.Do(req)
	r.must(err)
	defer func() { _ = resp.Body.Close() }() // it is read to its end
	text, err := io.ReadAll(resp.Body)
	r.must(err)
	if resp.StatusCode != want {
		r.t.Errorf("key %q with %q: %d %s, want %d", key, value, resp.StatusCode, text, want)
	}
}

// compare reads a topic back.
func (r *rig) compare(topic string) {
	r.t.Helper()
	reading := r.loads[topic].Ledger.Read()
	r.must(r.cluster.ScanCommitted(r.t.Context(), topic, func(rec *kafka.Record) error {
		reading.Record(rec.Partition, rec.Offset, rec.Key, rec.Value)
		return nil
	}))
	v := reading.Verdict()
	if r.t.Log(topic, v); !v.OK() {
		r.t.Fail()
	}
}
