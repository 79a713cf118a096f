//go:build crash

package crash

import (
	"bufio"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/pki"
)

const user, password = "crash", "crash-secret"

// secured are the settings of a listener with TLS and passwords.
func secured(dir string) (o kafka.Options, keys map[string]string, err error) {
	broker, authority, err := pki.Files(dir)
	if err != nil {
		return o, nil, err
	}
	o.Links = true // frames inside TLS cannot be broken one by one
	o.Props, o.FormatArgs = kafka.SASL(broker, authority, map[string]string{user: password})
	return o, map[string]string{"security.protocol": "SASL_SSL", "ssl.truststore.location": authority,
		"sasl.username": user, "sasl.password": password}, nil
}

// lives are what one life of the daemon after the other is set to.
var lives = []map[string]string{
	{"compression.type": "none", "sasl.mechanism": "PLAIN"},
	{"compression.type": "gzip", "sasl.mechanism": "SCRAM-SHA-256"},
	{"compression.type": "snappy", "sasl.mechanism": "SCRAM-SHA-512"},
	{"compression.type": "lz4", "sasl.mechanism": "PLAIN"},
	{"compression.type": "zstd", "sasl.mechanism": "SCRAM-SHA-256"},
}

// The promise over TLS, with passwords, with another codec and mechanism in each life, and batches that the topic is too small for
// half of the time, so that they are cut in pieces, also while the daemon dies.
func TestNothingIsLostOverTLSWhileTheDaemonIsKilled(t *testing.T) { testSecure(t, 1) }

func TestNothingIsLostOverTLSWhileThreeBrokersFailOver(t *testing.T) { testSecure(t, 3) }

func testSecure(t *testing.T, brokers int) {
	r := newRig(t, setup{brokers: brokers, secure: true, clients: 24, think: 40 * time.Millisecond, records: 8,
		keys: map[string]string{"batch.size": "4096", "linger.ms": "20"}})
	next, splits := 0, 0
	live := func() {
		for k, v := range lives[next%len(lives)] {
			r.daemon.Keys[k] = v
		}
		next++
	}
	live()
	r.killer.Killed = func(bool) { live() }
	r.start()
	r.load.Run(r.ctx)
	narrow := func(bytes int) {
		r.must(r.cluster.AlterTopicConfig(r.ctx, r.topic, map[string]string{"max.message.bytes": strconv.Itoa(bytes)}))
	}
	for r.killer.Kills < min(*kills, 12) {
		narrow(900 + r.rand.IntN(1500)) // the largest record has about 400
		r.delivers()
		r.wait(r.between(0, 600*time.Millisecond))
		if brokers > 1 && r.killer.Kills%5 == 2 {
			r.failOver(int32(r.rand.IntN(partitions)))
		}
		if r.rand.IntN(3) == 0 {
			for _, l := range r.cluster.Links() {
				l.Cut()
			}
		}
		splits += r.splits()
		if r.rand.IntN(2) == 0 {
			narrow(1 << 20)
			r.wait(100 * time.Millisecond)
		}
		r.kill()
	}
	r.wait(500 * time.Millisecond)
	splits += r.splits()
	narrow(1 << 20)
	r.finish()
	t.Logf("%v; %d batches were cut in pieces", r.killer, splits)
	if r.killer.InDoubt*100 < r.killer.Kills*30 {
		t.Errorf("only %d of %d kills left batches in doubt: the run proves little", r.killer.InDoubt, r.killer.Kills)
	}
	if splits < min(*kills, 12)/2 {
		t.Errorf("only %d batches were cut in pieces: the run proves little", splits)
	}
}

// delivers waits until this life of the daemon has delivered something: a life that ends before it has shaken hands proves nothing.
func (r *rig) delivers() {
	r.t.Helper()
	s, err := r.daemon.Status(r.ctx)
	r.must(err)
	before := s.Acked
	r.await(time.Minute, func() (bool, any) {
		r.must(r.daemon.Check())
		s, err := r.daemon.Status(r.ctx)
		r.must(err)
		return s.Acked > before, s
	})
}

// splits is how many batches this life of the daemon has cut.
func (r *rig) splits() int {
	r.t.Helper()
	resp, err := http.Get("http://" + r.daemon.Admin + "/metrics")
	r.must(err)
	defer func() { _ = resp.Body.Close() }() // read to its end
	n, lines := 0, bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), " "); ok && strings.HasPrefix(name, "spoold_batch_splits_total") {
			x, err := strconv.ParseFloat(value, 64)
			r.must(err)
			n += int(x)
		}
	}
	r.must(lines.Err())
	return n
}
