package httpin

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/spoold/spoold"
)

// unknownCluster stands for the cluster's id until that is known. Paths may hold any.
const unknownCluster = "unknown"

func (h *Handler) clusterID() string {
	if id := h.sink.Cluster(); id != "" {
		return id
	}
	return unknownCluster
}

// catalog answers what is there: the cluster, topics, health.
type catalog struct{ *Handler }

// look is a route's answer by a catalog.
func look(serve func(catalog, *parse, http.ResponseWriter, *http.Request) *fault) func(*Handler, *parse, http.ResponseWriter, *http.Request) *fault {
	return func(h *Handler, p *parse, w http.ResponseWriter, r *http.Request) *fault {
		return serve(catalog{h}, p, w, r)
	}
}

// Types of answers.
const (
	plainJSON = "application/json"
	v2JSON    = "application/vnd.kafka.v2+json"
)

func replyJSON(w http.ResponseWriter, contentType string, v any) *fault {
	w.Header().Set("Content-Type", contentType)
	_ = json.NewEncoder(w).Encode(v) // nobody is left to report to if the client is gone
	return nil
}

// link is how v3 names related things.
type link struct {
	Related string `json:"related"`
}

type metaV3 struct {
	Self string  `json:"self"`
	Next *string `json:"next,omitempty"`
}

type clusterV3 struct {
	Kind       string `json:"kind"`
	Metadata   metaV3 `json:"metadata"`
	ClusterID  string `json:"cluster_id"`
	Controller *link  `json:"controller"`
	Topics     link   `json:"topics"`
}

type topicV3 struct {
	Kind              string `json:"kind"`
	Metadata          metaV3 `json:"metadata"`
	ClusterID         string `json:"cluster_id"`
	TopicName         string `json:"topic_name"`
	IsInternal        bool   `json:"is_internal"`
	ReplicationFactor int    `json:"replication_factor"` // 0: not known here
	PartitionsCount   int32  `json:"partitions_count"`
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

func (h catalog) describeCluster(r *http.Request) clusterV3 {
	id := h.clusterID()
	self := base(r) + "/" + id
	return clusterV3{Kind: "KafkaCluster", Metadata: metaV3{Self: self}, ClusterID: id, Topics: link{self + "/topics"}}
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

// visible are the topics that the principal may send to.
func (h catalog) visible(p *parse) []Topic {
	return slices.DeleteFunc(h.sink.Topics(), func(t Topic) bool { return p.maySend(t.Name) != nil })
}

func (h catalog) find(p *parse, name string) (Topic, *fault) {
	for _, t := range h.visible(p) {
		if t.Name == name {
			return t, nil
		}
	}
	return Topic{}, faultf(404, 40401, "Topic %q is not known here: one is known once records for it have been sent", clip(name))
}

func (h catalog) describeTopic(r *http.Request, t Topic) topicV3 {
	id := h.clusterID()
	return topicV3{Kind: "KafkaTopic", Metadata: metaV3{Self: base(r) + "/" + id + "/topics/" + t.Name}, ClusterID: id, TopicName: t.Name, PartitionsCount: t.Partitions}
}

func (h catalog) topicsV3(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	list := []topicV3{}
	for _, t := range h.visible(p) {
		list = append(list, h.describeTopic(r, t))
	}
	return replyJSON(w, plainJSON, listV3{"KafkaTopicList", metaV3{Self: base(r) + "/" + h.clusterID() + "/topics"}, list})
}

func (h catalog) topicV3(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	t, f := h.find(p, p.vars[1])
	if f != nil {
		return f
	}
	return replyJSON(w, plainJSON, h.describeTopic(r, t))
}

func (h catalog) topicNames(p *parse, w http.ResponseWriter, _ *http.Request) *fault {
	names := []string{}
	for _, t := range h.visible(p) {
		names = append(names, t.Name)
	}
	return replyJSON(w, v2JSON, names)
}

// partitionV2 is a partition as v2 has it. Who leads it is not said: clients have no use for it here.
type partitionV2 struct {
	Partition int32 `json:"partition"`
	Leader    int32 `json:"leader"`
	Replicas  []int `json:"replicas"`
}

func partitionsOf(t Topic) []partitionV2 {
	list := []partitionV2{}
	for i := range t.Partitions {
		list = append(list, partitionV2{Partition: i, Leader: -1, Replicas: []int{}})
	}
	return list
}

func (h catalog) topic(p *parse, w http.ResponseWriter, _ *http.Request) *fault {
	t, f := h.find(p, p.vars[0])
	if f != nil {
		return f
	}
	return replyJSON(w, v2JSON, map[string]any{"name": t.Name, "configs": struct{}{}, "partitions": partitionsOf(t)})
}

func (h catalog) partitions(p *parse, w http.ResponseWriter, _ *http.Request) *fault {
	t, f := h.find(p, p.vars[0])
	if f != nil {
		return f
	}
	return replyJSON(w, v2JSON, partitionsOf(t))
}

func (h catalog) healthy(_ *parse, w http.ResponseWriter, _ *http.Request) *fault {
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h catalog) ready(_ *parse, w http.ResponseWriter, _ *http.Request) *fault {
	if h.closed.Load() {
		return closingFault()
	}
	if h.cfg.Ready != nil {
		if err := h.cfg.Ready(); err != nil {
			return faultf(503, 50302, "No records are taken: %v", err).retryAfter(5)
		}
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h catalog) version(_ *parse, w http.ResponseWriter, _ *http.Request) *fault {
	return replyJSON(w, plainJSON, map[string]string{"bridge_version": spoold.Version()})
}

func (h catalog) openAPI(_ *parse, w http.ResponseWriter, _ *http.Request) *fault {
	return replyJSON(w, plainJSON, Description())
}
