//go:build crash

package lossy

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/spoold/spoold/integration/crash"
	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/proof"
)

var binary string // the daemon

func TestMain(m *testing.M) {
	if Main() {
		return
	}
	code, ran, err := Alone()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if !ran {
		flag.Parse()
		code = run(m)
	}
	os.Exit(code)
}

func run(m *testing.M) int {
	root, err := proof.Root()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "spoold-lossy-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }() // only the binary is in it
	if binary, err = crash.Build(context.Background(), root, dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if shared != nil {
			shared.Close()
		}
	}()
	return m.Run()
}

var shared *kafka.Cluster

var startKafka = sync.OnceValue(func() (err error) {
	shared, err = kafka.Start(context.Background(), kafka.Options{Links: true})
	return err
})

// cluster is the broker that all tests share.
func cluster(t *testing.T) *kafka.Cluster {
	t.Helper()
	if err := startKafka(); err != nil {
		t.Fatal(err)
	}
	return shared
}
