package spoold

import (
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"github.com/spoold/spoold/internal/quietlog"
	"github.com/spoold/spoold/sender/loop"
	"github.com/spoold/spoold/spool/bolt"
)

// Open opens the spool, or makes it, and begins to deliver what is in it. It needs no
// cluster. The error is a *ConfigError (all faults joined), a *LockedError, ErrForeign,
// a *VersionError, a *CorruptError (nothing was sent), or the file system's; ExitCode
// has a number for each. Close the Producer when done.
func Open(cfg Config, env Env) (*Producer, error) {
	return openWith(cfg, env, func(s *bolt.Store) loop.Store { return s }, reopenPause)
}

func openWith(cfg Config, env Env, seam func(*bolt.Store) loop.Store, pause time.Duration) (*Producer, error) {
	p := &Producer{
		cfg: cfg, env: env.withDefaults(&cfg), opened: time.Now(),
		life: newLifetime(),
	}
	p.engines.p, p.engines.clock, p.engines.seam, p.engines.pause = p, env.Now, seam, pause
	p.limits.Store(cfg.limits())
	p.meter = newMeter(time.Now)
	p.interceptors = &interceptors{list: slices.Clone(env.Interceptors), hooks: &p.env.Hooks}
	p.telemetry = newTelemetry(p)
	p.chooser = newChooser(env.Partitioner, &p.env.Hooks)
	p.counts = newPartitionCounts(cfg.MetadataMaxAge)
	p.plain = p.interceptors.none() && env.Tracer == nil
	p.observer = observer{&p.env.Hooks, p.meter, p.telemetry, p.counts}
	var err error
	if p.keeper, err = newKeeper(&p.cfg, &p.env); err != nil {
		p.interceptors.close()
		p.chooser.close()
		return nil, err
	}
	if cfg.DeliveryTimeout > 0 && cfg.TransactionalID != "" {
		p.env.Logger.Warn("delivery.timeout.ms does not apply under transactional.id: records are kept until they are delivered", "event", "config.ignored")
	}
	if cfg.SpoolMaxAge > 0 && cfg.TransactionalID != "" {
		p.env.Logger.Warn("spool.max.age does not apply under transactional.id: records are kept until they are delivered", "event", "config.ignored")
	}
	if cfg.TransactionalID != "" && cfg.namesDropOldest() {
		p.env.Logger.Warn("topic.quota.full: drop-oldest is block under transactional.id: records are kept until they are delivered", "event", "config.ignored")
	}
	p.rules = recordRules{cfg: &p.cfg, notBefore: notBefore(cfg.SpoolPath)}
	p.room.log = p.env.Logger
	p.deadTopic = newDeadTopic(cfg.DeadLetterTopic)
	p.callbacks = newCallbacks(cfg.CallbacksMax, &p.env.Hooks)
	e, err := p.engines.open(nil)
	if err != nil {
		p.callbacks.close()
		p.interceptors.close()
		p.chooser.close()
		return nil, err
	}
	p.engines.now.Store(e)
	go p.engines.supervise(e)
	p.telemetry.start()
	if p.deadTopic != nil {
		go p.deadTopic.run(p)
	}
	return p, nil
}

// withDefaults replaces what is not given by the real world.
func (env Env) withDefaults(cfg *Config) Env {
	if env.Now == nil {
		env.Now = time.Now
	}
	if env.Dial == nil {
		env.Dial = newDialer(cfg.SendBuffer, cfg.ReceiveBuffer).dial
	}
	if env.Seed == 0 {
		env.Seed = rand.Uint64()
	}
	if env.Logger == nil {
		env.Logger = slog.New(slog.DiscardHandler)
	}
	env.Logger = slog.New(quietlog.Wrap(env.Logger.Handler()))
	env.Hooks = (&logger{env.Logger}).hooks(env.Hooks)
	return env
}

// release is the version that a program was built as; set by the linker, "" where it is the module's.
var release string

// Version is this module's version, as the program was built with it.
func Version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Path == modulePath {
		return info.Main.Version
	}
	for _, m := range info.Deps {
		if m.Path == modulePath {
			return m.Version
		}
	}
	return "unknown"
}

const modulePath = "github.com/spoold/spoold"
