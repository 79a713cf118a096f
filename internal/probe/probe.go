package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
	"github.com/spoold/spoold/protocol/conn"
)

// Address is what became of one address.
type Address struct {
	Addr   string
	Broker int32         // -1: a bootstrap server, whose number is not known
	Took   time.Duration // to connect, authenticate and agree on versions
	Err    error

	Certificates []*x509.Certificate // that it showed, its own first
}

// Topic is what the cluster says of a topic.
type Topic struct {
	Name       string
	Err        error // it does not exist, or may not be described
	Partitions int
	Leaderless int // partitions without a leader
	Replicas   int // the smallest number of replicas of a partition
	InSync     int // the smallest number of in-sync replicas
	MayRead    bool
	MayWrite   bool
	Rights     bool              // MayRead and MayWrite are known
	Config     map[string]string // nil: no right to DescribeConfigs
}

// Cluster is what was found.
type Cluster struct {
	ID              string
	MetadataVersion int16 // finalized metadata.version; 0: none
	Bootstrap       []Address
	Brokers         []Address
	Topics          []Topic
	Transactional   Transactional
}

// perAddress bounds what one address may take.
const perAddress = 5 * time.Second

// Ask asks the first bootstrap server that answers, and tries to connect to every other
// address. The error is nil if any server answered. o.Addr is not looked at. Of t only the names are.
func Ask(ctx context.Context, o conn.Options, bootstrap, topics []string, t Transactional) (*Cluster, error) {
	o.RequestTimeout = perAddress
	c := &Cluster{Transactional: t}
	var first *conn.Conn
	var errs []error
	for _, addr := range bootstrap {
		a, cn := connect(ctx, o, addr, -1)
		c.Bootstrap = append(c.Bootstrap, a)
		switch {
		case a.Err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", addr, a.Err))
		case first == nil:
			first = cn
		default:
			cn.Close(nil)
		}
	}
	if first == nil {
		return c, errors.Join(errs...)
	}
	defer first.Close(nil)
	if err := c.describe(ctx, first, topics); err != nil {
		return c, err
	}
	c.Transactional.look(ctx, first)
	for i := range c.Brokers {
		b := &c.Brokers[i]
		var cn *conn.Conn
		if *b, cn = connect(ctx, o, b.Addr, b.Broker); cn != nil {
			cn.Close(nil)
		}
	}
	return c, nil
}

// ID is the cluster's id, as the first bootstrap server that answers has it.
func ID(ctx context.Context, o conn.Options, bootstrap []string) (string, error) {
	errs := []error{errors.New("no bootstrap server gives the cluster's id")}
	for _, addr := range bootstrap {
		a, cn := connect(ctx, o, addr, -1)
		if a.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", addr, a.Err))
			continue
		}
		c := &Cluster{}
		err := c.describe(ctx, cn, nil)
		cn.Close(nil)
		if err == nil {
			return c.ID, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", addr, err))
	}
	return "", errors.Join(errs...)
}

func connect(ctx context.Context, o conn.Options, addr string, broker int32) (Address, *conn.Conn) {
	o.Addr = addr
	from := time.Now()
	c, err := conn.Dial(ctx, o)
	a := Address{Addr: addr, Broker: broker, Took: time.Since(from), Err: err}
	if err == nil {
		a.Certificates = c.Certificates()
	}
	return a, c
}

// request sends one request and waits for its answer.
func request[R kmsg.Response](ctx context.Context, c *conn.Conn, req kmsg.Request) (R, error) {
	type answer struct {
		r   kmsg.Response
		err error
	}
	var none R
	version, ok := c.Version(req.Key(), req.MaxVersion())
	if !ok {
		return none, fmt.Errorf("the broker has no %s that this client has", kmsg.NameForKey(req.Key()))
	}
	req.SetVersion(version)
	got := make(chan answer, 1)
	c.Do(req, perAddress, func(r kmsg.Response, _ bool, err error) { got <- answer{r, err} })
	select {
	case <-ctx.Done():
		return none, context.Cause(ctx)
	case a := <-got:
		if a.err != nil {
			return none, a.err
		}
		r, ok := a.r.(R)
		if !ok {
			return none, fmt.Errorf("%s was answered with %T", kmsg.NameForKey(req.Key()), a.r)
		}
		return r, nil
	}
}

func (c *Cluster) describe(ctx context.Context, cn *conn.Conn, topics []string) error {
	if v, err := request[*kmsg.ApiVersionsResponse](ctx, cn, kmsg.NewPtrApiVersionsRequest()); err == nil {
		for _, f := range v.FinalizedFeatures {
			if f.Name == "metadata.version" {
				c.MetadataVersion = f.MaxVersionLevel
			}
		}
	}
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation, req.IncludeTopicAuthorizedOperations = false, true
	req.Topics = []kmsg.MetadataRequestTopic{} // not nil, which means all topics
	for _, name := range topics {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	m, err := request[*kmsg.MetadataResponse](ctx, cn, req)
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	if m.ClusterID != nil {
		c.ID = *m.ClusterID
	}
	for _, b := range m.Brokers {
		c.Brokers = append(c.Brokers, Address{Addr: net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))), Broker: b.NodeID})
	}
	slices.SortFunc(c.Brokers, func(a, b Address) int { return int(a.Broker - b.Broker) })
	for i := range m.Topics {
		c.Topics = append(c.Topics, topicOf(&m.Topics[i]))
	}
	c.configs(ctx, cn)
	return nil
}

// Operations of an ACL, as they are numbered in a bitfield (AclOperation).
const (
	opRead  = 3
	opWrite = 4
)

func topicOf(m *kmsg.MetadataResponseTopic) Topic {
	t := Topic{Partitions: len(m.Partitions)}
	if m.Topic != nil {
		t.Name = *m.Topic
	}
	if code := protocol.ErrorCode(m.ErrorCode); code != protocol.None {
		t.Err = errors.New(code.String())
		return t
	}
	if ops := m.AuthorizedOperations; ops != -2147483648 {
		t.Rights, t.MayRead, t.MayWrite = true, ops&(1<<opRead) != 0, ops&(1<<opWrite) != 0
	}
	for i, p := range m.Partitions {
		if i == 0 || len(p.Replicas) < t.Replicas {
			t.Replicas = len(p.Replicas)
		}
		if i == 0 || len(p.ISR) < t.InSync {
			t.InSync = len(p.ISR)
		}
		if p.Leader < 0 {
			t.Leaderless++
		}
	}
	return t
}

// Kinds of a resource, as DescribeConfigs numbers them.
const topicResource = kmsg.ConfigResourceTypeTopic

// configs reads the topics' settings, where that is allowed.
func (c *Cluster) configs(ctx context.Context, cn *conn.Conn) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for i := range c.Topics {
		if c.Topics[i].Err == nil {
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName = topicResource, c.Topics[i].Name
			req.Resources = append(req.Resources, r)
		}
	}
	if len(req.Resources) == 0 {
		return
	}
	resp, err := request[*kmsg.DescribeConfigsResponse](ctx, cn, req)
	if err != nil {
		return // not known, as without the right to ask
	}
	for _, r := range resp.Resources {
		i := slices.IndexFunc(c.Topics, func(t Topic) bool { return t.Name == r.ResourceName })
		if i < 0 || r.ErrorCode != 0 {
			continue
		}
		c.Topics[i].Config = map[string]string{}
		for _, e := range r.Configs {
			if e.Value != nil {
				c.Topics[i].Config[e.Name] = *e.Value
			}
		}
	}
}
