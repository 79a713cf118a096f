package kafka

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// clusterID is given to every cluster: a test that needs another one asks for it.
const clusterID = "5L6g3nShT-eMCtK--X86sw"

// base holds for every broker: small, quick to start, quick to notice a death.
var base = map[string]string{
	"process.roles":                                               "broker,controller",
	"controller.listener.names":                                   "CONTROLLER",
	"inter.broker.listener.name":                                  "BROKER",
	"listener.security.protocol.map":                              "CLIENT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
	"num.partitions":                                              "3",
	"offsets.topic.num.partitions":                                "1",
	"transaction.state.log.num.partitions":                        "3",
	"group.initial.rebalance.delay.ms":                            "0",
	"num.network.threads":                                         "2",
	"num.io.threads":                                              "2",
	"background.threads":                                          "2",
	"log.cleaner.threads":                                         "1",
	"log.cleaner.dedupe.buffer.size":                              "2097152",
	"metrics.jmx.exclude":                                         ".*",
	"controlled.shutdown.enable":                                  "true",
	"broker.session.timeout.ms":                                   "3000",
	"broker.heartbeat.interval.ms":                                "500",
	"replica.lag.time.max.ms":                                     "3000",
	"controller.quorum.election.timeout.ms":                       "500",
	"controller.quorum.fetch.timeout.ms":                          "1000",
	"transaction.max.timeout.ms":                                  "900000",
	"transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
}

// properties writes server.properties of broker i.
func (c *Cluster) properties(i int) string {
	n := len(c.brokers)
	b := c.brokers[i]
	p := maps.Clone(base)
	replicas, isr := strconv.Itoa(n), strconv.Itoa((n+1)/2)
	for _, k := range []string{"default.replication.factor", "offsets.topic.replication.factor",
		"transaction.state.log.replication.factor", "share.coordinator.state.topic.replication.factor"} {
		p[k] = replicas
	}
	for _, k := range []string{"min.insync.replicas", "transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr"} {
		p[k] = isr
	}
	var voters []string
	for _, v := range c.brokers {
		voters = append(voters, fmt.Sprintf("%d@%s", v.id, v.controller))
	}
	p["node.id"] = strconv.Itoa(b.id)
	p["controller.quorum.voters"] = strings.Join(voters, ",")
	p["listeners"] = fmt.Sprintf("CLIENT://%s,BROKER://%s,CONTROLLER://%s", b.client, b.internal, b.controller)
	p["advertised.listeners"] = fmt.Sprintf("CLIENT://%s,BROKER://%s", b.advertised(), b.among())
	p["log.dirs"] = b.data
	maps.Copy(p, c.opts.Props)
	var out strings.Builder
	for _, k := range slices.Sorted(maps.Keys(p)) {
		fmt.Fprintf(&out, "%s=%s\n", k, p[k])
	}
	return out.String()
}
