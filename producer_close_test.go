package spoold_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/spoold/spoold"
)

func TestCloseIsIdempotentAndRefusesWhatComesAfter(t *testing.T) {
	c := newCluster(t, kfake.SeedTopics(1, "t"))
	c.link.down()
	p := c.open(t, t.TempDir())
	d := send(t, p, "t", 0, 1)[0]
	closeNow(t, p)
	closeNow(t, p)
	select {
	case <-p.Done():
	default:
		t.Error("Done is open after Close")
	}
	if err := p.Err(); err != nil {
		t.Errorf("Err() = %v after Close", err)
	}
	if _, err := p.Send(patient(t), spoold.Record{Topic: "t"}); !errors.Is(err, spoold.ErrClosed) {
		t.Errorf("Send = %v", err)
	}
	if err := p.Flush(patient(t)); !errors.Is(err, spoold.ErrClosed) {
		t.Errorf("Flush = %v", err)
	}
	if err := d.Spooled(patient(t)); err != nil {
		t.Errorf("Spooled after Close = %v", err)
	}
	if _, err := d.Acked(patient(t)); !errors.Is(err, spoold.ErrClosed) {
		t.Errorf("Acked after Close = %v", err)
	}
	if st := p.Status(); st.State != "stopped" || st.Pending != 1 {
		t.Errorf("Status = %+v", st)
	}
}

func TestFlushEndsWithItsContextWhenThereIsNoCluster(t *testing.T) {
	c := newCluster(t)
	c.link.down()
	p := c.open(t, t.TempDir())
	flush(t, p) // nothing to wait for
	send(t, p, "t", 0, 1)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Flush = %v", err)
	}
}

func TestSecondProducerOnOneSpoolIsRefused(t *testing.T) {
	c := newCluster(t)
	dir := t.TempDir()
	c.open(t, dir)
	_, err := spoold.Open(c.config(t, dir), spoold.Env{})
	var locked *spoold.LockedError
	if !errors.As(err, &locked) || spoold.ExitCode(err) != spoold.ExitTemporary {
		t.Errorf("Open = %v, exit code %d", err, spoold.ExitCode(err))
	}
}
