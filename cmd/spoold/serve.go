package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/spoold/spoold"
	"github.com/spoold/spoold/cmd/spoold/internal/access"
	"github.com/spoold/spoold/cmd/spoold/internal/admin"
	"github.com/spoold/spoold/cmd/spoold/internal/devbroker"
	"github.com/spoold/spoold/cmd/spoold/internal/httpin"
	"github.com/spoold/spoold/cmd/spoold/internal/link"
	"github.com/spoold/spoold/cmd/spoold/internal/page"
	"github.com/spoold/spoold/cmd/spoold/internal/service"
)

func serveCommand(w *world) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "run the daemon",
		UsageText: "spoold serve -c FILE [flags]\n   spoold serve -b HOST:PORT [flags]\n   spoold serve --dev [flags]\n\n" +
			"Example: a daemon with an embedded development broker, and one record for it:\n\n" +
			"   spoold serve --dev &\n" +
			"   curl -H 'Content-Type: application/vnd.kafka.json.v2+json' \\\n" +
			"        -d '{\"records\":[{\"key\":\"k\",\"value\":{\"n\":1}}]}' http://127.0.0.1:8082/topics/orders",
		Description: "SIGTERM and SIGINT stop it: it takes no more, finishes what is on its way to the disk, and leaves the rest in the\n" +
			"spool for the next start. A second signal ends it at once, which loses nothing either. SIGHUP reads the configuration\n" +
			"again, and opens log.file again: log.level, log.file.*, shutdown.timeout, limits and the sections of ship take effect at once,\n" +
			"security.protocol, ssl.* and sasl.* for connections to come; a line for each other key that has changed says that it\n" +
			"needs a restart. Faults in it are logged, and nothing changes. SIGUSR1 writes state and goroutines to the log, without\n" +
			"records or secrets. It goes on when its standard output or error is closed.",
		Flags: []cli.Flag{
			configFlag(), brokerFlag(), keyFlag(),
			spoolFlag("spool.path; default: serve under the user's state directory"),
			httpFlag(), adminFlag(),
			&cli.BoolFlag{Name: "dev", Usage: "start an embedded development broker and deliver to it"},
			&cli.BoolFlag{Name: "check-cluster", Usage: "stop with exit code 65 when the first cluster that is reached is not the one that the spool belongs to; else that is an outage"},
			&cli.BoolFlag{Name: "adopt-spool", Usage: "take over a spool that was moved here on purpose from another machine or directory"},
		},
		Action: func(c *cli.Context) error {
			if err := noArgs(c); err != nil {
				return err
			}
			s, stopDev, err := serveSettings(w, c)
			if err != nil {
				return err
			}
			defer stopDev()
			warnings := new(page.Warnings)
			logs, err := openLogs(w, &s.own, warnings)
			if err != nil {
				return err
			}
			defer logs.close()
			for _, warning := range s.warnings() {
				logs.held.Warn(warning, "event", "config.warning")
			}
			d := &daemon{w: w, s: s, log: logs.held, logs: logs, warnings: warnings, adopt: c.Bool("adopt-spool"), checkCluster: c.Bool("check-cluster")}
			d.reread = func() (*settings, error) { return readSettings(w, c) }
			return d.run(c.Context)
		},
	}
}

// serveSettings puts file, flags and defaults together, and starts the development
// broker if there is to be one.
func serveSettings(w *world, c *cli.Context) (s *settings, stopDev func(), err error) {
	stopDev = func() {}
	if s, err = readSettings(w, c); err != nil {
		return nil, stopDev, err
	}
	if s.file == "" && !c.Bool("dev") && len(s.cfg.BootstrapServers) == 0 {
		return nil, stopDev, usagef("serve: no configuration: use -c FILE, or -b HOST:PORT, or --dev")
	}
	if s.cfg.SpoolPath == "" {
		if s.cfg.SpoolPath, err = w.serveSpool(); err != nil {
			return nil, stopDev, err
		}
	}
	if c.Bool("dev") {
		broker, err := startDev(s)
		if err != nil {
			return nil, stopDev, err
		}
		stopDev = broker.Close
		s.cfg.BootstrapServers = []string{broker.Addr()}
	}
	if err := s.validate(); err != nil {
		stopDev()
		return nil, func() {}, err
	}
	return s, stopDev, nil
}

// devPort is where the development broker listens unless -b says otherwise.
const devPort = 9092

// startDev starts the development broker. Its log is beside the spool, which is bound to it.
func startDev(s *settings) (*devbroker.Broker, error) {
	o := devbroker.Options{Port: devPort, Dir: s.cfg.SpoolPath + "-dev-broker", Partitions: 3}
	if len(s.cfg.BootstrapServers) > 0 {
		port, err := devbroker.PortOf(s.cfg.BootstrapServers[0])
		if err != nil {
			return nil, usagef("serve --dev: -b %s: %w", s.cfg.BootstrapServers[0], err)
		}
		o.Port = port
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, &exitError{exitCannotCreate, err}
	}
	b, err := devbroker.Start(o)
	if err != nil {
		return nil, exitf(exitCannotCreate, "%w (choose another port with -b 127.0.0.1:PORT)", err)
	}
	return b, nil
}

// daemon is a running serve.
type daemon struct {
	w      *world
	s      *settings
	log    *slog.Logger // of logs, with repetitions held back
	logs   *logs
	reread func() (*settings, error) // file and flags, as they are now
	adopt  bool

	checkCluster bool

	producer  *spoold.Producer
	opened    atomic.Pointer[spoold.Producer] // the same, for a look from outside; nil before it is open
	telemetry *telemetry
	http      *httpin.Server           // nil: off
	limiter   *httpin.Limiter          // of its connections
	maxBody   int64                    // http.max.body.bytes of the start
	admin     *admin.Server            // nil: off
	adminGate *access.Gate             // nil: anybody may look
	gates     atomic.Pointer[[]gateOf] // of all listeners
	socket    *admin.Server
	page      *page.Page // nil: off, as admin is
	warnings  *page.Warnings
	history   *page.History // nil: there is no page
	shown     atomic.Pointer[[]page.Setting]
	manager   *service.Manager

	following atomic.Pointer[following] // files; nil: not yet

	failed chan error // a listener ended by itself
}

// run starts everything, waits for a reason to stop, and stops it all.
func (d *daemon) run(ctx context.Context) (err error) {
	begin := time.Now()
	hangup, stopSignals := d.signals()
	defer stopSignals()
	defer d.dumpOnSignal()()
	d.limitMemory()
	d.failed = make(chan error, 1)
	d.manager = service.New(d.log)
	if d.telemetry, err = newTelemetry(ctx, d.w, &d.s.own, d.log); err != nil {
		return err
	}
	defer d.telemetry.shutdown(ctx, d.log)
	if err := d.open(ctx); err != nil {
		return err
	}
	opened := time.Since(begin)
	status := d.producer.Status()
	if err := d.listen(ctx); err != nil {
		d.closeServers(ctx)
		return errors.Join(err, d.producer.Close(ctx))
	}
	if err := d.followFiles(ctx); err != nil {
		d.closeServers(ctx)
		return errors.Join(err, d.producer.Close(ctx))
	}
	d.log.Info("ready", d.addresses("event", "ready", "version", spoold.Version(), "spool", d.s.cfg.SpoolPath,
		"brokers", d.s.cfg.BootstrapServers, "pending", status.Pending, "open_ms", opened.Milliseconds())...)
	d.manager.Ready(statusLine(status))
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	go d.manager.Watch(watching, d.probe)
	keepHistory := d.keepHistory(ctx)
	defer keepHistory()

	err = d.wait(ctx, hangup)
	d.manager.Stopping()
	err = errors.Join(err, d.stop(ctx))
	s := d.producer.Peek()
	level := slog.LevelInfo
	if err != nil {
		level = slog.LevelError
	}
	d.log.Log(context.WithoutCancel(ctx), level, "exit", "event", "exit", "code", codeOf(err), "spooled", s.Accepted, "acked", s.Acked, "pending", s.Pending,
		"dead_lettered", s.DeadLettered, "uptime", time.Since(begin).Round(time.Millisecond).String(), "err", err)
	return err
}

// wait returns when there is a reason to stop, with the error that it is.
func (d *daemon) wait(ctx context.Context, hangup <-chan os.Signal) error {
	for {
		select {
		case <-hangup:
			d.manager.Reloading()
			d.reload()
			d.manager.Ready(statusLine(d.producer.Peek()))
		case <-ctx.Done():
			d.log.Info("stopping", "event", "stopping")
			return nil
		case <-d.producer.Done():
			return d.producer.Err()
		case err := <-d.failed:
			return err
		}
	}
}

func (d *daemon) open(ctx context.Context) (err error) {
	env := spoold.Env{Logger: d.log, AdoptSpool: d.adopt, CheckCluster: d.checkCluster}
	d.telemetry.observe(&env)
	// `demo` runs its daemon behind a link that it can cut.
	if via := d.w.env(link.Env); via != "" {
		env.Dial = link.Dialer(via)
	}
	if d.producer, err = spoold.Open(d.s.cfg, env); err != nil {
		return err
	}
	d.opened.Store(d.producer)
	if err := d.telemetry.metrics.Watch(d.peek); err != nil {
		return errors.Join(err, d.producer.Close(ctx))
	}
	if err := d.telemetry.metrics.WatchFiles(func() []spoold.FollowedFiles { return d.following.Load().status() }); err != nil {
		return errors.Join(err, d.producer.Close(ctx))
	}
	return nil
}

// stop takes no more requests, lets those under way be answered, and closes the spool,
// all within shutdown.timeout.
func (d *daemon) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.s.own.ShutdownTimeout)
	defer cancel()
	d.closeServers(ctx)
	d.following.Load().stop()
	err := d.producer.Close(ctx)
	if d.producer.Err() != nil {
		return nil // run has it
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // what is not answered stays spooled: that is what it is for
	}
	return err
}
