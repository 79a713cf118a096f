package spoold

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spoold/spoold/sender/loop"
	"github.com/spoold/spoold/spool/bolt"
)

// recorder is an interceptor that notes its calls and fails as the test says.
type recorder struct {
	name   string
	onSend func(Record) (Record, error)
	close  func() error

	mu    sync.Mutex
	acks  []Acknowledgement
	ends  int
	acked chan struct{}
}

func newRecorder(name string) *recorder {
	return &recorder{name: name, acked: make(chan struct{}, 100)}
}

func (r *recorder) OnSend(_ context.Context, rec Record) (Record, error) {
	if r.onSend != nil {
		return r.onSend(rec)
	}
	rec.Headers = append(rec.Headers, Header{Key: r.name, Value: []byte(rec.Topic)})
	return rec, nil
}

func (r *recorder) OnAcknowledgement(a Acknowledgement) {
	r.mu.Lock()
	r.acks = append(r.acks, a)
	r.mu.Unlock()
	r.acked <- struct{}{}
}

func (r *recorder) Close() error {
	r.mu.Lock()
	r.ends++
	r.mu.Unlock()
	if r.close != nil {
		return r.close()
	}
	return nil
}

func offlineEnv(t *testing.T, env Env) (*Producer, chan *failing) {
	t.Helper()
	cfg := validConfig()
	cfg.SpoolPath, cfg.SpoolMaxBytes, cfg.SpoolMinFreeBytes = t.TempDir(), 1<<30, 0
	stores := make(chan *failing, 10)
	env.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no cluster") }
	p, err := openWith(cfg, env, func(s *bolt.Store) loop.Store {
		f := newFailing(s)
		stores <- f
		return f
	}, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	return p, stores
}

func headerKeys(headers []Header) string {
	var keys []string
	for _, h := range headers {
		keys = append(keys, h.Key)
	}
	return strings.Join(keys, " ")
}

func TestInterceptorsSeeRecordsAndTheirAcks(t *testing.T) {
	a, b := newRecorder("a"), newRecorder("b")
	p, stores := offlineEnv(t, Env{Interceptors: []Interceptor{a, b}})
	caller := make([]Header, 1, 4)
	caller[0] = Header{Key: "caller"}
	if _, err := p.Send(context.Background(), Record{Topic: "t", Headers: caller}); err != nil {
		t.Fatal(err)
	}
	ds, err := p.SendBatch(context.Background(), Batch{Records: []Record{{Topic: "t"}, {Topic: "t"}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := ds.Spooled(context.Background()); err != nil {
		t.Fatal(err)
	}
	if extra := caller[:2][1]; extra.Key != "" {
		t.Errorf("the caller's array got header %q", extra.Key)
	}
	(<-stores).acks(3)
	p.callbacks.poke()
	for range 3 {
		<-a.acked
		<-b.acked
	}
	b.mu.Lock()
	for i, ack := range b.acks {
		want := "a b"
		if i == 0 {
			want = "caller a b"
		}
		if ack.Topic != "t" || ack.Err != nil || ack.Ack.Offset != int64(40+i) || headerKeys(ack.Headers) != want {
			t.Errorf("acknowledgement %d: %+v", i, ack)
		}
	}
	b.mu.Unlock()
	if n := len(p.callbacks.slots); n != 0 {
		t.Errorf("%d slots of callbacks.max are still taken", n)
	}
	for range 2 {
		if err := p.Close(closed()); err != nil {
			t.Fatal(err)
		}
	}
	if a.ends != 1 || b.ends != 1 {
		t.Errorf("closed %d and %d times, want once each", a.ends, b.ends)
	}
	a.onSend = func(Record) (Record, error) { t.Error("called after Close"); return Record{}, nil }
	_, one := p.Send(context.Background(), Record{Topic: "t"})
	_, two := p.SendBatch(context.Background(), Batch{Records: []Record{{Topic: "t"}}})
	if !errors.Is(one, ErrClosed) || !errors.Is(two, ErrClosed) {
		t.Errorf("Send and SendBatch after Close = %v, %v", one, two)
	}
}

func TestAFailingInterceptorIsReportedAndPassedBy(t *testing.T) {
	failed, panicked := make(chan InterceptorFailed, 10), make(chan Panicked, 10)
	bad, worse, last := newRecorder("bad"), newRecorder("worse"), newRecorder("last")
	bad.onSend = func(r Record) (Record, error) { r.Topic = "lost"; return r, errors.New("no") }
	worse.onSend = func(Record) (Record, error) { panic("oh") }
	bad.close = func() error { panic("close") }
	worse.close = func() error { return errors.New("close") }
	p, _ := offlineEnv(t, Env{Interceptors: []Interceptor{bad, worse, last}, Hooks: Hooks{
		InterceptorFailed: func(e InterceptorFailed) { failed <- e },
		Panicked:          func(e Panicked) { panicked <- e },
	}})
	d, err := p.Send(context.Background(), Record{Topic: "t"})
	if err == nil {
		err = d.Spooled(context.Background())
	}
	if err != nil {
		t.Fatal(err)
	}
	if st := p.Status(); len(st.Topics) != 1 || st.Topics[0].Topic != "t" {
		t.Errorf("topics %+v, want t", st.Topics)
	}
	if e := <-failed; e.Interceptor != "*spoold.recorder" || e.Method != "OnSend" || e.Err.Error() != "no" {
		t.Errorf("reported %+v", e)
	}
	if e := <-panicked; e.Where != "interceptor" || e.Value != "oh" {
		t.Errorf("reported %+v", e)
	}
	if err := p.Close(closed()); err != nil {
		t.Fatal(err)
	}
	last.mu.Lock()
	defer last.mu.Unlock()
	if len(last.acks) != 1 || headerKeys(last.acks[0].Headers) != "last" || !errors.Is(last.acks[0].Err, ErrClosed) {
		t.Errorf("acknowledgements %+v, want one with ErrClosed", last.acks)
	}
	if bad.ends != 1 || worse.ends != 1 || last.ends != 1 || (<-failed).Method != "Close" || (<-panicked).Value != "close" {
		t.Errorf("closed %d, %d, %d times, want once each", bad.ends, worse.ends, last.ends)
	}
}

func TestARecordThatIsNotTakenIsAcknowledgedWithTheError(t *testing.T) {
	r := newRecorder("r")
	p, _ := offlineEnv(t, Env{Interceptors: []Interceptor{r}})
	defer func() { _ = p.Close(closed()) }()
	_, one := p.Send(context.Background(), Record{Topic: "not/a/topic"})
	_, two := p.SendBatch(context.Background(), Batch{Records: []Record{{Topic: "t"}, {Topic: ""}}})
	if !errors.Is(one, ErrInvalidRecord) || !errors.Is(two, ErrInvalidRecord) {
		t.Errorf("Send = %v, SendBatch = %v", one, two)
	}
	for i, a := range r.acks {
		if a.Ack != (Ack{Partition: -1, Offset: -1}) {
			t.Errorf("acknowledgement %d says that the record is at %+v", i, a.Ack)
		}
	}
	if len(r.acks) != 3 || !errors.Is(r.acks[0].Err, ErrInvalidRecord) || !errors.Is(r.acks[1].Err, two) || len(p.callbacks.slots) != 0 {
		t.Errorf("acknowledgements %+v", r.acks)
	}
}

func TestInterceptorsAreClosedOnceWhenOpenFails(t *testing.T) {
	for name, cfg := range map[string]func(*Config){
		"configuration": func(c *Config) { c.BootstrapServers = nil },
		"spool":         func(c *Config) { c.SpoolPath = "/dev/null/spool" },
	} {
		c := validConfig()
		cfg(&c)
		r := newRecorder("r")
		if _, err := Open(c, Env{Interceptors: []Interceptor{r}}); err == nil || r.ends != 1 {
			t.Errorf("%s: Open = %v, closed %d times, want once", name, err, r.ends)
		}
	}
}

// callbacks.max bounds what interceptors wait for, too; a batch counts once, or a large one could never be sent.
func TestInterceptedSendsCountAgainstCallbacksMax(t *testing.T) {
	r := newRecorder("r")
	p, _ := offlineEnv(t, Env{Interceptors: []Interceptor{r}})
	defer func() { _ = p.Close(closed()) }()
	p.cfg.MaxBlock = 10 * time.Millisecond
	for len(p.callbacks.slots) < cap(p.callbacks.slots)-1 {
		p.callbacks.slots <- struct{}{}
	}
	records := make([]Record, 3)
	for i := range records {
		records[i] = Record{Topic: "t", Value: fmt.Append(nil, i)}
	}
	if _, err := p.SendBatch(context.Background(), Batch{Records: records}); err != nil {
		t.Errorf("SendBatch with one slot = %v", err)
	}
	if _, err := p.Send(context.Background(), Record{Topic: "t"}); !errors.Is(err, ErrFull) {
		t.Errorf("Send without a slot = %v, want ErrFull", err)
	}
	for len(p.callbacks.slots) > 1 { // those that the test took
		<-p.callbacks.slots
	}
}
