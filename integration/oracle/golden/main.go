package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/kafka"
	"github.com/spoold/spoold/integration/proof"
)

var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "golden:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	root, err := proof.Root()
	if err != nil {
		return err
	}
	jars, err := kafka.Jars(ctx, kafka.Newest)
	if err != nil {
		return err
	}
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, codecs...))
	if err != nil {
		return err
	}
	defer broker.Close()
	sent := make(chan *kmsg.ProduceRequest, 100)
	broker.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		sent <- req.(*kmsg.ProduceRequest)
		return nil, nil, false
	})
	// Producers have ids of their own. A fixed one makes the same bytes in every run.
	broker.ControlKey(int16(kmsg.InitProducerID), func(req kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ProducerID, resp.ProducerEpoch = 4242, 7
		return resp, nil, true
	})
	java := exec.CommandContext(ctx, "java", "-cp", filepath.Join(jars, "*"),
		filepath.Join(root, "integration", "oracle", "golden", "Golden.java"), broker.ListenAddrs()[0])
	var out bytes.Buffer
	java.Stdout, java.Stderr = &out, &out
	if err := java.Run(); err != nil {
		return fmt.Errorf("run Golden.java: %w\n%s", err, out.Bytes())
	}
	close(sent)
	i := 0
	for req := range sent {
		if i == len(codecs) || len(req.Topics) != 1 || len(req.Topics[0].Partitions) != 1 {
			return fmt.Errorf("request %d is not one batch, or there are more than %d requests", i, len(codecs))
		}
		text := hex.EncodeToString(req.Topics[0].Partitions[0].Records) + "\n"
		if err := os.WriteFile(filepath.Join(root, "protocol", "testdata", "producer", codecs[i]+".hex"), []byte(text), 0o644); err != nil {
			return err
		}
		i++
	}
	if i != len(codecs) {
		return fmt.Errorf("%d batches were sent, %d are wanted\n%s", i, len(codecs), out.Bytes())
	}
	return nil
}
