package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/producers"
)

func TestOneClusterAtTwoAddressesHasOneSpool(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(2), kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	producers.Describe(c)
	home := t.TempDir()
	for _, addr := range c.ListenAddrs() {
		var out, errs bytes.Buffer
		args := []string{"spoold", "produce", "-b", addr, "-t", "orders", "-X", "spool.min.free.bytes=1MiB"}
		code := Main{}.Run(t.Context(), args, strings.NewReader("a\n"), &out, &errs, func(name string) string {
			return map[string]string{"HOME": home}[name]
		})
		if code != 0 {
			t.Fatalf("-b %s: code %d: %s", addr, code, &errs)
		}
	}
	dirs, err := os.ReadDir(filepath.Join(home, ".local/state/spoold/produce"))
	if err != nil || len(dirs) != 1 {
		t.Errorf("spools %v, %v; want one", dirs, err)
	}
}

func TestSpoolsBelongToAClusterByIDOrElseByAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b origin
		want bool
	}{
		{origin{ClusterID: "x", Servers: []string{"a:1"}}, origin{ClusterID: "x", Servers: []string{"b:1"}}, true},
		{origin{ClusterID: "x", Servers: []string{"a:1"}}, origin{ClusterID: "y", Servers: []string{"a:1"}}, false},
		{origin{Servers: []string{"a:1", "b:1"}}, origin{ClusterID: "y", Servers: []string{"b:1"}}, true},
		{origin{Servers: []string{"a:1"}}, origin{Servers: []string{"b:1"}}, false},
	} {
		if got := tt.a.sameCluster(&tt.b); got != tt.want {
			t.Errorf("%+v and %+v: %t", tt.a, tt.b, got)
		}
	}
}

func TestASpoolOfAnotherRunIsNamedByNumber(t *testing.T) {
	t.Parallel()
	f := &family{root: "/s/produce", name: "ab-orders", dirs: []string{"/s/produce/ab-orders"}}
	if a, b := f.fresh(0), f.fresh(1); a != "/s/produce/ab-orders-2" || b != "/s/produce/ab-orders-3" {
		t.Errorf("%s, %s", a, b)
	}
	if got := baseName("/s/produce/ab-orders-12"); got != "ab-orders" {
		t.Errorf("base %s", got)
	}
	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers = []string{"127.0.0.1:1"}
	if _, err := spoold.ClusterID(t.Context(), cfg); err == nil {
		t.Error("nobody answered, and told a cluster's id")
	}
}
