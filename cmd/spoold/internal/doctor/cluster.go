package doctor

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/spoold/spoold"
)

// Cluster is what the configuration wants of the cluster.
type Cluster struct {
	KnownID        string // the cluster that the spool is bound to; "": none yet
	BatchSize      int64  // batch.size
	MaxRequestSize int64  // max.request.size
	CreateTopics   bool   // topics.create
	Transactions   bool   // there is a transactional.id
}

// lossyMetadataVersion is metadata.version 4.3-IV0: brokers of Kafka 4.3 lose transaction markers of a
// partition that has no leader at that moment.
const lossyMetadataVersion = 30

// Look judges what was found at the cluster.
func (c *Cluster) Look(r *Report, f *spoold.ClusterFacts, err error) {
	for _, a := range f.Bootstrap {
		address(r, "bootstrap server "+a.Addr, a)
	}
	if err != nil {
		r.fault("cluster", "no bootstrap server can be used", "mend what is said of each; records are taken and kept meanwhile")
		return
	}
	switch {
	case f.ID == "":
		r.warn("cluster", "it has no id: nothing keeps the spool from another cluster's brokers", "use brokers of Kafka 0.10.1 or newer")
	case c.KnownID != "" && f.ID != c.KnownID:
		r.fault("cluster", fmt.Sprintf("this is cluster %s, and the spool belongs to %s: nothing will be sent to it", f.ID, c.KnownID),
			"correct bootstrap.servers, or use another spool for this cluster")
	default:
		r.ok("cluster", "id "+f.ID)
	}
	for _, a := range f.Brokers {
		address(r, fmt.Sprintf("broker %d at %s", a.Broker, a.Addr), a)
	}
	transactional(r, &f.Transactional)
	for i := range f.Topics {
		c.topic(r, &f.Topics[i])
	}
	if f.MetadataVersion == lossyMetadataVersion {
		for i := range f.Topics {
			if t := &f.Topics[i]; t.Err == nil && t.Replicas < 3 {
				r.warn("topic "+t.Name, fmt.Sprintf("Kafka 4.3 can lose transaction markers when a partition has no leader, and a partition of this topic has %s", count(t.Replicas, "replica")),
					"with transactions, use three replicas")
			}
		}
	}
}

// transactional says which rights are missing under a transactional.id.
func transactional(r *Report, t *spoold.TransactionalFacts) {
	check := "transactional id " + t.ID
	switch {
	case !t.Known:
	case !t.MayUse:
		r.fault(check, "this user may not use it", "grant WRITE on transactional id "+t.ID+" (that includes DESCRIBE), and READ on group "+t.Group+"; records wait until then")
	case !t.MayCommit:
		r.fault(check, "this user may not commit its progress", "grant READ on group "+t.Group+"; records wait until then")
	default:
		r.ok(check, "this user may use it, and commit its progress on group "+t.Group)
	}
}

func address(r *Report, check string, a spoold.AddressFacts) {
	if a.Err != nil {
		r.fault(check, a.Err.Error(), reach(&a))
		return
	}
	r.ok(check, "answers after "+a.Took.Round(time.Millisecond).String())
	shown(r, check, a.Certificates, time.Now())
}

// reach says what to do about an address that cannot be used.
func reach(a *spoold.AddressFacts) string {
	dial := new(net.OpError)
	switch {
	case !errors.As(a.Err, &dial) || dial.Op != "dial":
		return "it can be connected to: see that security.protocol, ssl.* and sasl.* are those of that listener"
	case a.Broker < 0:
		return "correct bootstrap.servers, or what keeps this host from that address (name service, firewall)"
	default:
		return "the address must be reachable from this host as it is advertised (advertised.listeners)"
	}
}

func (c *Cluster) topic(r *Report, t *spoold.TopicFacts) {
	check := "topic " + t.Name
	if t.Err != nil {
		switch {
		case strings.Contains(t.Err.Error(), "UNKNOWN_TOPIC") && c.CreateTopics:
			r.warn(check, "it does not exist", "the first record creates it, if the brokers allow that (auto.create.topics.enable)")
		case strings.Contains(t.Err.Error(), "UNKNOWN_TOPIC"):
			r.fault(check, "it does not exist, and topics.create is false", "create it")
		case strings.Contains(t.Err.Error(), "AUTHORIZATION"):
			r.fault(check, "this user may not describe it", "grant DESCRIBE and WRITE on the topic")
		default:
			r.fault(check, t.Err.Error(), "see the broker's log")
		}
		return
	}
	before := len(r.Findings)
	c.rights(r, check, t)
	c.durability(r, check, t)
	c.settings(r, check, t)
	if len(r.Findings) == before {
		r.ok(check, fmt.Sprintf("%s, %s", count(t.Partitions, "partition"), count(t.Replicas, "replica")))
	}
}

func (c *Cluster) rights(r *Report, check string, t *spoold.TopicFacts) {
	switch {
	case !t.Rights:
	case !t.MayWrite:
		r.fault(check, "this user may not write it", "grant WRITE on the topic; records for it wait until then")
	case !t.MayRead && c.Transactions:
		r.warn(check, "this user may not read it: progress is committed on a topic that may be read, and records wait if there is none; they wait for other producers' open transactions, too",
			"grant READ on the topic")
	case !t.MayRead:
		r.warn(check, "this user may not read it: after a lost answer the log cannot be looked at, so one batch a partition is in flight",
			"grant READ on the topic")
	}
}

func (c *Cluster) durability(r *Report, check string, t *spoold.TopicFacts) {
	if t.Leaderless > 0 {
		r.fault(check, fmt.Sprintf("%s without a leader", count(t.Leaderless, "partition")), "bring their brokers back")
	}
	if t.Replicas == 1 {
		r.warn(check, "a partition has one replica: what is acked is on one disk", "use three replicas and min.insync.replicas=2")
	}
	insync, known := number(t.Config, "min.insync.replicas")
	switch {
	case !known:
	case t.InSync < insync:
		r.fault(check, fmt.Sprintf("%d in-sync replicas, min.insync.replicas is %d: nothing can be written now", t.InSync, insync), "bring the replicas back")
	case insync == 1 && t.Replicas > 1:
		r.warn(check, "min.insync.replicas is 1: a record may be acked while it is on one disk", "set min.insync.replicas=2")
	case insync >= t.Replicas && t.Replicas > 1:
		r.warn(check, fmt.Sprintf("min.insync.replicas is %d of %d replicas: one broker away stops the topic", insync, t.Replicas), "use one replica more")
	}
	if t.Config["unclean.leader.election.enable"] == "true" {
		r.warn(check, "unclean.leader.election.enable is true: acked records can be cut off", "set it to false")
	}
}

// longOutage is what a topic should allow: records keep the time at which they came.
const longOutage = 7 * 24 * time.Hour

func (c *Cluster) settings(r *Report, check string, t *spoold.TopicFacts) {
	if most, known := number(t.Config, "max.message.bytes"); known && int64(most) < c.MaxRequestSize {
		r.warn(check, fmt.Sprintf("max.message.bytes is %d, max.request.size is %d: a record between the two becomes a dead letter", most, c.MaxRequestSize),
			"lower max.request.size, or raise max.message.bytes")
	}
	if strings.Contains(t.Config["cleanup.policy"], "compact") {
		r.warn(check, "it is compacted: a record without a key becomes a dead letter", "send keys")
	}
	if t.Config["message.timestamp.type"] == "LogAppendTime" {
		return // the brokers look at no record's time
	}
	if before, known := number(t.Config, "message.timestamp.before.max.ms"); known && before < int(longOutage.Milliseconds()) {
		r.warn(check, fmt.Sprintf("message.timestamp.before.max.ms is %d (%v): records that wait longer, or come with an older time, become dead letters", before, time.Duration(before)*time.Millisecond),
			"raise it above the longest outage that is to be survived")
	}
	if ahead, known := number(t.Config, "message.timestamp.after.max.ms"); known && ahead < int(time.Minute.Milliseconds()) {
		r.warn(check, fmt.Sprintf("message.timestamp.after.max.ms is %d: a clock that runs ahead by more has its records refused", ahead), "keep the clocks in step")
	}
}

func number(config map[string]string, key string) (int, bool) {
	n, err := strconv.Atoi(config[key])
	return n, err == nil
}

func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}
