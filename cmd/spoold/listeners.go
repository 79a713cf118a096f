package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"

	"github.com/spoold/spoold/cmd/spoold/internal/accept"
	"github.com/spoold/spoold/cmd/spoold/internal/access"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
	"github.com/spoold/spoold/cmd/spoold/internal/httpin"
	"github.com/spoold/spoold/cmd/spoold/internal/service"
)

// listen opens the socket, the admin address and the HTTP ingest, in this order.
func (d *daemon) listen(ctx context.Context) error {
	ln, err := admin.ListenUnix(ctx, d.s.cfg.SpoolPath, d.log)
	if err != nil {
		return err
	}
	d.socket = admin.Serve(accept.Through(ln, "socket", d.log), admin.Private(watchedProducer{d.producer, d}, d.telemetry.metrics.Handler()), d.log)
	if err := d.listenAdmin(ctx); err != nil {
		return err
	}
	return d.listenHTTP(ctx)
}

// adminConnections bounds the connections of the admin listener: they must not take the descriptors that records need.
const adminConnections = 256

func (d *daemon) listenAdmin(ctx context.Context) error {
	addr := d.s.own.AdminListen
	if !listens(addr) {
		return nil
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return exitf(exitCannotCreate, "admin.listen: %w", err)
	}
	if ln, d.adminGate, err = d.protect("admin", httpin.Limit(accept.Through(ln, "admin", d.log), "the admin listener's limit", adminConnections), d.s.own.AdminAccess); err != nil {
		return err
	}
	metrics := d.telemetry.metrics.Handler()
	d.page = d.newPage(admin.ByRight(admin.Public(watchedProducer{d.producer, d}, metrics), admin.Private(watchedProducer{d.producer, d}, metrics)))
	d.admin = admin.Serve(ln, admin.Guard(visitor(d.adminGate), d.page), d.log)
	return nil
}

// protect puts TLS in front of a listener and a gate behind it. nil: anybody may use it.
func (d *daemon) protect(name string, ln net.Listener, o access.Options) (net.Listener, *access.Gate, error) {
	warnings, err := o.Check(name, ln.Addr())
	var gate *access.Gate
	if err == nil {
		if gate, err = access.New(o, d.log); err != nil {
			err = exitf(exitConfig, "%s: %w", name, err)
		}
	} else {
		err = &exitError{exitConfig, err}
	}
	if err != nil {
		return nil, nil, errors.Join(err, ln.Close())
	}
	for _, warning := range warnings {
		d.log.Warn(warning, "event", "config.insecure", "listener", name)
	}
	d.addGate(name, gate)
	if c := gate.TLS(); c != nil {
		ln = tls.NewListener(ln, c)
	}
	if gate.Open() {
		return ln, nil, nil
	}
	return ln, gate, nil
}

// reloadAccess reads files of users and certificates again.
func (d *daemon) reloadAccess() error {
	var errs []error
	for _, gate := range d.allGates() {
		errs = append(errs, gate.Reload())
	}
	return errors.Join(errs...)
}

// visitor says who looks at the admin listener. nil: anybody may.
func visitor(gate *access.Gate) func(*http.Request) admin.Visitor {
	if gate == nil {
		return nil
	}
	return func(r *http.Request) admin.Visitor {
		u, denied := gate.Enter(r)
		if denied != nil {
			return admin.Visitor{Status: denied.Status, Message: denied.Message, RetryAfter: denied.RetryAfter, Challenge: gate.Challenge()}
		}
		return admin.Visitor{Name: u.Name(), Read: u.MayRead(), Operate: u.MayOperate()}
	}
}

// principal says who sends to the HTTP ingest. nil: anybody may.
func principal(gate *access.Gate) func(*http.Request) (httpin.Principal, *httpin.Denial) {
	if gate == nil {
		return nil
	}
	return func(r *http.Request) (httpin.Principal, *httpin.Denial) {
		u, denied := gate.Enter(r)
		if denied != nil {
			return nil, &httpin.Denial{Status: denied.Status, Message: denied.Message, RetryAfter: denied.RetryAfter, Challenge: gate.Challenge()}
		}
		return u, nil
	}
}

// listenHTTP opens the HTTP ingest: on the socket named "http" that systemd passed, or
// else on http.listen.
func (d *daemon) listenHTTP(ctx context.Context) error {
	addr := d.s.own.HTTPListen
	ln, err := service.Listener("http")
	switch {
	case err != nil:
		return &exitError{exitCannotCreate, err}
	case ln == nil && !listens(addr):
		return nil
	case ln == nil:
		if ln, err = listenOn(ctx, addr, d.s.own.HTTPSocketMode); err != nil {
			return exitf(exitCannotCreate, "http.listen: %w", err)
		}
	}
	d.limiter = httpin.Limit(accept.Through(ln, "http", d.log), "http.max.connections", d.connections())
	ln, gate, err := d.protect("http", d.limiter, d.s.own.HTTPAccess)
	if err != nil {
		return err
	}
	cfg := d.s.http()
	d.maxBody = cfg.MaxBodyBytes
	cfg.Context = d.telemetry.requestContext()
	cfg.Enter, cfg.Origins, cfg.Log = principal(gate), d.s.own.HTTPOrigins, d.log
	cfg.Ready = func() error { return admin.Ready(d.producer.Peek(), d.producer.Err(), false) }
	d.http = httpin.On(ln, httpin.New(cfg, newSink(d.producer), d.telemetry.metrics.Ingress("http")), d.log)
	go func() {
		if err := d.http.Serve(); err != nil {
			d.failed <- &exitError{exitIO, err}
		}
	}()
	return nil
}

func listens(addr string) bool { return addr != "" && addr != "off" }

func (d *daemon) addresses(args ...any) []any {
	if d.http != nil {
		args = append(args, "http", d.http.Addr().String())
	}
	if d.admin != nil {
		args = append(args, "admin", d.admin.Addr().String())
	}
	return args
}

// closeServers ends the ways in. The socket goes before the spool's lock does: the next
// daemon may open its own as soon as it has the lock.
func (d *daemon) closeServers(ctx context.Context) {
	if d.http != nil {
		if err := d.http.Shutdown(ctx); err != nil {
			d.log.Warn("requests were cut off", "event", "http.cut", "err", err)
		}
	}
	if d.admin != nil {
		d.page.Close()
		d.admin.Close()
	}
	if d.socket != nil {
		d.socket.Close()
	}
}
