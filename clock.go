package spoold

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"
)

// checkAhead refuses a record whose own timestamp is too far ahead of this host's clock: the cluster would refuse it until
// then, and with it what stands behind it. A clock that cannot be right says nothing about the record.
func (p *Producer) checkAhead(r *Record) error {
	most := p.cfg.TimestampAhead
	if most <= 0 || r.Timestamp.IsZero() {
		return nil
	}
	now := p.env.Now()
	ahead := r.Timestamp.Sub(now)
	if ahead <= most || now.Before(p.notBefore) {
		return nil
	}
	return fmt.Errorf("%w: its timestamp %s is %v ahead of this host's clock, allowed is %v (timestamp.ahead.max.ms)",
		ErrInvalidRecord, r.Timestamp.UTC().Format(time.RFC3339), ahead.Round(time.Second), most)
}

// notBefore is a time that has passed: the program was built then, or the spool was changed. A clock that shows an earlier one is wrong.
func notBefore(spool string) (latest time.Time) {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.time" {
				latest, _ = time.Parse(time.RFC3339, s.Value) // the zero time if it is none
			}
		}
	}
	names, _ := filepath.Glob(filepath.Join(spool, "*")) // the pattern is not malformed but for an odd path: then nothing is known
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.ModTime().After(latest) {
			latest = info.ModTime()
		}
	}
	return latest
}
