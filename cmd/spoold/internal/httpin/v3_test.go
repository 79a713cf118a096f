package httpin

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spoold/spoold"
)

const pathV3 = "/v3/clusters/any/topics/orders/records"

// reportOf is what a client reads of a report.
type reportOf struct {
	Code      int    `json:"error_code"`
	Message   string `json:"message"`
	Cluster   string `json:"cluster_id"`
	Topic     string `json:"topic_name"`
	Partition int    `json:"partition_id"`
	Offset    int64  `json:"offset"`
	Timestamp string `json:"timestamp"`
	Key       *struct {
		Type string `json:"type"`
		Size int    `json:"size"`
	} `json:"key"`
	Value *struct {
		Type string `json:"type"`
		Size int    `json:"size"`
	} `json:"value"`
}

func reportsOf(t *testing.T, w *httptest.ResponseRecorder) (list []reportOf) {
	t.Helper()
	in := json.NewDecoder(w.Body)
	for {
		var r reportOf
		if err := in.Decode(&r); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
}

func TestV3TakesEveryTypeAndReportsEachRecordInOrder(t *testing.T) {
	h, sink, hooks := newTest(testConfig())
	w := post(h, "/kafka"+pathV3, plainJSON, `{"partition_id":2,"headers":[{"name":"h","value":"YQ=="},{"name":"n","value":null}],"key":{"type":"BINARY","data":"Zm9v"},
		"value":{"type":"JSON","data":{"a": [1, "}{\""]}},"timestamp":"2021-02-05T19:14:42Z"}{"value":{"type":"STRING","data":"x\u00e9"}}
		{"value":{"type":"BINARY","data":null}}{}`)
	list := reportsOf(t, w)
	if w.Code != 200 || len(list) != 4 || hooks.spooled != 4 || w.Header().Get("Content-Type") != plainJSON {
		t.Fatalf("%d: %+v", w.Code, list)
	}
	if r := list[0]; r.Code != 200 || r.Cluster != "cluster-1" || r.Topic != "orders" || r.Partition != 2 || r.Offset != -1 || r.Timestamp != "2021-02-05T19:14:42.000Z" ||
		r.Key.Type != "BINARY" || r.Key.Size != 3 || r.Value.Type != "JSON" || r.Value.Size != 16 {
		t.Errorf("%+v", r)
	}
	first := sink.batches[0].Records[0]
	if string(first.Key) != "foo" || string(first.Value) != `{"a":[1,"}{\""]}` || first.Timestamp.Unix() != 1612552482 || len(first.Headers) != 2 || string(first.Headers[0].Value) != "a" || first.Headers[1].Value != nil {
		t.Errorf("%+v", first)
	}
	if second := sink.batches[1].Records[0]; string(second.Value) != "xé" || !second.Timestamp.IsZero() {
		t.Errorf("%+v", second)
	}
	for _, b := range sink.batches[2:] {
		if b.Records[0].Value != nil {
			t.Errorf("no data is not null: %+v", b.Records[0])
		}
	}
}

func TestV3SaysWhatIsWrongWithARecordAndGoesOn(t *testing.T) {
	const good = `{"value":{"type":"JSON","data":1}}`
	for _, tt := range []struct {
		body        string
		codes       []int
		says        string
		wholeAnswer int
	}{
		{``, nil, "Request body is empty", 422},
		{` []`, nil, "JSON objects, one behind the other", 400},
		{`{"value":{"type":"BINARY","data":1}}` + good, nil, "data=1 is not a base64 string.", 400},
		{good + `{"value":{"type":"BINARY","data":1}}` + good, []int{200, 40002, 200}, "data=1 is not a base64 string.", 200},
		{good + `{"value":{"type":"STRING","data":{}}}` + good, []int{200, 40002, 200}, "is not a string", 200},
		{good + `{"value":{"type":"AVRO","data":1}}`, []int{200, 422}, "needs a schema registry", 200},
		{good + `{"value":{"data":1}}`, []int{200, 422}, "has no type", 200},
		{good + `{"value":{"type":"JSON","schema_id":1,"data":1}}`, []int{200, 422}, "schema registry", 200},
		{good + `{"valeu":1}` + good, []int{200, 40002, 200}, "unrecognized field", 200},
		{good + `{"value":1}`, []int{200, 40002}, "is not an object", 200},
		{good + `{"timestamp":1}`, []int{200, 40002}, "must be a time", 200},
		{good + `{"partition_id":-1}`, []int{200, 40002}, "partition_id is -1", 200},
		{good + `{"headers":[{"value":"YQ=="}]}`, []int{200, 40002}, "headers must be", 200},
		{good + `{"key":null,"key":null}`, []int{200, 40002}, "twice", 200},
		{good + `{"a":tru}` + good, []int{200, 40002, 200}, "malformed JSON", 200},
		{good + `{"a":`, []int{200, 40002}, "ends within a JSON object", 200},
		{good + `garbage`, []int{200, 40002}, "JSON objects", 200},
	} {
		h, sink, _ := newTest(testConfig())
		w := post(h, pathV3, plainJSON, tt.body)
		text := w.Body.String()
		if w.Code != tt.wholeAnswer || !strings.Contains(text, tt.says) {
			t.Errorf("%s: %d %s, want %d %s", tt.body, w.Code, text, tt.wholeAnswer, tt.says)
			continue
		}
		var codes []int
		n := 0
		if w.Code == 200 {
			for _, r := range reportsOf(t, w) {
				if codes = append(codes, r.Code); r.Code == 200 {
					n++
				}
			}
		}
		if fmt.Sprint(codes) != fmt.Sprint(tt.codes) || len(sink.batches) != n || h.budget.Load() != 0 || h.streams.Load() != 0 {
			t.Errorf("%s: codes %v, want %v; %d taken", tt.body, codes, tt.codes, len(sink.batches))
		}
	}
	h, _, _ := newTest(testConfig())
	if w := post(h, pathV3, typeJSON, good); w.Code != 415 {
		t.Errorf("v2's type: %d %s", w.Code, w.Body)
	}
	if w := post(h, "/v3/clusters/c/topics/a%20b/records", plainJSON, good); w.Code != 400 {
		t.Errorf("a bad topic: %d %s", w.Code, w.Body)
	}
	if w := post(h, pathV3, plainJSON, `{"value":{"type":"STRING","data":"`+strings.Repeat("x", 1<<17)+`"}}`); w.Code != 413 {
		t.Errorf("a large record: %d %s", w.Code, w.Body)
	}
}

func TestV3ReportsArriveWhileTheClientStillSends(t *testing.T) {
	h, _, _ := newTest(testConfig())
	s := startServer(t, h, 10)
	in, out := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Addr().String()+pathV3, in)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", plainJSON)
	go func() { _, _ = fmt.Fprint(out, `{"value":{"type":"JSON","data":0}}`) }()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	reports := json.NewDecoder(res.Body)
	for i := range 5 {
		var r reportOf
		if err := reports.Decode(&r); err != nil || r.Code != 200 {
			t.Fatalf("report %d: %+v, %v", i, r, err)
		}
		if _, err := fmt.Fprintf(out, `{"value":{"type":"JSON","data":%d}}`, i); err != nil {
			t.Fatal(err)
		}
	}
	_ = out.Close()
	if _, err := io.Copy(io.Discard, io.MultiReader(reports.Buffered(), res.Body)); err != nil {
		t.Error(err)
	}
}

func TestAStreamEndsWhenTheHandlerCloses(t *testing.T) {
	for _, path := range []string{pathV3, "/topics/t"} {
		h, sink, _ := newTest(testConfig())
		s := startServer(t, h, 10)
		c := dial(t, s)
		contentType, first := plainJSON, `{"value":{"type":"JSON","data":0}}`
		if path == "/topics/t" {
			contentType, first = typeLines, strings.Repeat("1\n", partLines)
		}
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", path, contentType, len(first), first)
		until(t, func() bool { sink.mu.Lock(); defer sink.mu.Unlock(); return len(sink.batches) == 1 })
		h.Close()
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		if !strings.Contains(string(text), "50301") || err != nil {
			t.Errorf("%s: %d %s, %v", path, res.StatusCode, text, err)
		}
		_ = res.Body.Close()
	}
}

func TestARepeatedV3StreamIsTheSameRecords(t *testing.T) {
	h, sink, hooks := newTest(testConfig())
	const body = `{"value":{"type":"JSON","data":1}}{"value":{"type":"JSON","data":2}}`
	for range 2 {
		if list := reportsOf(t, post(h, pathV3, plainJSON, body, "Idempotency-Key", "k")); len(list) != 2 || list[1].Code != 200 {
			t.Errorf("%+v", list)
		}
	}
	if len(sink.batches) != 2 || hooks.duplicates != 2 || hooks.spooled != 2 {
		t.Errorf("%d taken, %d duplicates", len(sink.batches), hooks.duplicates)
	}
}

func TestAV3BatchAnswersEachEntryByItsID(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	const path = pathV3 + ":batch"
	w := post(h, path, plainJSON, `{"entries":[{"id":"a","value":{"type":"STRING","data":"x"}},{"id":"b","value":{"type":"BINARY","data":"!"}},{"id":"c\"","partition_id":1}]}`)
	var answer struct {
		Successes, Failures []struct {
			ID string `json:"id"`
			reportOf
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 207 || len(answer.Successes) != 2 || len(answer.Failures) != 1 {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if s, f := answer.Successes, answer.Failures[0]; s[0].ID != "a" || s[0].Value.Size != 1 || s[1].ID != `c"` || s[1].Partition != 1 || f.ID != "b" || f.Code != 40002 || !strings.Contains(f.Message, "not a base64") {
		t.Errorf("%+v", answer)
	}
	if len(sink.batches) != 1 || len(sink.batches[0].Records) != 2 {
		t.Errorf("%+v", sink.batches)
	}
	var many strings.Builder
	for i := range maxEntries + 1 {
		fmt.Fprintf(&many, `,{"id":"%d"}`, i)
	}
	for _, bad := range []string{`{"entries":[]}`, `{"entries":{}}`, `{"entries":[{"id":"a"},{"id":"a"}]}`, `{"entries":[{}]}`, `{"entries":[{"id":""}]}`, `{"entries":[{"id":1}]}`, `[]`,
		`{"records":[]}`, `{"entries":[{"id":"` + strings.Repeat("x", 81) + `"}]}`, `{"entries":[1]}`, `{"entries":[` + many.String()[1:] + `]}`} {
		if w := post(h, path, plainJSON, bad); w.Code != 422 || !strings.Contains(w.Body.String(), "42208") {
			t.Errorf("%.80s: %d %s", bad, w.Code, w.Body)
		}
	}
	sink.acks = func(i int) (spoold.Ack, error) {
		if i == 1 {
			return spoold.Ack{}, errors.New("TOPIC_AUTHORIZATION_FAILED")
		}
		return spoold.Ack{Partition: 1, Offset: 70}, nil
	}
	w = post(h, path+"?wait=acked", plainJSON, `{"entries":[{"id":"x","a":1},{"id":"a"},{"id":"b"}]}`)
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || len(answer.Successes) != 1 || answer.Successes[0].Offset != 70 || len(answer.Failures) != 2 || answer.Failures[1].Code != 40301 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	sink.err = spoold.ErrFull
	if w = post(h, path, plainJSON, `{"entries":[{"id":"a"}]}`); w.Code != 429 {
		t.Errorf("a full spool: %d %s", w.Code, w.Body)
	}
}

func TestStrimzisTextFormatTakesStringsAlone(t *testing.T) {
	h, sink, _ := newTest(testConfig())
	if w := post(h, "/topics/t", typeText, `{"records":[{"key":"k","value":"a \"b\""}]}`); w.Code != 200 || string(sink.batches[0].Records[0].Value) != `a "b"` || string(sink.batches[0].Records[0].Key) != "k" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := post(h, "/topics/t", typeText, `{"records":[{"value":{"a":1}}]}`); w.Code != 422 || !strings.Contains(w.Body.String(), "records[0].value is not a string") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestWhatClientsAskFirstIsAnswered(t *testing.T) {
	h, _, _ := newTest(testConfig())
	for path, want := range map[string]string{
		"/v3/clusters":                              `"cluster_id":"cluster-1"`,
		"/kafka/v3/clusters":                        `"self":"http://example.com/kafka/v3/clusters"`,
		"/v3/clusters/cluster-1":                    `"kind":"KafkaCluster"`,
		"/v3/clusters/other":                        `"error_code":404`,
		"/v3/clusters/cluster-1/topics":             `"topic_name":"orders"`,
		"/v3/clusters/cluster-1/topics/orders":      `"partitions_count":3`,
		"/v3/clusters/cluster-1/topics/nothing":     `"error_code":40401`,
		"/v3/clusters/cluster-1/topics/orders/acls": `"error_code":404`,
		"/v3/clusters/c/topics/orders/partitions":   `"kind":"KafkaPartitionList"`,
		"/v3/clusters/c/topics/orders/partitions/2": `"partition_id":2`,
		"/v3/clusters/c/topics/orders/partitions/3": `"error_code":40402`,
		"/v3/clusters/c/topics/orders/partitions/x": `"error_code":40402`,
		"/v3/clusters/c/topics/a%20b":               `"error_code":40401`,
		"/topics":                                   `["audit","orders"]`,
		"/topics/orders":                            `"name":"orders"`,
		"/topics/orders/partitions":                 `[{"partition":0,`,
		"/topics/nothing":                           `"error_code":40401`,
		"/":                                         `"bridge_version":`,
		"/healthy":                                  ``,
		"/ready":                                    ``,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if !strings.Contains(w.Body.String(), want) || (w.Code == 200) == strings.Contains(want, "error_code") {
			t.Errorf("%s: %d %s, want %s", path, w.Code, w.Body, want)
		}
	}
	h.cfg.Ready = func() error { return errors.New("the spool is full") }
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/ready", nil)); w.Code != 503 || !strings.Contains(w.Body.String(), "full") {
		t.Errorf("/ready: %d %s", w.Code, w.Body)
	}
}
