package spoold_test

import (
	"fmt"
	"hash/fnv"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/spoold/spoold"
)

// Another Go client with the same partitioner puts the same keys into the same partitions.
func TestAPartitionerPutsKeysWhereAnotherClientDoes(t *testing.T) {
	t.Parallel()
	for class, other := range map[string]kgo.Partitioner{
		"":       kgo.StickyKeyPartitioner(nil),
		"sarama": kgo.StickyKeyPartitioner(kgo.SaramaCompatHasher(fnv32a)),
	} {
		c := newCluster(t, kfake.SeedTopics(7, "ours", "theirs"))
		cfg := c.config(t, t.TempDir())
		cfg.Linger = 0
		if err := cfg.Set("partitioner.class", class); err != nil {
			t.Fatal(err)
		}
		p, err := spoold.Open(cfg, spoold.Env{})
		if err != nil {
			t.Fatal(err)
		}
		client, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(other))
		if err != nil {
			t.Fatal(err)
		}
		for i := range 100 {
			key := fmt.Appendf(nil, "key-%d", i)
			theirs := client.ProduceSync(patient(t), &kgo.Record{Topic: "theirs", Key: key})
			d, err := p.Send(patient(t), spoold.Record{Topic: "ours", Key: key})
			if err != nil {
				t.Fatal(err)
			}
			ack, err := d.Acked(patient(t))
			if err != nil || theirs.FirstErr() != nil {
				t.Fatal(err, theirs.FirstErr())
			}
			if ack.Partition != theirs[0].Record.Partition {
				t.Errorf("partitioner.class %q puts %s into %d, the other client into %d", class, key, ack.Partition, theirs[0].Record.Partition)
			}
		}
		client.Close()
		if err := p.Close(patient(t)); err != nil {
			t.Error(err)
		}
	}
}

func TestRoundRobinAndIgnoredKeysSpreadOneKey(t *testing.T) {
	t.Parallel()
	for _, set := range [][2]string{{"partitioner.class", "RoundRobinPartitioner"}, {"partitioner.ignore.keys", "true"}} {
		c := newCluster(t, kfake.SeedTopics(4, "t"))
		cfg := c.config(t, t.TempDir())
		cfg.Linger = 0
		if err := cfg.Set(set[0], set[1]); err != nil {
			t.Fatal(err)
		}
		cfg.BatchSize = 200
		p, err := spoold.Open(cfg, spoold.Env{Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int32]int{}
		for range 100 {
			d, err := p.Send(patient(t), spoold.Record{Topic: "t", Key: []byte("same"), Value: make([]byte, 50)})
			if err != nil {
				t.Fatal(err)
			}
			ack, err := d.Acked(patient(t))
			if err != nil {
				t.Fatal(err)
			}
			seen[ack.Partition]++
		}
		if len(seen) != 4 || set[1] == "RoundRobinPartitioner" && (seen[0] != 25 || seen[3] != 25) {
			t.Errorf("%s=%s: %v", set[0], set[1], seen)
		}
		if err := p.Close(patient(t)); err != nil {
			t.Error(err)
		}
	}
}

func fnv32a(key []byte) uint32 {
	h := fnv.New32a()
	_, _ = h.Write(key) // never fails
	return h.Sum32()
}
