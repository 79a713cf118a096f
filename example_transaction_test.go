package spoold_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold"
)

// Consume, transform, produce: each input is in the output once, because its offset is committed by the
// transaction that carries the output. The consumer is franz-go's.
func ExampleTransaction_SendOffsets() {
	cluster := kfake.MustCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "in", "out"))
	defer cluster.Close()
	dir, err := os.MkdirTemp("", "spoold")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers, cfg.SpoolPath, cfg.SpoolMinFreeBytes = cluster.ListenAddrs(), dir, 0
	cfg.TransactionalID = "shout"
	p, err := spoold.Open(cfg, spoold.Env{})
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close(ctx)
	consumer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics("in"), kgo.ConsumerGroup("shouters"),
		kgo.DisableAutoCommit(), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.DefaultProduceTopic("in"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		log.Fatal(err)
	}
	defer consumer.Close()
	if err := consumer.ProduceSync(ctx, kgo.StringRecord("hello"), kgo.StringRecord("world")).FirstErr(); err != nil {
		log.Fatal(err)
	}

	for done := 0; done < 2; {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			log.Fatal(err)
		}
		tx, err := p.Begin(ctx)
		if err != nil {
			log.Fatal(err)
		}
		var offsets []spoold.ConsumedOffset
		for _, r := range fetches.Records() {
			if err := tx.Send(ctx, spoold.Record{Topic: "out", Key: r.Key, Value: bytes.ToUpper(r.Value)}); err != nil {
				log.Fatal(err) // nothing is committed: neither the records before it nor their offsets
			}
			offsets = append(offsets, spoold.ConsumedOffset{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset + 1, LeaderEpoch: r.LeaderEpoch})
			fmt.Printf("%s\n", bytes.ToUpper(r.Value))
			done++
		}
		member, generation := consumer.GroupMetadata()
		if err := tx.SendOffsets(ctx, offsets, spoold.ConsumerGroup{ID: "shouters", Generation: generation, Member: member}); err != nil {
			log.Fatal(err)
		}
		if _, err := tx.Commit(ctx); err != nil {
			log.Fatal(err) // ErrAborted: read again from the committed offsets
		}
	}
	// Output:
	// HELLO
	// WORLD
}
