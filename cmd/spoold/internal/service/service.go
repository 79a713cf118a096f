package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// Manager is systemd, or nothing where the process was started otherwise. Its
// methods do not block and are safe for concurrent use.
type Manager struct {
	log    *slog.Logger
	notify func(state string) error
}

// New finds out whether a service manager wants to be notified (NOTIFY_SOCKET).
// Failed notifications are logged, never returned: the daemon works without them.
func New(log *slog.Logger) *Manager {
	return &Manager{log: log, notify: func(state string) error {
		_, err := daemon.SdNotify(false, state)
		return err
	}}
}

func (m *Manager) send(state string) {
	if err := m.notify(state); err != nil {
		m.log.Warn("the service manager cannot be notified", "event", "service.notify_failed", "err", err)
	}
}

// Ready reports that records are taken. status is the line that `systemctl status` shows.
func (m *Manager) Ready(status string) { m.send(daemon.SdNotifyReady + "\nSTATUS=" + status) }

// Reloading reports that a reload has begun. Ready ends it.
func (m *Manager) Reloading() {
	m.send(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping reports that the daemon stops.
func (m *Manager) Stopping() { m.send(daemon.SdNotifyStopping) }

// Probe is one look at the daemon.
type Probe struct {
	At     time.Time // when the loop answered last; the same At twice means that it no longer does
	Status string    // the line that `systemctl status` shows
	Err    error     // why the daemon cannot commit to its disk
}

// Watch calls probe twice in each watchdog interval (WATCHDOG_USEC) and reports to the
// service manager while the daemon is healthy. It returns when ctx ends, or at once
// where no watchdog is set. probe may block for a second.
func (m *Manager) Watch(ctx context.Context, probe func() Probe) {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		m.log.Warn("the watchdog is off", "event", "service.watchdog_off", "err", err)
		return
	}
	if every == 0 {
		return
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	m.watch(ctx, tick.C, probe)
}

func (m *Manager) watch(ctx context.Context, tick <-chan time.Time, probe func() Probe) {
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		p := probe()
		if err := p.sick(last); err != nil {
			m.log.Error("the watchdog is not reset", "event", "service.unhealthy", "err", err)
			continue
		}
		last = p.At
		m.send(daemon.SdNotifyWatchdog + "\nSTATUS=" + p.Status)
	}
}

func (p *Probe) sick(last time.Time) error {
	if p.Err != nil {
		return p.Err
	}
	if p.At.Equal(last) {
		return errors.New("the sender loop has not answered since the last probe")
	}
	return nil
}

// Listener is the socket that systemd passed under name (FileDescriptorName=), or nil.
// More than one of a name is an error: the unit file has to be mended. So is one with another name: it would be listened on by
// nobody, and its clients would wait without end.
func Listener(name string) (net.Listener, error) {
	all, err := listeners()
	if err != nil {
		return nil, fmt.Errorf("socket activation: %w", err)
	}
	for other := range all {
		if other != name {
			return nil, fmt.Errorf("socket activation: systemd passed a socket named %q, and there is use for one named %q alone: set FileDescriptorName=%s in the socket's unit", other, name, name)
		}
	}
	switch found := all[name]; len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	default:
		return nil, fmt.Errorf("socket activation: systemd passed %d sockets named %q, want one ListenStream= per name", len(found), name)
	}
}
