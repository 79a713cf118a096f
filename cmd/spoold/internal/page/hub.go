package page

import (
	"encoding/json"
	"reflect"
	"sync"
	"time"

	"github.com/spoold/spoold"
)

const (
	sampleEvery = time.Second
	maxClients  = 64 // streams at a time; more are refused with 503
	queueLength = 8  // events that wait for one client; a slower one is disconnected
	topicsChunk = 500
)

// event is one server-sent event, encoded once for all clients.
type event struct {
	name string
	data []byte
}

// topicsEvent carries rows of topics. Full: it begins a new list, and further rows of
// the list follow. Else these rows have changed.
type topicsEvent struct {
	Full   bool                 `json:"full"`
	Topics []spoold.TopicStatus `json:"topics"`
}

// hub samples the state once a second for all clients, while there are any.
type hub struct {
	peek func() *spoold.Status

	mu      sync.Mutex
	clients map[*client]bool
	last    map[string]spoold.TopicStatus // by topic, as the clients have it
	stop    chan struct{}                 // ends the sampler; nil: none runs
	closed  bool
	wg      sync.WaitGroup
}

// client is one stream. events is closed when it has to end.
type client struct{ events chan event }

func newHub(peek func() *spoold.Status) *hub {
	return &hub{peek: peek, clients: map[*client]bool{}}
}

// join adds a client and returns what it starts with; nil where there are too many.
func (h *hub) join() (*client, []event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(h.clients) >= maxClients {
		return nil, nil
	}
	c := &client{events: make(chan event, queueLength)}
	st := h.peek()
	if len(h.clients) == 0 {
		h.last = map[string]spoold.TopicStatus{}
		h.changed(st)
		h.stop = make(chan struct{})
		h.wg.Add(1)
		go h.run(h.stop)
	}
	h.clients[c] = true
	start := []event{summary(st)}
	all := make([]spoold.TopicStatus, 0, len(h.last))
	for _, t := range st.Topics {
		if now, ok := h.last[t.Topic]; ok {
			t = now // what the next change is relative to
		}
		all = append(all, t)
	}
	for first := true; first || len(all) > 0; first = false {
		n := min(len(all), topicsChunk)
		start = append(start, encode("topics", topicsEvent{Full: first, Topics: all[:n]}))
		all = all[n:]
	}
	return c, start
}

// leave removes a client; it may be called twice.
func (h *hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop(c)
}

func (h *hub) drop(c *client) {
	if !h.clients[c] {
		return
	}
	delete(h.clients, c)
	close(c.events)
	if len(h.clients) == 0 && h.stop != nil {
		close(h.stop)
		h.stop, h.last = nil, nil
	}
}

func (h *hub) run(stop chan struct{}) {
	defer h.wg.Done()
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			h.sample(h.peek(), stop)
		}
	}
}

// sample sends what has changed to every client.
func (h *hub) sample(st *spoold.Status, stop chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stop != stop {
		return
	}
	events := []event{summary(st)}
	changed := h.changed(st)
	for len(changed) > 0 {
		n := min(len(changed), topicsChunk)
		events = append(events, encode("topics", topicsEvent{Topics: changed[:n]}))
		changed = changed[n:]
	}
	for _, e := range events {
		h.send(e)
	}
}

// broadcast sends one event to every client.
func (h *hub) broadcast(e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.send(e)
}

func (h *hub) send(e event) {
	for c := range h.clients {
		select {
		case c.events <- e:
		default:
			h.drop(c)
		}
	}
}

// changed are the topics that differ from what the clients have.
func (h *hub) changed(st *spoold.Status) []spoold.TopicStatus {
	var out []spoold.TopicStatus
	for _, t := range st.Topics {
		if old, ok := h.last[t.Topic]; ok && same(old, t) {
			continue
		}
		h.last[t.Topic] = t
		out = append(out, t)
	}
	return out
}

// same compares all but the age, which the page counts up by itself in whole steps of ten seconds.
func same(a, b spoold.TopicStatus) bool {
	if d := a.OldestAgeSeconds - b.OldestAgeSeconds; d > 10 || d < -10 {
		return false
	}
	a.OldestAgeSeconds = b.OldestAgeSeconds
	return reflect.DeepEqual(a, b)
}

func (h *hub) close() {
	h.mu.Lock()
	h.closed = true
	for c := range h.clients {
		h.drop(c)
	}
	h.mu.Unlock()
	h.wg.Wait()
}

func summary(st *spoold.Status) event {
	s := *st
	s.Topics = nil
	return encode("status", struct {
		*spoold.Status
		Topics int `json:"topics"` // how many
	}{&s, len(st.Topics)})
}

func encode(name string, v any) event {
	data, err := json.Marshal(v)
	if err != nil {
		panic("page: " + err.Error()) // plain structs of ours
	}
	return event{name: name, data: data}
}
