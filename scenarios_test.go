package spoold_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

// With max.block.ms=0 nothing waits: a record that there is no room for is refused at once, and those before it arrive.
func TestWithoutPatienceAFullSpoolRefusesAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.link.down()
	p := c.open(t, t.TempDir(), func(cfg *spoold.Config) {
		cfg.SpoolSegmentBytes, cfg.SpoolMaxBytes, cfg.MaxBlock = 64<<10, 1<<20, 0
	})
	sent := 0
	eventually(t, "the spool is full", func() bool {
		began := time.Now()
		_, err := p.Send(patient(t), spoold.Record{Topic: "t", Value: make([]byte, 1000)})
		if err == nil {
			sent++
			return false
		}
		if !errors.Is(err, spoold.ErrFull) || time.Since(began) > 10*time.Second {
			t.Fatalf("Send number %d = %v after %v", sent, err, time.Since(began))
		}
		return strings.Contains(err.Error(), "spool.max.bytes") // else the commit before it is under way
	})
	c.link.up()
	flush(t, p)
	c.read(t, "t", sent)
}

// What names no topic is an error of the caller, and asks nobody.
func TestNoTopicIsAnErrorOfItsCaller(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.link.down()
	p := c.open(t, t.TempDir())
	if _, err := p.PartitionsFor(patient(t), ""); !errors.Is(err, spoold.ErrInvalidRecord) {
		t.Errorf("PartitionsFor without a topic = %v", err)
	}
	if _, err := p.Send(patient(t), spoold.Record{Value: []byte("v")}); !errors.Is(err, spoold.ErrInvalidRecord) || !strings.Contains(err.Error(), "topic") {
		t.Errorf("Send without a topic = %v", err)
	}
}
