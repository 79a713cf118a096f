//go:build kafka

package security_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/proof"
)

var update = flag.Bool("update", false, "rewrite the list of Kafka's keys")

// What ProducerConfig.configDef() of the newest Kafka says is what the tests without Kafka go by, and each default is taken.
func TestTheListOfKafkasKeysIsThatOfItsProducer(t *testing.T) {
	jars, err := kafka.Jars(t.Context(), kafka.Newest)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("java", "-cp", filepath.Join(jars, "*"), "testdata/Keys.java").Output()
	if err != nil {
		t.Fatal(err)
	}
	root, err := proof.Root()
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(root, "testdata", "kafka-producer-keys-"+kafka.Newest+".txt")
	if *update {
		if err := os.WriteFile(list, out, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != string(want) {
		t.Errorf("%s is not what Kafka says; -update rewrites it", list)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		c := spoold.DefaultConfig()
		if err := c.Set(f[0], f[2]); err != nil {
			t.Errorf("Set(%s, %q), which is Kafka's default: %v", f[0], f[2], err)
		}
	}
}
