package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
	"github.com/spoold/spoold/cmd/spoold/internal/support"
)

func supportCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "support-bundle",
		Usage: "collect what somebody needs who is to find out what is wrong, without secrets or records",
		UsageText: "spoold support-bundle -c FILE [-o FILE] [--log FILE] [--unit NAME] [--no-link]\n\n" +
			"Example: as the daemon's user, while it runs or when it does not start:\n\n" +
			"   sudo -u spoold spoold support-bundle -c /etc/spoold/spoold.yaml -o /tmp/spoold-support.tar.gz",
		Description: "It writes a tar.gz with the effective configuration, status, metrics, the last lines of the log, what doctor finds,\n" +
			"versions, facts of the host, and names and sizes of the spool's files. There are no records in it, nor their keys or\n" +
			"headers; secrets of the configuration, and what looks like one, are replaced by [hidden]. Names of hosts, topics and files\n" +
			"are in it: look at it before you send it. CONTENTS.txt in it says what could not be collected, and the rest is there all\n" +
			"the same. Nothing is changed, at the host or the cluster; a file that is there already is not replaced.",
		Flags: []cli.Flag{
			configFlag(), brokerFlag(), keyFlag(), spoolFlag("spool.path; default: the daemon's"),
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FILE` to write; default: spoold-support-TIME.tar.gz here"},
			&cli.StringFlag{Name: "log", Usage: "`FILE` with the daemon's log; default: log.file, or else the journal"},
			&cli.StringFlag{Name: "unit", Value: "spoold", Usage: "`NAME` of the systemd unit, for its journal"},
			&cli.BoolFlag{Name: "no-link", Usage: "do not ask the cluster"},
		},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			return supportBundle(w, c)
		},
	}
}

func supportBundle(w *world, c *cli.Context) error {
	s, err := readSettings(w, c)
	if err != nil {
		return err
	}
	if s.cfg.SpoolPath == "" {
		if s.cfg.SpoolPath, err = w.serveSpool(); err != nil {
			return err
		}
	}
	file := c.String("output")
	if file == "" {
		file = "spoold-support-" + time.Now().UTC().Format("20060102T150405Z") + ".tar.gz"
	}
	if exists(file) {
		return exitf(exitCannotCreate, "support-bundle: %s is there already: choose another name with -o", file)
	}
	b := &bundle{c: c, s: s, wait: lookTime}
	failed, err := support.Write(c.Context, file, b.items(), support.NewScrubber(append(secretsIn(&s.cfg), secretsIn(&s.own)...)))
	if err != nil {
		return exitf(exitCannotCreate, "support-bundle: %w (choose another place with -o FILE)", err)
	}
	for _, f := range failed {
		fmt.Fprintf(w.stderr, "spoold: not in the bundle: %s\n", f)
	}
	path, err := filepath.Abs(file)
	if err != nil {
		path = file
	}
	fmt.Fprintln(w.stdout, path)
	return nil
}

// bundle is what is collected.
type bundle struct {
	c *cli.Context
	s *settings

	wait   time.Duration // for the daemon
	once   sync.Once
	status *spoold.Status
	pid    int // 0: no daemon runs
	err    error
}

// lookTime is less than what each part of a bundle may take: of a daemon that hangs, all else has to be collected.
const lookTime = 5 * time.Second

// look asks the daemon once. One that does not answer is known by its process id.
func (b *bundle) look(ctx context.Context) (*spoold.Status, int, error) {
	b.once.Do(func() {
		ctx, cancel := context.WithTimeout(ctx, b.wait)
		defer cancel()
		if b.status, b.pid, b.err = lookAt(ctx, b.s.cfg.SpoolPath); b.err == nil || ctx.Err() == nil {
			return
		}
		b.err = admin.ErrSilent
		var locked *spoold.LockedError
		if _, err := spoold.Inspect(b.s.cfg.SpoolPath); errors.As(err, &locked) {
			b.pid = locked.PID
		}
	})
	return b.status, b.pid, b.err
}

const (
	logTail  = 4 << 20 // bytes
	logLines = 5000    // of the journal
)

func (b *bundle) items() []support.Item {
	dir := b.s.cfg.SpoolPath
	return []support.Item{
		{Name: "version.json", Says: "the program that made this archive", Text: func(context.Context) ([]byte, error) { return json.Marshal(version()) }},
		{Name: "config.txt", Says: "the effective configuration, each key with its source, and its faults", Text: b.config},
		{Name: "status.json", Says: "the daemon's state, or the spool's where none runs", Text: b.statusText},
		{Name: "metrics.txt", Says: "the daemon's metrics", Text: func(ctx context.Context) ([]byte, error) {
			if _, _, err := b.look(ctx); errors.Is(err, admin.ErrSilent) {
				return nil, err
			}
			client := admin.NewClient(dir)
			defer client.Close()
			return client.Metrics(ctx)
		}},
		{Name: "log.txt", Says: "the last lines of the log", Text: b.log},
		{Name: "doctor.json", Says: "what doctor finds", Text: b.doctor},
		{Name: "host.txt", Says: "system, processors, memory, load, limits, file system", Text: func(ctx context.Context) ([]byte, error) {
			_, pid, _ := b.look(ctx)
			return support.Host(dir, pid)
		}},
		{Name: "spool.txt", Says: "names, sizes and times of the spool's files", Text: func(context.Context) ([]byte, error) { return support.Listing(dir) }},
		{Name: "history.json", Says: "the last day's plots of the status page", Text: func(context.Context) ([]byte, error) {
			text, err := os.ReadFile(filepath.Join(dir, historyFile))
			if errors.Is(err, fs.ErrNotExist) {
				return nil, nil // the page was never on
			}
			return text, err
		}},
	}
}

func (b *bundle) config(context.Context) ([]byte, error) {
	var out bytes.Buffer
	if err := writeConfig(&out, b.s.rows(true), false); err != nil {
		return nil, err
	}
	for _, warning := range b.s.warnings() {
		fmt.Fprintf(&out, "\nwarning: %s", warning)
	}
	if err := b.s.validate(); err != nil {
		fmt.Fprintf(&out, "\nfaults:\n%v\n", err)
	}
	return out.Bytes(), nil
}

func (b *bundle) statusText(ctx context.Context) ([]byte, error) {
	s, _, err := b.look(ctx)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(s, "", " ")
}

func (b *bundle) log(ctx context.Context) ([]byte, error) {
	file := b.c.String("log")
	if file == "" {
		file = b.s.own.LogFile
	}
	if file != "" {
		return support.Tail(expandHome(file), logTail)
	}
	return support.Journal(ctx, b.c.String("unit"), logLines)
}

func (b *bundle) doctor(ctx context.Context) ([]byte, error) {
	st, host := b.s.found(b.look(ctx))
	link := !b.c.Bool("no-link") && len(b.s.cfg.BootstrapServers) > 0
	return json.MarshalIndent(b.s.examine(ctx, st, host, nil, link), "", " ")
}

// secretsIn are all secrets in a configuration, and what they refer to.
func secretsIn(config any) []string {
	var found []string
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		if v.Type() == reflect.TypeFor[spoold.Secret]() {
			secret := spoold.Secret(v.String())
			found = append(found, secret.Reveal())
			if text, err := secret.Follow(); err == nil {
				found = append(found, text)
			}
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case reflect.Pointer, reflect.Interface:
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Slice, reflect.Array:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		}
	}
	walk(reflect.ValueOf(config))
	return found
}
