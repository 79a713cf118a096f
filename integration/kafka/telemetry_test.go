//go:build kafka

package kafka_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/kafka"
)

// receiving is a cluster with a plug-in that takes clients' metrics, and the plug-in's folder.
func receiving(t *testing.T) (c *kafka.Cluster, dir string) {
	t.Helper()
	jars, err := kafka.Jars(t.Context(), kafka.Newest)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if out, err := exec.Command("javac", "-cp", filepath.Join(jars, "*"), "-d", dir, "testdata/Receiver.java").CombinedOutput(); err != nil {
		t.Fatalf("javac: %v\n%s", err, out)
	}
	c = kafka.Run(t, kafka.Options{Classes: dir, Props: map[string]string{"metric.reporters": "Receiver", "telemetry.dir": dir}})
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Direct()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeClientMetrics, "producers"
	for k, v := range map[string]string{"metrics": "org.apache.kafka.producer.record.", "interval.ms": "100"} {
		one := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		one.Name, one.Value = k, kmsg.StringPtr(v)
		r.Configs = append(r.Configs, one)
	}
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(t.Context(), client)
	if err != nil || resp.Resources[0].ErrorCode != 0 {
		t.Fatalf("a subscription: %v, %+v", err, resp)
	}
	return c, dir
}

// until waits until a file has what a pattern wants, and returns its text.
func until(t *testing.T, file, what string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		text, err := os.ReadFile(file)
		if err == nil && regexp.MustCompile(what).Match(text) {
			return string(text)
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s never holds %q: %q, %v", filepath.Base(file), what, text, err)
		case <-tick.C:
		}
	}
}

// KIP-714: what OpenTelemetry's own classes make of a push is what was measured, and only what was asked for.
func TestMetricsReachAReceiverOfARealBroker(t *testing.T) {
	c, dir := receiving(t)
	p := mustOpen(t, c, t.TempDir(), map[string]string{"client.id": "measured"})
	spooled(t, p, "t", 0, 500)
	drained(t, p)
	pushes := filepath.Join(dir, "pushes")
	text := until(t, pushes, "measured\tfalse\torg.apache.kafka.producer.record.send.rate\t1/s\t[1-9]")
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 5 || f[0] != "measured" || !strings.HasPrefix(f[2], "org.apache.kafka.producer.record.") {
			t.Errorf("pushed %q", line)
		}
	}
	stop(t, p)
	until(t, pushes, "measured\ttrue\torg.apache.kafka.producer.record.send.rate\t1/s\t")
}

func TestCloseDoesNotWaitForAReceiverThatIsSilent(t *testing.T) {
	c, dir := receiving(t)
	silent := filepath.Join(dir, "silent")
	if err := os.WriteFile(silent, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Remove(silent) }() // the folder goes, too
	p := mustOpen(t, c, t.TempDir(), nil)
	spooled(t, p, "t", 0, 10)
	drained(t, p)
	until(t, filepath.Join(dir, "taken"), "")
	began := time.Now()
	stop(t, p)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Close took %v", took)
	}
	if _, err := os.Stat(filepath.Join(dir, "pushes")); err == nil {
		t.Error("a push was answered: this run proves nothing")
	}
}
