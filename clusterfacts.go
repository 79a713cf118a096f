package spoold

import (
	"context"
	"time"

	"github.com/spoold/spoold/internal/probe"
	"github.com/spoold/spoold/protocol/conn"
	"github.com/spoold/spoold/protocol/conn/secure"
	"github.com/spoold/spoold/txn"
)

// ClusterFacts is what Probe found.
type ClusterFacts struct {
	ID              string
	MetadataVersion int16 // finalized metadata.version; 0: not known
	Bootstrap       []AddressFacts
	Brokers         []AddressFacts // as the cluster advertises them
	Topics          []TopicFacts
	Transactional   TransactionalFacts // if the configuration has a transactional.id
}

// TransactionalFacts is what this client may do under its transactional.id.
type TransactionalFacts struct {
	ID        string // transactional.id; "": there is none
	Group     string // the group that keeps the progress under it
	MayUse    bool   // WRITE on the id
	MayCommit bool   // READ on the group; not known without MayUse
	Known     bool   // MayUse is known
}

// AddressFacts is what became of one address.
type AddressFacts struct {
	Addr   string
	Broker int32         // -1: a bootstrap server
	Took   time.Duration // to connect, authenticate and agree on versions
	Err    error         // nil: it can be used

	Certificates []Certificate // that a broker with TLS showed, its own first
}

func addressFacts(a *probe.Address) AddressFacts {
	f := AddressFacts{Addr: a.Addr, Broker: a.Broker, Took: a.Took, Err: a.Err}
	for _, c := range a.Certificates {
		f.Certificates = append(f.Certificates, Certificate(secure.CertificateOf("", false, c)))
	}
	return f
}

// TopicFacts is what the cluster says of a topic.
type TopicFacts struct {
	Name       string
	Err        error // it does not exist, or this client may not describe it
	Partitions int
	Leaderless int // partitions without a leader
	Replicas   int // the smallest number of replicas of a partition
	InSync     int // the smallest number of in-sync replicas of a partition
	MayRead    bool
	MayWrite   bool
	Rights     bool              // MayRead and MayWrite are known
	Config     map[string]string // the topic's settings; nil: this client may not see them
}

// Probe asks the cluster of a configuration what it is, for diagnosis. It needs no spool, changes
// nothing at the cluster and creates no topic. It blocks until every address was tried, at most
// until ctx ends. With an error, which says why no bootstrap server can be used, the facts
// hold what was found until then.
func Probe(ctx context.Context, cfg Config, env Env, topics []string) (*ClusterFacts, error) {
	o, err := cfg.dialing(env)
	if err != nil {
		return &ClusterFacts{}, err
	}
	t := probe.Transactional{ID: cfg.TransactionalID}
	if t.ID != "" {
		t.Group = txn.GroupID(t.ID)
	}
	c, err := probe.Ask(ctx, o, cfg.BootstrapServers, topics, t)
	f := &ClusterFacts{ID: c.ID, MetadataVersion: c.MetadataVersion, Transactional: TransactionalFacts(c.Transactional)}
	for i := range c.Bootstrap {
		f.Bootstrap = append(f.Bootstrap, addressFacts(&c.Bootstrap[i]))
	}
	for i := range c.Brokers {
		f.Brokers = append(f.Brokers, addressFacts(&c.Brokers[i]))
	}
	for _, t := range c.Topics {
		f.Topics = append(f.Topics, TopicFacts(t))
	}
	return f, err
}

// ClusterID asks the bootstrap servers which cluster they belong to; no spool is needed. The first that answers
// counts. It blocks until then, or until ctx ends; the error says why each of them cannot be used.
func ClusterID(ctx context.Context, cfg Config) (string, error) {
	o, err := cfg.dialing(Env{})
	if err != nil {
		return "", err
	}
	o.RequestTimeout = cfg.RequestTimeout
	return probe.ID(ctx, o, cfg.BootstrapServers)
}

// dialing is how a single question is put to a broker.
func (c *Config) dialing(env Env) (conn.Options, error) {
	s, err := c.protection(env.SASL)
	if err != nil {
		return conn.Options{}, err
	}
	keeper, err := secure.New(s)
	if err != nil {
		return conn.Options{}, credentialError(err)
	}
	env = env.withDefaults(c)
	return conn.Options{ClientID: c.ClientID, SoftwareVersion: Version(), Dial: env.Dial, Security: keeper.Security}, nil
}

// CreateTopic makes a topic with the cluster's default replication, for tools and tests. It blocks until a bootstrap
// server has answered, or until ctx ends. No spool is needed.
func CreateTopic(ctx context.Context, cfg Config, topic string, partitions int32) error {
	o, err := cfg.dialing(Env{})
	if err != nil {
		return err
	}
	return probe.CreateTopic(ctx, o, cfg.BootstrapServers, topic, partitions)
}

// DeleteTopic removes a topic with all its records, as CreateTopic makes one.
func DeleteTopic(ctx context.Context, cfg Config, topic string) error {
	o, err := cfg.dialing(Env{})
	if err != nil {
		return err
	}
	return probe.DeleteTopic(ctx, o, cfg.BootstrapServers, topic)
}
