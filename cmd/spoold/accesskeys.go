package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/access"
	"github.com/spoold/spoold/cmd/spoold/internal/httpin"
	"github.com/spoold/spoold/internal/keytable"
)

// accessRows are the keys of who may use a listener. what says what it is.
func accessRows(name, what string, of func(*daemonConfig) *access.Options) []daemonRow {
	row := func(key string, kind keytable.Kind, help string, field func(*access.Options) any) daemonRow {
		s := spec{Name: name + "." + key, Kind: kind, Help: help}
		if kind == keytable.Bool {
			s.Default = "false"
		}
		return daemonRow{Spec: s, Field: func(c *daemonConfig) any { return field(of(c)) }}
	}
	return []daemonRow{
		row("users", keytable.Text, "Path of the file of users who may use "+what+" (docs/http.md). Read again when it changes. Without it and "+name+".tls.client.ca: anybody may.",
			func(o *access.Options) any { return &o.Users }),
		row("tls.certificate", keytable.Text, "PEM file of the listener's certificate and those between it and its authority. Read again when it changes. Without it: no TLS.",
			func(o *access.Options) any { return &o.Certificate }),
		row("tls.key", keytable.Text, "PEM file of the certificate's private key. Without it: it stands in the certificate's file.",
			func(o *access.Options) any { return &o.Key }),
		row("tls.client.ca", keytable.Text, "PEM file of the authorities that clients' certificates may be from. With "+name+".users, a certificate's subject must be that of a user.",
			func(o *access.Options) any { return &o.ClientCA }),
		row("insecure", keytable.Bool, "true: the listener may be reached from other hosts by anybody, without TLS, users or client certificates.",
			func(o *access.Options) any { return &o.Insecure }),
	}
}

// originRow is the key of web pages that may post.
var originRow = daemonRow{Spec: spec{Name: "http.cors.origins", Kind: keytable.List, Help: "Web pages of other addresses that may post, such as https://app.example.com. Without any: none."},
	Field: func(c *daemonConfig) any { return &c.HTTPOrigins }, Rule: func(c *daemonConfig) error {
		for _, origin := range c.HTTPOrigins {
			if err := httpin.CheckOrigin(origin); err != nil {
				return fmt.Errorf("%q %w", origin, err)
			}
		}
		return nil
	}}

// validateAccess checks, as far as it can be seen without opening it, that no listener is open to other hosts by mistake.
func (s *settings) validateAccess() (errs []error) {
	for _, l := range []struct {
		name, addr string
		o          access.Options
	}{{"http", s.own.HTTPListen, s.own.HTTPAccess}, {"admin", s.own.AdminListen, s.own.AdminAccess}} {
		key := l.name + ".listen"
		if !listens(l.addr) || s.faulty[key] {
			continue
		}
		errs = append(errs, s.accessFiles(l.name, &l.o)...)
		host, digits, err := net.SplitHostPort(l.addr)
		ip := net.ParseIP(host)
		port, _ := strconv.Atoi(digits) // checkListen has seen it
		if err != nil || ip == nil && host != "" {
			continue // a name: it is looked at when it is opened
		}
		if _, err := l.o.Check(l.name, &net.TCPAddr{IP: ip, Port: port}); err != nil {
			errs = append(errs, s.located(key, err))
		}
		if l.o.Certificate == "" && (l.o.Key != "" || l.o.ClientCA != "") {
			errs = append(errs, s.located(l.name+".tls.certificate", errors.New("is not given, but "+l.name+".tls.key or "+l.name+".tls.client.ca is")))
		}
	}
	return errs
}

// accessFiles are the faults of the files of a listener's users and certificates.
func (s *settings) accessFiles(name string, o *access.Options) (errs []error) {
	if err := o.CheckUsers(); err != nil {
		errs = append(errs, s.located(name+".users", err))
	}
	if _, _, err := o.CheckCertificates(); err != nil {
		errs = append(errs, s.located(name+".tls.certificate", err))
	}
	return errs
}

// located is a fault of a key, with where the key was said.
func (s *settings) located(key string, what error) error {
	value, _ := s.get(key)
	err := error(&spoold.ConfigError{Key: key, Value: value, What: what.Error()})
	if source := s.source[key]; source != "" {
		err = fmt.Errorf("%s: %w", source, err)
	}
	return err
}
