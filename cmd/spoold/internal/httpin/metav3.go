package httpin

import (
	"net/http"
	"strconv"
	"strings"
)

// link is how v3 names related things. Clients generated from its description expect each of them; what is not served here is answered 404.
type link struct {
	Related string `json:"related"`
}

type metaV3 struct {
	Self string  `json:"self"`
	Next *string `json:"next"`
}

// resourceV3 is what v3 says first of a thing.
type resourceV3 struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Self string `json:"self"`
		Name string `json:"resource_name"`
	} `json:"metadata"`
	ClusterID string `json:"cluster_id"`
}

type clusterV3 struct {
	resourceV3
	Controller     *link `json:"controller"` // null: not known here
	ACLs           link  `json:"acls"`
	Brokers        link  `json:"brokers"`
	BrokerConfigs  link  `json:"broker_configs"`
	ConsumerGroups link  `json:"consumer_groups"`
	Topics         link  `json:"topics"`
	Reassignments  link  `json:"partition_reassignments"`
}

type topicV3 struct {
	resourceV3
	TopicName         string `json:"topic_name"`
	IsInternal        bool   `json:"is_internal"`
	ReplicationFactor int    `json:"replication_factor"` // 0: not known here
	PartitionsCount   int32  `json:"partitions_count"`
	Partitions        link   `json:"partitions"`
	Configs           link   `json:"configs"`
	Reassignments     link   `json:"partition_reassignments"`
}

type partitionV3 struct {
	resourceV3
	TopicName    string `json:"topic_name"`
	PartitionID  int32  `json:"partition_id"`
	Leader       *link  `json:"leader"` // null: not known here
	Replicas     link   `json:"replicas"`
	Reassignment link   `json:"reassignment"`
}

type listV3 struct {
	Kind     string `json:"kind"`
	Metadata metaV3 `json:"metadata"`
	Data     any    `json:"data"`
}

// base is where v3's paths begin, as the client spelt it.
func base(r *http.Request) string {
	scheme := "http://"
	if r.TLS != nil {
		scheme = "https://"
	}
	at := scheme + r.Host
	if strings.HasPrefix(r.URL.Path, prefixV3+"/") {
		at += prefixV3
	}
	return at + "/v3/clusters"
}

// resource is a thing of the cluster: path is where it is, as /topics/t; name is the same as Confluent's resource names have it.
func (h catalog) resource(r *http.Request, kind, path, name string) (out resourceV3) {
	id := h.clusterID()
	out.Kind, out.ClusterID = kind, id
	out.Metadata.Self, out.Metadata.Name = base(r)+"/"+id+path, "crn:///kafka="+id+name
	return out
}

func (h catalog) describeCluster(r *http.Request) clusterV3 {
	is := h.resource(r, "KafkaCluster", "", "")
	self := is.Metadata.Self
	return clusterV3{resourceV3: is, ACLs: link{self + "/acls"}, Brokers: link{self + "/brokers"}, BrokerConfigs: link{self + "/broker-configs"},
		ConsumerGroups: link{self + "/consumer-groups"}, Topics: link{self + "/topics"}, Reassignments: link{self + "/topics/-/partitions/-/reassignment"}}
}

func (h catalog) clusters(_ *parse, w http.ResponseWriter, r *http.Request) *fault {
	return replyJSON(w, plainJSON, listV3{"KafkaClusterList", metaV3{Self: base(r)}, []clusterV3{h.describeCluster(r)}})
}

func (h catalog) cluster(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	if id := h.clusterID(); p.vars[0] != id {
		return faultf(404, 404, "Cluster %q is not the one that records are delivered to, which is %s", clip(p.vars[0]), id)
	}
	return replyJSON(w, plainJSON, h.describeCluster(r))
}

func (h catalog) describeTopic(r *http.Request, t Topic) topicV3 {
	is := h.resource(r, "KafkaTopic", "/topics/"+t.Name, "/topic="+t.Name)
	self := is.Metadata.Self
	return topicV3{resourceV3: is, TopicName: t.Name, PartitionsCount: t.Partitions,
		Partitions: link{self + "/partitions"}, Configs: link{self + "/configs"}, Reassignments: link{self + "/partitions/-/reassignments"}}
}

func (h catalog) topicsV3(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	list := []topicV3{}
	for _, t := range h.visible(p) {
		list = append(list, h.describeTopic(r, t))
	}
	return replyJSON(w, plainJSON, listV3{"KafkaTopicList", metaV3{Self: base(r) + "/" + h.clusterID() + "/topics"}, list})
}

func (h catalog) topicV3(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	t, f := h.find(p, r, p.vars[1])
	if f != nil {
		return f
	}
	return replyJSON(w, plainJSON, h.describeTopic(r, t))
}

func (h catalog) describePartition(r *http.Request, topic string, n int32) partitionV3 {
	of := strconv.Itoa(int(n))
	is := h.resource(r, "KafkaPartition", "/topics/"+topic+"/partitions/"+of, "/topic="+topic+"/partition="+of)
	self := is.Metadata.Self
	return partitionV3{resourceV3: is, TopicName: topic, PartitionID: n, Replicas: link{self + "/replicas"}, Reassignment: link{self + "/reassignment"}}
}

func (h catalog) partitionsV3(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	t, f := h.find(p, r, p.vars[1])
	if f != nil {
		return f
	}
	list := []partitionV3{}
	for n := range t.Partitions {
		list = append(list, h.describePartition(r, t.Name, n))
	}
	self := base(r) + "/" + h.clusterID() + "/topics/" + t.Name + "/partitions"
	return replyJSON(w, plainJSON, listV3{"KafkaPartitionList", metaV3{Self: self}, list})
}

func (h catalog) partitionV3(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	t, f := h.find(p, r, p.vars[1])
	if f != nil {
		return f
	}
	n, err := strconv.ParseInt(p.vars[2], 10, 32)
	if err != nil || n < 0 || n >= int64(t.Partitions) || p.vars[2] != strconv.FormatInt(n, 10) {
		return faultf(404, 40402, "Partition %q not found: topic %s has %d, numbered from 0", clip(p.vars[2]), t.Name, t.Partitions)
	}
	return replyJSON(w, plainJSON, h.describePartition(r, t.Name, int32(n)))
}
