package differ

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/agenda"
	"github.com/spoold/spoold/integration/sim/broker"
)

// model is the model, its clock set to the real one at each request.
type model struct {
	*broker.Cluster
	a *agenda.Agenda
}

// never is an interval longer than any run.
const never = 1 << 50

func newModel(cfg broker.Config) *model {
	m := &model{a: &agenda.Agenda{}}
	m.a.Set(time.Now().UnixMilli())
	m.Cluster = broker.New(cfg, m.a)
	return m
}

// sync lets time be what it is. The model may be some ms ahead: it takes its time in steps.
func (m *model) sync() { m.a.Run(time.Now().UnixMilli()) }

// await lets the model's time go by until something holds.
func (m *model) await(what string, holds func() bool) error {
	for until := m.a.Now() + 60_000; !holds(); {
		if m.a.Now() > until || !m.a.Step() {
			return fmt.Errorf("differ: the model: after a minute: not %s", what)
		}
	}
	return nil
}

func (m *model) ask(to int32, req kmsg.Request) (kmsg.Response, error) {
	m.sync()
	var got kmsg.Response
	over := false
	k, ok := m.Open(to, func() { over = true })
	if !ok {
		return nil, errors.New("differ: the model: nobody listens")
	}
	k.Receive(req, func(r kmsg.Response) { got, over = r, true })
	if err := m.await("an answer to "+kmsg.NameForKey(req.Key()), func() bool { return over }); err != nil {
		return nil, err
	}
	k.Close(false)
	if got == nil {
		return nil, errors.New("differ: the model: the connection ended")
	}
	// What the version does not carry is not there.
	resp := req.ResponseKind()
	if err := resp.ReadFrom(got.AppendTo(nil)); err != nil {
		return nil, fmt.Errorf("differ: the model: an answer that cannot be read: %w", err)
	}
	return resp, nil
}

func (m *model) create(name string, k *kind) ([16]byte, error) {
	m.sync()
	id := m.CreateTopic(name, k.partitions, int(m.Brokers()), k.cfg)
	return id, m.settle()
}

func (m *model) firstBroker() int32 { return 0 }

func (m *model) settle() error { return m.await("quiet", m.Quiet) }

func (m *model) remove(name string) error {
	m.sync()
	m.DeleteTopic(name)
	m.a.Run(m.a.Now() + 100)
	return nil
}

func (m *model) grow(name string, partitions int) error {
	m.sync()
	m.Grow(name, partitions)
	return m.settle()
}

func (m *model) limit(name string, bytes int) error {
	m.sync()
	m.Configure(name, func(c *broker.TopicConfig) { c.MaxMessageBytes = bytes })
	m.a.Run(m.a.Now() + 100)
	return nil
}

func (m *model) restart(inOrder bool, _ map[string]int) error {
	m.sync()
	if inOrder {
		m.Shutdown(0)
		if err := m.await("the end of the broker", func() bool { return !m.Alive(0) }); err != nil {
			return err
		}
	} else {
		m.Kill(0)
	}
	m.Start(0)
	if err := m.settle(); err != nil {
		return err
	}
	return m.ready()
}

func (m *model) ready() error {
	ask := hasIDs(m)
	return m.await("a broker with producer ids", func() bool { ok, _ := ask(); return ok })
}

func (m *model) forget(string, int32, []int64) error {
	m.sync()
	m.Expire(0)
	return nil
}
