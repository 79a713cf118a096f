package httpin

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// get is the answer's body.
func get(t *testing.T, h *Handler, path string) map[string]any {
	t.Helper()
	w := serve(h, httptest.NewRequest(http.MethodGet, path, nil))
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
		t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	return got
}

// Clients generated from Confluent's description, as kafkarestv3 in Go, take each of these fields to be there.
func TestV3AnswersHaveEveryFieldThatClientsExpect(t *testing.T) {
	h, _, _ := newTest(testConfig())
	const one = "/v3/clusters/cluster-1"
	for path, fields := range map[string]string{
		one:                                 "kind metadata cluster_id controller acls brokers broker_configs consumer_groups topics partition_reassignments",
		one + "/topics/orders":              "kind metadata cluster_id topic_name is_internal replication_factor partitions_count partitions configs partition_reassignments",
		one + "/topics/orders/partitions/0": "kind metadata cluster_id topic_name partition_id leader replicas reassignment",
		"/v3/clusters":                      "kind metadata data",
		one + "/topics":                     "kind metadata data",
		one + "/topics/orders/partitions":   "kind metadata data",
	} {
		got := get(t, h, path)
		for _, name := range strings.Fields(fields) {
			if _, ok := got[name]; !ok {
				t.Errorf("%s has no %s: %v", path, name, got)
			}
		}
		if len(got) != len(strings.Fields(fields)) {
			t.Errorf("%s has other fields than %s: %v", path, fields, got)
		}
		if self := got["metadata"].(map[string]any)["self"]; self != "http://example.com"+path {
			t.Errorf("%s says that it is %v", path, self)
		}
	}
}

// The list of topics is a second old, and empty of those that only the cluster has.
func TestATopicThatOnlyTheClusterHasIsLookedUp(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	const topic = "/v3/clusters/cluster-1/topics/new"
	for _, path := range []string{topic, topic + "/partitions", topic + "/partitions/0", "/topics/new", "/topics/new/partitions"} {
		sink.count = 0
		if w := serve(h, httptest.NewRequest(http.MethodGet, path, nil)); w.Code != 404 || !strings.Contains(w.Body.String(), "40401") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
		sink.count = 2
		if w := serve(h, httptest.NewRequest(http.MethodGet, path, nil)); w.Code != 200 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if n := get(t, h, topic)["partitions_count"]; n != 2.0 {
		t.Errorf("%v partitions, want 2", n)
	}
	if n := len(get(t, h, topic+"/partitions")["data"].([]any)); n != 2 {
		t.Errorf("%d partitions are listed, want 2", n)
	}
}
