package schemaregistry

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/spoold/spoold"
)

type order struct {
	N int `json:"n"`
}

const orderSchema = `{"type":"record","name":"order","fields":[{"name":"n","type":"int"}]}`

// registry is a stub that counts requests and can be away.
type registry struct {
	*srfake.Registry
	requests atomic.Int64
	away     atomic.Bool
}

func newRegistry(t *testing.T) (*registry, *sr.Client) {
	t.Helper()
	r := &registry{Registry: srfake.New()}
	t.Cleanup(r.Close)
	r.Intercept(func(w http.ResponseWriter, _ *http.Request) bool {
		r.requests.Add(1)
		if r.away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	client, err := sr.NewClient(sr.URLs(r.URL()))
	if err != nil {
		t.Fatal(err)
	}
	return r, client
}

func newSerializer(t *testing.T, o Options[order]) spoold.Serializer[order] {
	t.Helper()
	if o.Encode == nil {
		o.Encode = func(v order) ([]byte, error) { return json.Marshal(v) }
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func serialize(s spoold.Serializer[order], topic string, n int) ([]byte, error) {
	return s.Serialize(context.Background(), topic, new([]spoold.Header), order{n})
}

func TestValuesHaveConfluentsWireFormat(t *testing.T) {
	r, client := newRegistry(t)
	s := newSerializer(t, Options[order]{Client: client, Schema: sr.Schema{Schema: orderSchema}})
	b, err := serialize(s, "orders", 7)
	if err != nil {
		t.Fatal(err)
	}
	schema, err := client.SchemaByVersion(context.Background(), "orders-value", -1)
	if err != nil {
		t.Fatal(err)
	}
	if b[0] != 0 || int(binary.BigEndian.Uint32(b[1:5])) != schema.ID || string(b[5:]) != `{"n":7}` {
		t.Errorf("serialized % x, schema id %d", b, schema.ID)
	}
	asked := r.requests.Load()
	r.away.Store(true) // not needed any more
	if again, err := serialize(s, "orders", 7); err != nil || !bytes.Equal(again, b) {
		t.Errorf("again: % x, %v", again, err)
	}
	if r.requests.Load() != asked {
		t.Error("the registry was asked for a schema whose id is known")
	}
}

func TestAProtobufMessageCarriesItsPath(t *testing.T) {
	_, client := newRegistry(t)
	s := newSerializer(t, Options[order]{Client: client, Index: []int{1, 2},
		Schema: sr.Schema{Type: sr.TypeProtobuf, Schema: `syntax = "proto3"; message order { int32 n = 1; }`}})
	b, err := serialize(s, "orders", 7)
	if err != nil {
		t.Fatal(err)
	}
	index, body, err := new(sr.ConfluentHeader).DecodeIndex(b[5:], 10)
	if err != nil || len(index) != 2 || index[0] != 1 || index[1] != 2 || string(body) != `{"n":7}` {
		t.Errorf("index %v, body %q, %v", index, body, err)
	}
}

func TestASchemaIsLookedUpAsTheOptionsSay(t *testing.T) {
	_, client := newRegistry(t)
	schema := sr.Schema{Schema: orderSchema}
	existing := newSerializer(t, Options[order]{Client: client, Schema: schema, Lookup: Existing, Key: true})
	latest := newSerializer(t, Options[order]{Client: client, Lookup: Latest, Key: true})
	for _, s := range []spoold.Serializer[order]{existing, latest} {
		if _, err := serialize(s, "orders", 1); err == nil || !strings.Contains(err.Error(), "orders-key") {
			t.Errorf("a schema that is not registered: %v", err)
		}
	}
	if _, err := client.CreateSchema(context.Background(), "orders-key", schema); err != nil {
		t.Fatal(err)
	}
	for _, s := range []spoold.Serializer[order]{existing, latest} {
		if _, err := serialize(s, "orders", 1); err != nil {
			t.Errorf("once it is registered: %v", err)
		}
	}
	own := newSerializer(t, Options[order]{Client: client, Lookup: Latest, Subject: func(string) string { return "orders-key" }})
	if _, err := serialize(own, "any", 1); err != nil {
		t.Errorf("with a subject of its own: %v", err)
	}
}

func TestManyCallersAskForASchemaOnce(t *testing.T) {
	r, client := newRegistry(t)
	s := newSerializer(t, Options[order]{Client: client, Schema: sr.Schema{Schema: orderSchema}})
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			if _, err := serialize(s, "orders", n); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := r.requests.Load(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	_, client := newRegistry(t)
	encode := func(order) ([]byte, error) { return nil, nil }
	for _, o := range []Options[order]{
		{Encode: encode, Schema: sr.Schema{Schema: orderSchema}},
		{Client: client, Schema: sr.Schema{Schema: orderSchema}},
		{Client: client, Encode: encode},
		{Client: client, Encode: encode, Lookup: 7},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("New(%+v) is content", o)
		}
	}
}

// With the registry away nothing is taken, and the same serializer works once it is back.
func TestWithTheRegistryAwayNothingIsTaken(t *testing.T) {
	r, client := newRegistry(t)
	r.away.Store(true)
	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers, cfg.SpoolPath, cfg.SpoolMinFreeBytes = []string{"127.0.0.1:1"}, t.TempDir(), 0
	p, err := spoold.Open(cfg, spoold.Env{})
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	defer func() { _ = p.Close(ended) }()
	typed := spoold.NewTypedProducer(p, spoold.Void(), newSerializer(t, Options[order]{Client: client, Schema: sr.Schema{Schema: orderSchema}}))
	record := spoold.TypedRecord[struct{}, order]{Topic: "orders", Value: order{1}}
	_, err = typed.Send(context.Background(), record)
	var failed *spoold.SerializationError
	if !errors.As(err, &failed) || p.Status().Accepted != 0 {
		t.Errorf("Send = %v, accepted %d", err, p.Status().Accepted)
	}
	if _, err := typed.Send(ended, record); !errors.Is(err, context.Canceled) {
		t.Errorf("Send with an ended context = %v", err)
	}
	r.away.Store(false)
	d, err := typed.Send(context.Background(), record)
	if err == nil {
		err = d.Spooled(context.Background())
	}
	if err != nil || p.Status().Accepted != 1 {
		t.Errorf("Send = %v once it is back, accepted %d", err, p.Status().Accepted)
	}
}
