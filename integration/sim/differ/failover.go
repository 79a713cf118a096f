package differ

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/spoold/spoold/integration/sim/raw"
)

// What takes brokers away from a trio and gives them back.

// steps does n small things: new batches, old ones, a fence.
func (t *trio) steps(n int) error {
	for range n {
		topic := t.rng.IntN(len(t.names))
		leader, acks, version := t.model.Leader(t.names[topic], 0), int16(-1), 3+int16(t.rng.IntN(9))
		b := t.next(topic)
		switch k := t.rng.IntN(20); {
		case k < 2 && len(t.sent[topic]) > 0:
			list := t.sent[topic]
			b = &list[max(0, len(list)-1-t.rng.IntN(rememberN))]
		case k == 2:
			acks = 1
		case k == 3:
			b.Base += 2
		case k == 4:
			t.epoch[topic]++
		case k == 5:
			if err := t.deleteRecords(topic); err != nil {
				return err
			}
		}
		if _, err := t.produce(topic, leader, version, acks, 10_000, b); err != nil {
			return err
		}
	}
	if err := t.settle(); err != nil {
		return err
	}
	return t.look()
}

// deleteRecords deletes about half of a log.
func (t *trio) deleteRecords(topic int) error {
	if err := t.settle(); err != nil {
		return err
	}
	offset := t.rng.Int64N(t.end(topic) + 1)
	t.did("DeleteRecords of %s below %d", t.names[topic], offset)
	return t.ask(t.model.Leader(t.names[topic], 0), raw.DeleteRecords(t.names[topic], 0, offset, 10_000), func(_ int, r kmsg.Response) string {
		return deleteText(&r.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0])
	})
}

func (t *trio) end(topic int) int64 {
	resp, err := t.model.ask(t.model.Leader(t.names[topic], 0), raw.ListOffsets(7, t.names[topic], raw.Latest, 0))
	if err != nil {
		return 0
	}
	return max(0, resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].Offset)
}

// idleBroker leads nothing.
func (t *trio) idleBroker() int32 {
	for i := t.rng.Int32N(brokers); ; i = (i + 1) % brokers {
		if t.model.Leader(t.names[0], 0) != i && t.model.Leader(t.names[1], 0) != i {
			return i
		}
	}
}

// halt pauses a follower: requests time out with their batch in the log, the ISR shrinks, and one of the topics takes nothing
// more with acks=-1; then it goes on.
func (t *trio) halt() error {
	i := t.idleBroker()
	t.did("broker %d paused", i)
	if err := t.real.c.Pause(int(i)); err != nil {
		return fmt.Errorf("differ: pause: %w", err)
	}
	t.real.paused[i] = true
	t.model.sync()
	t.model.Pause(i)
	var sent [2]*Batch
	for topic, name := range t.names {
		sent[topic] = t.next(topic)
		for range 2 { // a duplicate waits as well
			if err := t.want("REQUEST_TIMED_OUT")(t.produce(topic, t.model.Leader(name, 0), 9, -1, 300, sent[topic])); err != nil {
				return err
			}
		}
	}
	if err := t.settle(); err != nil {
		return err
	}
	for topic, want := range []string{"NONE", "NOT_ENOUGH_REPLICAS"} {
		leader := t.model.Leader(t.names[topic], 0)
		for _, b := range []*Batch{sent[topic], t.next(topic)} {
			if err := t.want(want)(t.produce(topic, leader, 9, -1, 10_000, b)); err != nil {
				return err
			}
		}
		if err := t.want("NONE")(t.produce(topic, leader, 9, 1, 10_000, t.next(topic))); err != nil {
			return err
		}
	}
	if err := errors.Join(t.settle(), t.look()); err != nil {
		return err
	}
	t.did("broker %d goes on", i)
	if err := t.real.c.Resume(int(i)); err != nil {
		return fmt.Errorf("differ: resume: %w", err)
	}
	t.real.paused[i] = false
	t.model.sync()
	t.model.Resume(i)
	return t.after()
}

// want checks that a step did what it is for.
func (t *trio) want(code string) func(int16, error) error {
	return func(got int16, err error) error {
		if err == nil && raw.Code(got) != code {
			return fmt.Errorf("differ: both answered %s, where %s was to be seen", raw.Code(got), code)
		}
		return err
	}
}

// after compares when all is well again.
func (t *trio) after() error {
	if err := t.settle(); err != nil {
		return err
	}
	if err := t.windows(); err != nil {
		return err
	}
	return t.look()
}

// kill ends a leader with SIGKILL, when all replicas have all, compares with one broker less, and starts it again.
func (t *trio) kill() error {
	i := t.model.Leader(t.names[t.rng.IntN(len(t.names))], 0)
	return t.away(i, false)
}

// restart is a follower's, in order or not.
func (t *trio) restart() error { return t.away(t.idleBroker(), t.rng.IntN(2) == 0) }

func (t *trio) away(i int32, inOrder bool) error {
	t.did("broker %d ends, in order %v", i, inOrder)
	end := t.real.c.Kill
	if inOrder {
		end = t.real.c.Stop
	}
	if err := end(int(i)); err != nil {
		return fmt.Errorf("differ: end broker %d: %w", i, err)
	}
	t.real.hangUp()
	t.model.sync()
	if inOrder {
		t.model.Shutdown(i)
	} else {
		t.model.Kill(i)
	}
	if err := t.after(); err != nil {
		return err
	}
	if t.rng.IntN(2) == 0 {
		if err := t.steps(5); err != nil {
			return err
		}
	}
	t.did("broker %d starts", i)
	if err := t.real.c.Start(t.real.ctx, int(i)); err != nil {
		return err
	}
	t.model.sync()
	t.model.Start(i)
	if err := t.settle(); err != nil {
		return err
	}
	return t.look() // with no duplicates asked for: they would not add to a window, but new batches do
}
