package spoold

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"time"
)

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
