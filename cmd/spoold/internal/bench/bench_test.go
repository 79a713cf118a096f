package bench

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold"
)

// A cluster that stops to answer in the middle: what was acked until then is told beside the error.
func TestASlowClusterHasARateOfWhatItTook(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers = c.ListenAddrs()
	cfg.SpoolMinFreeBytes = 0
	o := Options{Config: cfg, Dir: t.TempDir(), Topic: "t", Size: 100, Duration: 200 * time.Millisecond, Drain: 1500 * time.Millisecond}
	o.Say = func(phase string) {
		if phase != "as fast as possible" {
			return
		}
		answered := 0
		c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			if answered++; answered > 3 {
				return nil, errors.New("hang up"), true
			}
			return nil, nil, false
		})
	}
	r, err := Run(context.Background(), o)
	var slow *SlowClusterError
	if !errors.As(err, &slow) || r.Acked <= 0 || r.Acked >= r.Spooled {
		t.Errorf("%v: spooled %.0f/s, acked %.0f/s", err, r.Spooled, r.Acked)
	}
}
