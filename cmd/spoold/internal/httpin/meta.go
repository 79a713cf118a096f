package httpin

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

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

// visible are the topics that the principal may send to.
func (h catalog) visible(p *parse) []Topic {
	return slices.DeleteFunc(h.sink.Topics(), func(t Topic) bool { return p.maySend(t.Name) != nil })
}

// find is a topic that the principal may send to. If no records for it were sent, or if it is not known yet how many partitions it
// has, the cluster is asked.
func (h catalog) find(p *parse, r *http.Request, name string) (Topic, *fault) {
	t := Topic{Name: name}
	listed := false
	for _, v := range h.sink.Topics() {
		if v.Name == name {
			t, listed = v, true
		}
	}
	switch {
	case badTopic(name) != "" || p.maySend(name) != nil:
		return t, faultf(404, 40401, "Topic %q is not known here", clip(name))
	case t.Partitions > 0:
		return t, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.cfg.AdmitTimeout)
	defer cancel()
	if t.Partitions = h.sink.Partitions(ctx, name); t.Partitions == 0 && !listed {
		return t, faultf(404, 40401, "Topic %q is not known here: no records for it were sent, and the cluster has none of that name or does not answer", clip(name))
	}
	return t, nil
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

func (h catalog) topic(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	t, f := h.find(p, r, p.vars[0])
	if f != nil {
		return f
	}
	return replyJSON(w, v2JSON, map[string]any{"name": t.Name, "configs": struct{}{}, "partitions": partitionsOf(t)})
}

func (h catalog) partitions(p *parse, w http.ResponseWriter, r *http.Request) *fault {
	t, f := h.find(p, r, p.vars[0])
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
