package main

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
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

// produceSpool is the first of the directories that `produce` uses for a cluster and a
// topic. Brokers in another order are the same cluster.
func (w *world) produceSpool(brokers []string, topic string) (string, error) {
	dir, err := w.stateDir()
	if err != nil {
		return "", err
	}
	sorted := slices.Sorted(slices.Values(brokers))
	sum := sha256.Sum256([]byte(strings.Join(sorted, ",") + "\n" + topic))
	return filepath.Join(dir, "produce", hex.EncodeToString(sum[:8])+"-"+topic), nil
}
