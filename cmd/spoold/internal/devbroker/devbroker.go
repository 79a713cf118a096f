package devbroker

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold/cmd/spoold/producers"
)

// clusterID is constant: a spool is bound to it, over restarts.
const clusterID = "spoold-dev-broker-0000"

// Options of a broker.
type Options struct {
	Port       int    // 0: any
	Dir        string // where the log is kept; "": in memory
	Partitions int    // of topics, which are made when first asked for
	Topics     []string
}

// Broker is a running broker.
type Broker struct {
	cluster *kfake.Cluster
	stop    func()
}

// Start starts a broker on 127.0.0.1.
func Start(o Options) (*Broker, error) {
	opts := []kfake.Opt{
		kfake.NumBrokers(1), kfake.ClusterID(clusterID), kfake.Ports(o.Port),
		kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(o.Partitions),
	}
	if o.Dir != "" {
		// Without SyncWrites a kill would lose the topics' ids, and spoold would find
		// them made anew.
		opts = append(opts, kfake.DataDir(o.Dir), kfake.SyncWrites())
	}
	if len(o.Topics) > 0 {
		opts = append(opts, kfake.SeedTopics(int32(o.Partitions), o.Topics...))
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, fmt.Errorf("development broker: %w", err)
	}
	producers.Describe(cluster)
	stop, err := makeTopics(cluster, o.Partitions)
	if err != nil {
		cluster.Close()
		return nil, fmt.Errorf("development broker: %w", err)
	}
	return &Broker{cluster, stop}, nil
}

// Addr is host:port.
func (b *Broker) Addr() string { return b.cluster.ListenAddrs()[0] }

// Close stops the broker.
func (b *Broker) Close() {
	b.stop()
	b.cluster.Close()
}

// PortOf is the port of a loopback address, which is where a development broker may listen.
func PortOf(addr string) (int, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, err
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return 0, errors.New("the development broker listens on 127.0.0.1 only")
	}
	return strconv.Atoi(port)
}
