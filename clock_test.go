package spoold_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/spoold/spoold"
)

func TestATimestampFarAheadIsRefusedUnlessTheClockIsWrong(t *testing.T) {
	t.Parallel()
	now := time.Now()
	clock := func() time.Time { return now }
	cfg := spoold.DefaultConfig()
	cfg.BootstrapServers, cfg.SpoolPath = []string{"127.0.0.1:1"}, t.TempDir()
	p, err := spoold.Open(cfg, spoold.Env{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeNow(t, p) })
	stamped := func(ahead time.Duration) error {
		_, err := p.Send(patient(t), spoold.Record{Topic: "t", Value: []byte("v"), Timestamp: now.Add(ahead)})
		return err
	}
	if err := stamped(59 * time.Minute); err != nil {
		t.Errorf("59 minutes ahead: %v", err)
	}
	err = stamped(2 * time.Hour)
	if !errors.Is(err, spoold.ErrInvalidRecord) || !strings.Contains(err.Error(), "2h0m0s ahead") || !strings.Contains(err.Error(), "timestamp.ahead.max.ms") {
		t.Errorf("2 hours ahead: %v", err)
	}
	if err := stamped(1 << 62); err == nil || !strings.Contains(err.Error(), "ahead of this host's clock") {
		t.Errorf("146 years ahead: %v", err)
	}
	_, err = p.Send(patient(t), spoold.Record{Topic: "t", Timestamp: time.UnixMilli(99999999999999)})
	if err == nil || !strings.Contains(err.Error(), "is over 292 years ahead of") {
		t.Errorf("in the year 5138: %v", err)
	}
	_, err = p.SendBatch(patient(t), spoold.Batch{Records: []spoold.Record{{Topic: "t"}, {Topic: "t", Timestamp: now.Add(2 * time.Hour)}}})
	var of *spoold.RecordError
	if !errors.Is(err, spoold.ErrInvalidRecord) || !errors.As(err, &of) || of.Index != 1 || of.Of != 2 {
		t.Errorf("in a batch: %v", err)
	}
	closeNow(t, p)
	now = time.Unix(0, 0) // a host without a battery, before it has asked for the time
	if p, err = spoold.Open(cfg, spoold.Env{Now: clock}); err != nil {
		t.Fatal(err)
	}
	if err := stamped(50 * 365 * 24 * time.Hour); err != nil {
		t.Errorf("with a clock in 1970: %v", err)
	}
}
