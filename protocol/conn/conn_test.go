package conn

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/protocol"
)

const patience = 10 * time.Second // how long a test waits for what must happen

func cluster(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(3, "orders")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func dial(t testing.TB, o Options) *Conn {
	t.Helper()
	c, err := Dial(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close(nil)
		wait(t, c.Done(), "the connection's end")
	})
	return c
}

func wait[T any](t testing.TB, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("waited %v for %s", patience, what)
	}
	return v
}

// answer is what a Done was told.
type answer struct {
	resp    kmsg.Response
	written bool
	err     error
}

// ask sends a request and returns where its answer comes. A second one is a failure.
func ask(t testing.TB, c *Conn, req kmsg.Request, timeout time.Duration) <-chan answer {
	ch := make(chan answer, 1)
	c.Do(req, timeout, once(t, ch))
	return ch
}

func once(t testing.TB, ch chan<- answer) Done {
	return func(resp kmsg.Response, written bool, err error) {
		select {
		case ch <- answer{resp, written, err}:
		default:
			t.Errorf("done was called a second time: %v, %v", resp, err)
		}
	}
}

func metadata(c *Conn) *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Version, _ = c.Version(req.Key(), -1)
	req.Topics = []kmsg.MetadataRequestTopic{{Topic: kmsg.StringPtr("orders")}}
	return req
}

func batch(sequence protocol.Sequence) []byte {
	b := append(make([]byte, protocol.BatchHeaderSize), 0x10, 0, 0, 0, 1, 4, 'h', 'i', 0)
	now := time.Now().UnixMilli()
	protocol.WriteBatchHeader(b, protocol.BatchHeader{FirstTimestamp: now, MaxTimestamp: now,
		Identity: protocol.ProducerIdentity{ID: 7}, Base: sequence, Count: 1})
	return b
}

func produceOne(c *Conn, id protocol.TopicID, b []byte) *ProduceRequest {
	version, _ := c.Version(protocol.ProduceKey, -1)
	return &ProduceRequest{Version: version, TimeoutMillis: 5000,
		Encode: func(dst []protocol.ProducePartition) ([]protocol.ProducePartition, error) {
			return append(dst, protocol.ProducePartition{Topic: "orders", TopicID: id, Batch: b}), nil
		}}
}

func topicID(t testing.TB, c *Conn) protocol.TopicID {
	t.Helper()
	a := wait(t, ask(t, c, metadata(c), time.Minute), "metadata")
	if a.err != nil {
		t.Fatal(a.err)
	}
	return a.resp.(*kmsg.MetadataResponse).Topics[0].TopicID
}

func TestRequestsAreAnsweredInTheOrderTheyWereWritten(t *testing.T) {
	c := dial(t, Options{Addr: cluster(t).ListenAddrs()[0], ClientID: "test"})
	const n = 200
	got := make(chan int, n)
	for i := range n {
		var req kmsg.Request = metadata(c)
		if i%3 == 0 {
			list := kmsg.NewPtrListOffsetsRequest()
			list.Version, _ = c.Version(list.Key(), -1)
			req = list
		}
		c.Do(req, time.Minute, func(resp kmsg.Response, written bool, err error) {
			if err != nil || !written || resp.Key() != req.Key() {
				t.Errorf("request %d: %v, written %v, %v", i, resp, written, err)
			}
			got <- i
		})
	}
	for i := range n {
		if j := wait(t, got, "an answer"); j != i {
			t.Fatalf("answer %d is for request %d", i, j)
		}
	}
}

func TestVersionsAreWhatBothSidesHave(t *testing.T) {
	c := dial(t, Options{Addr: cluster(t).ListenAddrs()[0]})
	for _, tt := range []struct {
		key, most, want int16
		ok              bool
	}{
		{0, -1, 13, true}, {0, 12, 12, true}, {0, 2, 0, false}, {3, -1, 13, true}, {61, -1, 0, true},
		{999, -1, 0, false}, {-1, -1, 0, false}, {38, -1, 0, false}, // kfake has no delegation tokens
	} {
		got, ok := c.Version(tt.key, tt.most)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("Version(%d, %d) = %d, %v; want %d, %v", tt.key, tt.most, got, ok, tt.want, tt.ok)
		}
	}
	req := metadata(c)
	req.Version = 99
	if a := wait(t, ask(t, c, req, time.Minute), "the refusal"); a.err == nil || a.written || !strings.Contains(a.err.Error(), "version 99 of Metadata") {
		t.Errorf("version 99: %+v", a)
	}
}

func TestCloseFailsWhatIsUnderWayAndWhatComesLater(t *testing.T) {
	fake := cluster(t)
	release, reached := make(chan struct{}), make(chan struct{})
	fake.ControlKey(3, func(kmsg.Request) (kmsg.Response, error, bool) {
		close(reached)
		<-release
		return nil, nil, false
	})
	c := dial(t, Options{Addr: fake.ListenAddrs()[0]})
	sent := ask(t, c, metadata(c), time.Minute)
	wait(t, reached, "the request to arrive")
	why := errors.New("going home")
	c.Close(why)
	c.Close(errors.New("too late to matter"))
	if a := wait(t, sent, "what was sent"); !errors.Is(a.err, why) || !a.written {
		t.Errorf("what was sent: %+v", a)
	}
	wait(t, c.Done(), "the connection's end")
	if a := wait(t, ask(t, c, metadata(c), time.Minute), "what came late"); !errors.Is(a.err, why) || a.written {
		t.Errorf("what came late: %+v", a)
	}
	if !errors.Is(c.Err(), why) {
		t.Errorf("Err() = %v, want %v", c.Err(), why)
	}
	close(release)
}

func TestWhatAFetchBroughtStaysAsItIsWhenMoreAnswersCome(t *testing.T) {
	c := dial(t, Options{Addr: cluster(t).ListenAddrs()[0]})
	id := topicID(t, c)
	fetch := func(offset int64) kmsg.Request {
		req := kmsg.NewPtrFetchRequest()
		req.Version, _ = c.Version(req.Key(), 12)
		req.MaxBytes = 1 << 20
		part := kmsg.NewFetchRequestTopicPartition()
		part.PartitionMaxBytes, part.FetchOffset = 1<<20, offset
		topic := kmsg.NewFetchRequestTopic()
		topic.Topic, topic.TopicID, topic.Partitions = "orders", id, append(topic.Partitions, part)
		req.Topics = append(req.Topics, topic)
		return req
	}
	for sequence := range protocol.Sequence(2) {
		ch := make(chan answer, 1)
		c.Produce(produceOne(c, id, batch(sequence)), time.Minute, once(t, ch))
		if a := wait(t, ch, "an ack"); a.err != nil {
			t.Fatal(a.err)
		}
	}
	one, two := ask(t, c, fetch(0), time.Minute), ask(t, c, fetch(1), time.Minute)
	more := ask(t, c, metadata(c), time.Minute)
	wait(t, more, "metadata")
	for want, ch := range []<-chan answer{one, two} {
		a := wait(t, ch, "a fetch")
		if a.err != nil {
			t.Fatal(a.err)
		}
		log := a.resp.(*kmsg.FetchResponse).Topics[0].Partitions[0].RecordBatches
		h, size, _, err := protocol.NextBatchHeader(log)
		if err != nil || h.Base != protocol.Sequence(want) || protocol.VerifyBatch(log[:size]) != nil {
			t.Errorf("fetch %d: %+v, %v", want, h, err)
		}
	}
}

func TestApiVersionsMayBeAskedAgain(t *testing.T) {
	c := dial(t, Options{Addr: cluster(t).ListenAddrs()[0]})
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, _ = c.Version(req.Key(), 4)
	req.ClientSoftwareName, req.ClientSoftwareVersion = "spoold", "1"
	a := wait(t, ask(t, c, req, time.Minute), "versions")
	if a.err != nil || len(a.resp.(*kmsg.ApiVersionsResponse).ApiKeys) < 10 {
		t.Errorf("told %+v", a)
	}
}

// onePieceConn hides what it is, as TLS does: no writev.
type onePieceConn struct{ net.Conn }

func TestConnectionsThatAreNotPlainTCPWorkToo(t *testing.T) {
	addr := cluster(t).ListenAddrs()[0]
	c := dial(t, Options{Addr: addr, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		return onePieceConn{nc}, err
	}})
	ch := make(chan answer, 1)
	c.Produce(produceOne(c, topicID(t, c), batch(0)), time.Minute, once(t, ch))
	if a := wait(t, ch, "an ack"); a.err != nil || a.resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode != 0 {
		t.Errorf("produce: %+v", a)
	}
}

// slowWriteConn lets the answer be read before the write that asked for it returns.
type slowWriteConn struct {
	net.Conn
	hold func()
}

func (c slowWriteConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.hold()
	return n, err
}

func TestDoneWaitsUntilTheWriterHasLetGoOfTheBytes(t *testing.T) {
	addr := cluster(t).ListenAddrs()[0]
	var mu sync.Mutex
	var held chan struct{}
	arrived := make(chan struct{}, 1)
	c := dial(t, Options{Addr: addr, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := new(net.Dialer).DialContext(ctx, network, addr)
		spy := readSpy{nc, arrived}
		return slowWriteConn{spy, func() {
			mu.Lock()
			h := held
			mu.Unlock()
			if h != nil {
				<-h
			}
		}}, err
	}})
	h := make(chan struct{})
	mu.Lock()
	held = h
	mu.Unlock()
	for len(arrived) > 0 {
		<-arrived
	}
	ch := ask(t, c, metadata(c), time.Minute)
	wait(t, arrived, "the answer's bytes")
	select {
	case a := <-ch:
		t.Fatalf("told %+v while the write has not returned", a)
	case <-time.After(20 * time.Millisecond): // nothing to wait for: it must not happen
	}
	close(h)
	if a := wait(t, ch, "the answer"); a.err != nil {
		t.Error(a.err)
	}
}

// readSpy says when bytes were read.
type readSpy struct {
	net.Conn
	arrived chan struct{}
}

func (c readSpy) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		select {
		case c.arrived <- struct{}{}:
		default:
		}
	}
	return n, err
}

func TestManyCallersOfOneConnectionEachGetTheirOwnAnswer(t *testing.T) {
	c := dial(t, Options{Addr: cluster(t).ListenAddrs()[0]})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				topic := fmt.Sprintf("no-such-topic-%d-%d", i, j)
				req := metadata(c)
				req.Topics[0].Topic = &topic
				a := <-ask(t, c, req, patience)
				if a.err != nil || *a.resp.(*kmsg.MetadataResponse).Topics[0].Topic != topic {
					t.Errorf("%s: %+v", topic, a)
				}
			}
		})
	}
	wg.Wait()
}

func TestLongAnswersTakeMemoryOnlyAsTheyArrive(t *testing.T) {
	cut := &greedy{r: bytes.NewReader(make([]byte, 100))}
	if _, err := readBody(cut, nil, 90<<20); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("err is %v, want %v", err, io.ErrUnexpectedEOF)
	}
	if cut.most > 1<<20 {
		t.Errorf("room for %d bytes was made before they came", cut.most)
	}
	long := bytes.Repeat([]byte("0123456789"), 500_000)
	if got, err := readBody(bytes.NewReader(long), nil, len(long)); err != nil || !bytes.Equal(got, long) {
		t.Errorf("%d bytes of %d, %v", len(got), len(long), err)
	}
}

// greedy notes how much it was asked for at once.
type greedy struct {
	r    io.Reader
	most int
}

func (g *greedy) Read(b []byte) (int, error) {
	g.most = max(g.most, len(b))
	return g.r.Read(b)
}
