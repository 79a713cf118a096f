//go:build crash

package httpclients

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold/integration/freeport"
	"github.com/spoold/spoold/integration/poll"
	"github.com/spoold/spoold/integration/proc"
	"github.com/spoold/spoold/integration/venv"
)

// built is the daemon's binary, which is the same for all tests.
var built string

func TestMain(m *testing.M) { os.Exit(proc.RunWith(m, "github.com/spoold/spoold/cmd/spoold", &built)) }

// rig is `spoold serve --dev` in a process of its own.
type rig struct{ broker, url string }

func start(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{broker: freeport.Addr(t)}
	addr := freeport.Addr(t)
	r.url = "http://" + addr
	cmd := exec.Command(built, "serve", "--dev", "-b", r.broker, "--spool", filepath.Join(dir, "spool"), "--http", addr, "--admin", "off", "-X", "spool.min.free.bytes=1MiB")
	var log bytes.Buffer
	cmd.Stderr = &log
	p, err := proc.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(20 * time.Second); err != nil || t.Failed() {
			t.Logf("%v: %s", err, &log)
		}
	})
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; <-tick.C {
		if res, err := http.Get(r.url + "/ready"); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return r
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the daemon is not ready in 30 s")
		}
	}
}

// read gives the values of a topic, each with its key, as key=value.
func (r *rig) read(t *testing.T, topic string, n int) []string {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.broker), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var got []string
	for len(got) < n && ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) { got = append(got, string(r.Key)+"="+string(r.Value)) })
	}
	if len(got) != n {
		t.Fatalf("%s holds %d records, want %d: %q", topic, len(got), n, got)
	}
	return got
}

func TestAClientOfStrimzisBridgeWorksAsItIs(t *testing.T) {
	interpreter, r := venv.With(t, "kafka-bridge-client", "0.7.1", "kafka_bridge_client"), start(t)
	if out, err := exec.Command(interpreter, filepath.Join("testdata", "bridge.py"), r.url).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	next := 0
	more, binary := 0, 0
	for _, got := range r.read(t, "bridge", 101) {
		switch got {
		case `="more"`:
			more++
		case "k=\x00\xff":
			binary++
		case fmt.Sprintf(`"k"="text %d"`, next):
			next++
		default:
			t.Errorf("%q, want text %d", got, next)
		}
	}
	if next != 50 || more != 50 || binary != 1 {
		t.Errorf("%d, %d and %d records, want 50, 50 and 1", next, more, binary)
	}
}

// curl runs one command line and compares the answer.
func curl(t *testing.T, stdin, want string, args ...string) {
	t.Helper()
	cmd := exec.Command("curl", append([]string{"-sS", "-w", "%{http_code}"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), want) {
		t.Errorf("curl %q: %v, %s; want %s", args, err, out, want)
	}
}

func TestCurlAsTheDocumentationOfV2AndV3HasIt(t *testing.T) {
	r := start(t)
	const v2, v3 = "Content-Type: application/vnd.kafka.json.v2+json", "Content-Type: application/json"
	records := r.url + "/v3/clusters/any/topics/curl/records"
	curl(t, "", `"kind":"KafkaClusterList"`, "-X", "GET", r.url+"/v3/clusters")
	curl(t, "", "}\n200", "-X", "POST", "-H", v2, "-H", "Accept: application/vnd.kafka.v2+json", "--data", `{"records":[{"value":{"foo":"bar"}}]}`, r.url+"/topics/curl?wait=acked")
	curl(t, "", `"error_code":200`, "-X", "POST", "-H", v3, "--data", `{"key":{"type":"BINARY","data":"Zm9vYmFy"},"value":{"type":"JSON","data":{"foo":"bar"}}}`, records+"?wait=acked")
	// Streaming mode, with a body in chunks.
	curl(t, `{"value":{"type":"STRING","data":"one"}}{"value":{"type":"STRING","data":"two"}}`, `"offset":`, "-X", "POST", "-H", "Transfer-Encoding: chunked", "-H", v3, "-T", "-", records+"?wait=acked")
	curl(t, "", `207`, "-X", "POST", "-H", v3, "--data", `{"entries":[{"id":"1","value":{"type":"STRING","data":"three"}},{"id":"2","value":{"type":"STRING","data":4}}]}`, records+":batch?wait=acked")
	for range 2 {
		curl(t, "", `"records":3`, "-X", "POST", "-H", "Content-Type: application/x-ndjson", "-H", "Idempotency-Key: once", "--data-binary", "{\"a\":1}\n2\n\"three\"\n", r.url+"/topics/lines?wait=acked")
	}
	curl(t, "", `"error_code":415`, "-X", "POST", "-H", "Content-Type: application/vnd.kafka.avro.v2+json", "--data", "{}", r.url+"/topics/curl")
	have := map[string]int{}
	for _, got := range r.read(t, "curl", 5) {
		have[got]++
	}
	for _, want := range []string{`={"foo":"bar"}`, `foobar={"foo":"bar"}`, "=one", "=two", "=three"} {
		if have[want] != 1 {
			t.Errorf("%q is there %d times: %v", want, have[want], have)
		}
	}
	if got := r.read(t, "lines", 3); len(got) != 3 {
		t.Errorf("%q", got)
	}
}

// What a client generated from Confluent's description (kafkarestv3) sends of a record, and what it looks at.
func TestARecordOfV3ArrivesWithEverythingItHas(t *testing.T) {
	r := start(t)
	const v3 = "Content-Type: application/json"
	topic := r.url + "/kafka/v3/clusters/any/topics/whole"
	post := []string{"-X", "POST", "-H", v3, "-H", "Accept: application/json, text/html"}
	url := topic + "/records?wait=acked"
	curl(t, "", `"key":{"type":"STRING","size":1},"value":{"type":"BINARY","size":3}}`, append(post, "--data",
		`{"partition_id":1,"headers":[{"name":"h","value":"aGk="},{"name":"none"}],"key":{"type":"STRING","data":"k"},"value":{"type":"BINARY","data":"AAH/"},"timestamp":"2023-11-14T22:13:20.123Z"}`, url)...)
	if !poll.Within(60*time.Second, func() bool { // the topic was made by the first record
		res, err := http.Get(topic)
		if err == nil {
			_ = res.Body.Close()
		}
		return err == nil && res.StatusCode == http.StatusOK
	}) {
		t.Fatal("the topic is not known 10 s after a record of it was acked")
	}
	curl(t, "", `"error_code":40402`, append(post, "--data", `{"partition_id":9999,"value":{"type":"JSON","data":1}}`, url)...)
	curl(t, `{"value":{"type":"STRING","data":"`+strings.Repeat("x", 2<<20)+`"}}`, `"error_code":413`, append(post, "--data", "@-", url)...)
	curl(t, "", `"error_code":422`, append(post, "--data", `{"value":{"type":"AVRO","data":"x"}}`, url)...)
	curl(t, "", `"partitions_count":3`, topic)
	curl(t, "", `"partition_id":2`, topic+"/partitions")
	curl(t, "", `"error_code":40401`, r.url+"/v3/clusters/any/topics/nothing")
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.broker), kgo.ConsumeTopics("whole"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	records := cl.PollFetches(ctx).Records()
	if len(records) != 1 {
		t.Fatalf("%d records are there, want 1: %v", len(records), ctx.Err())
	}
	got := records[0]
	if have := fmt.Sprintf("%d %s %q %q %q", got.Partition, got.Timestamp.UTC().Format(time.RFC3339Nano), got.Key, got.Value, got.Headers); have != `1 2023-11-14T22:13:20.123Z "k" "\x00\x01\xff" [{"h" "hi"} {"none" ""}]` {
		t.Errorf("%s", have)
	}
}
