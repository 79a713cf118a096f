package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
)

// stateDir is where spools live when nobody says otherwise: the user's state
// directory by the XDG rules, or /var/lib/spoold for root.
func (w *world) stateDir() (string, error) {
	if dir := w.env("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "spoold"), nil
	}
	if dir, _, _ := strings.Cut(w.env("STATE_DIRECTORY"), ":"); filepath.IsAbs(dir) { // systemd's
		return dir, nil
	}
	if home := w.env("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "state", "spoold"), nil
	}
	if os.Geteuid() == 0 {
		return "/var/lib/spoold", nil
	}
	return "", exitf(exitConfig, "config: spool.path: no directory is given, and HOME is not set: use --spool DIR")
}

// serveSpool is the daemon's default spool.
func (w *world) serveSpool() (string, error) {
	dir, err := w.stateDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "serve"), nil
}

// shortHash names a thing in file names and notes.
func shortHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// exists reports whether something is at a path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// expandHome replaces a leading ~/ by the home directory: a shell does so in front of a word, but not behind a =, nor
// does it in a file.
func expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	if !ok {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return filepath.Join(home, rest)
}
