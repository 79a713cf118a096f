package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spoold/spoold"
)

// signals has SIGHUP come over a channel instead of ending the process, and writes to a closed standard output or
// error fail instead of doing so. stop undoes the former: an exit code must not be lost to a closed standard error.
func (d *daemon) signals() (hangup <-chan os.Signal, stop func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	broken := make(chan os.Signal, 1) // never read: that the signal is asked for is enough for a write to fail with EPIPE
	signal.Notify(broken, syscall.SIGPIPE)
	return c, func() { signal.Stop(c) }
}

// reloadable are the keys that take effect without a restart.
var reloadable = map[string]func(*daemon, *settings){
	"log.level": func(d *daemon, s *settings) { d.level.Set(logLevel(s.own.LogLevel)) },
}

// reload reads the configuration again. With a fault in it nothing changes.
func (d *daemon) reload() {
	fresh, err := d.reread()
	if err == nil {
		fresh.keep(d.s, "spool.path", "bootstrap.servers") // defaults that a start finds out
		err = fresh.validate()
	}
	if err == nil {
		err = d.producer.Reload(fresh.cfg) // also where no key has changed: files may have
	}
	if err != nil {
		d.log.Error("SIGHUP: the configuration has a fault and was not taken", "event", "config.fault", "err", err)
		return
	}
	var taken, restart []string
	for _, key := range d.s.keys() {
		if !fresh.differs(d.s, key) {
			continue
		}
		switch apply := reloadable[key]; {
		case apply != nil:
			apply(d, fresh)
			taken = append(taken, key)
		case spoold.Reloads(key):
			taken = append(taken, key)
		default:
			restart = append(restart, key)
		}
	}
	// What was taken is no difference next time. The rest is, until a restart.
	d.s.own.LogLevel = fresh.own.LogLevel
	d.s.cfg.SecurityProtocol, d.s.cfg.TLS, d.s.cfg.SASL = fresh.cfg.SecurityProtocol, fresh.cfg.TLS, fresh.cfg.SASL
	if len(restart) > 0 {
		d.log.Warn("SIGHUP: the configuration was read again; some keys that have changed need a restart", "event", "config.reload",
			"taken", taken, "needs_restart", restart)
		return
	}
	d.log.Info("SIGHUP: the configuration was read again", "event", "config.reload", "taken", taken)
}

// keep takes keys that are not set from the settings of the start.
func (s *settings) keep(from *settings, keys ...string) {
	for _, key := range keys {
		if value, _ := s.cfg.Get(key); value == "" {
			before, _ := from.cfg.Get(key)
			_ = s.cfg.Set(key, before) // it was valid at the start
		}
	}
}
