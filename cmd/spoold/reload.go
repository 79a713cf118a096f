package main

import (
	"errors"
	"fmt"
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

// reloadable are the daemon's own keys that take effect without a restart.
var reloadable = map[string]bool{
	"log.level": true, "log.file.max.bytes": true, "log.file.max.age": true, "log.file.backups": true, "shutdown.timeout": true,
	"http.max.connections": true,
}

// reloads reports whether SIGHUP has a changed key take effect.
func reloads(key string) bool { return reloadable[key] || spoold.Reloads(key) }

// bodiesKey is taken up to what the start reserved for bodies and commits.
const bodiesKey = "http.max.body.bytes"

// takes reports whether a changed key takes effect without a restart.
func (d *daemon) takes(fresh *settings, key string) bool {
	return reloads(key) || key == bodiesKey && fresh.own.HTTPMaxBodyBytes <= d.maxBody
}

// reload reads the configuration again. With a fault in it nothing changes. Its lines are no repetitions: they answer a signal each.
func (d *daemon) reload() {
	d.reopenLog(&d.s.own)
	fresh, err := d.reread()
	if err == nil {
		err = fresh.asStarted(d.s, d.w.serveSpool)
	}
	if err == nil {
		err = fresh.validate()
	}
	if err == nil {
		// Also where no key has changed: files may have.
		err = errors.Join(d.reloadAccess(), d.producer.Reload(fresh.cfg))
	}
	if err != nil {
		d.logs.all.Error("SIGHUP: the configuration has a fault and was not taken", "event", "config.fault", "err", err)
		return
	}
	for _, warning := range fresh.warnings() {
		d.log.Warn(warning, "event", "config.warning")
	}
	if _, said := fresh.source["spool.commit.max.bytes"]; !said {
		fresh.cfg.SpoolCommitMax = d.s.cfg.SpoolCommitMax // it followed http.max.body.bytes at the start
	}
	taken, restart := []string{}, []string{}
	for _, key := range d.s.keys() {
		switch {
		case !fresh.differs(d.s, key):
		case d.takes(fresh, key):
			taken = append(taken, key)
		default:
			restart = append(restart, key)
		}
	}
	sections, err := d.following.Load().change(fresh)
	for _, name := range sections {
		taken = append(taken, shipPrefix+name)
	}
	if err != nil {
		d.logs.all.Error("SIGHUP: a section of files cannot be followed", "event", "config.fault", "err", err)
	}
	d.s.ship = fresh.ship
	d.take(fresh)
	d.showSettings()
	for _, key := range restart {
		d.logs.all.Warn("SIGHUP: this key has changed and needs a restart", "event", "config.needs_restart", "key", key, "source", fresh.sourceOf(key))
	}
	d.logs.all.Info("SIGHUP: the configuration was read again", "event", "config.reload", "taken", taken, "needs_restart", restart)
}

// take has the keys that were taken be no difference the next time. The rest is one, until a restart.
func (d *daemon) take(fresh *settings) {
	own, cfg := &d.s.own, &d.s.cfg
	own.LogLevel, own.ShutdownTimeout = fresh.own.LogLevel, fresh.own.ShutdownTimeout
	d.logs.level.Set(logLevel(own.LogLevel))
	if own.LogFileMaxBytes != fresh.own.LogFileMaxBytes || own.LogFileMaxAge != fresh.own.LogFileMaxAge || own.LogFileBackups != fresh.own.LogFileBackups {
		own.LogFileMaxBytes, own.LogFileMaxAge, own.LogFileBackups = fresh.own.LogFileMaxBytes, fresh.own.LogFileMaxAge, fresh.own.LogFileBackups
		d.reopenLog(own)
	}
	cfg.SecurityProtocol, cfg.TLS, cfg.SASL = fresh.cfg.SecurityProtocol, fresh.cfg.TLS, fresh.cfg.SASL
	cfg.SpoolMaxBytes, cfg.SpoolMinFreeBytes = fresh.cfg.SpoolMaxBytes, fresh.cfg.SpoolMinFreeBytes
	if d.http != nil {
		d.takeHTTP(fresh)
	}
	for _, key := range d.s.keys() {
		if source, said := fresh.source[key]; !d.takes(fresh, key) {
			continue
		} else if said {
			d.s.source[key] = source
		} else {
			delete(d.s.source, key)
		}
	}
}

// takeHTTP takes the limits of the HTTP ingest, for connections and requests to come.
func (d *daemon) takeHTTP(fresh *settings) {
	own := &d.s.own
	if own.HTTPMaxConnections != fresh.own.HTTPMaxConnections {
		own.HTTPMaxConnections = fresh.own.HTTPMaxConnections
		d.limiter.Set(d.connections())
	}
	if d.takes(fresh, bodiesKey) {
		own.HTTPMaxBodyBytes = fresh.own.HTTPMaxBodyBytes
		d.http.SetMaxBodyBytes(own.HTTPMaxBodyBytes)
	}
}

// reopenLog opens log.file again. It may have been renamed, or be on a disk that was mounted since.
func (d *daemon) reopenLog(c *daemonConfig) {
	if d.logs.file == nil {
		return
	}
	if err := d.logs.file.reopen(c); err != nil {
		// The file may be gone whose lines go on, and the log with it.
		fmt.Fprintf(d.w.stderr, "spoold: log.file cannot be opened again, the log goes on where it went: %v\n", err)
		d.logs.all.Error("log.file cannot be opened again, the log goes on where it went", "event", "log.failed", "err", err)
	}
}

// sourceOf is where a key's value is from.
func (s *settings) sourceOf(key string) string {
	if source := s.source[key]; source != "" {
		return source
	}
	return "default"
}

// asStarted fills in what a start finds out for itself where nothing is said: the spool's directory, and the development broker that runs. What was said
// then and is not any more has changed, as at the next start.
func (s *settings) asStarted(start *settings, spool func() (string, error)) (err error) {
	if s.cfg.SpoolPath == "" {
		if s.cfg.SpoolPath = start.cfg.SpoolPath; start.source["spool.path"] != "" {
			s.cfg.SpoolPath, err = spool()
		}
	}
	if len(s.cfg.BootstrapServers) == 0 && start.source["bootstrap.servers"] == "" {
		s.cfg.BootstrapServers = start.cfg.BootstrapServers
	}
	return err
}
