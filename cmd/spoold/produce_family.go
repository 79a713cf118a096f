package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/spoold/spoold"
)

// origin says whose a default spool is. It stands in a file under spools, beside the directories of the commands.
type origin struct {
	Command   string   `json:"command"`
	Topic     string   `json:"topic"`
	Servers   []string `json:"bootstrap_servers"`
	ClusterID string   `json:"cluster_id,omitempty"` // "": never reached
}

// originFile is the place of a spool's origin.
func originFile(dir string) string {
	root := filepath.Dir(dir)
	return filepath.Join(filepath.Dir(root), "spools", filepath.Base(root), filepath.Base(dir)+".json")
}

// family are the spools of one command for one cluster and topic.
type family struct {
	dirs []string // that are there
	root string   // of all spools of the command; "": --spool was given
	name string   // of a new one
	of   origin
}

func (f *family) exact() bool { return f.root == "" }

// probeTimeout is how long a cluster may take to say who it is, before its addresses stand for it.
const probeTimeout = 2 * time.Second

// family finds the spools that an earlier run of the command may have left for this cluster and topic. The cluster is asked for
// its id; one that does not answer is known by its addresses.
func (w *world) family(ctx context.Context, cfg *spoold.Config, command, topic string) (*family, error) {
	state, err := w.stateDir()
	if err != nil {
		return nil, err
	}
	f := &family{root: filepath.Join(state, command)}
	f.of = origin{Command: command, Topic: topic, Servers: slices.Sorted(slices.Values(cfg.BootstrapServers))}
	probe, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	f.of.ClusterID, _ = spoold.ClusterID(probe, *cfg) // an error says that it is not known
	f.name = shortHash(strings.Join(f.of.Servers, ",")+"\n"+topic) + "-" + topic
	spools, err := spoolsIn(f.root)
	if err != nil {
		return nil, err
	}
	for _, s := range spools {
		if s.of.Topic == "" && baseName(s.dir) == f.name { // made before there were origins
			s.of = f.of
		}
		if s.of.Topic == topic && f.of.sameCluster(&s.of) {
			f.dirs = append(f.dirs, s.dir)
		}
	}
	return f, nil
}

// sameCluster goes by ids if both are known, or else by addresses.
func (o *origin) sameCluster(other *origin) bool {
	if o.ClusterID != "" && other.ClusterID != "" {
		return o.ClusterID == other.ClusterID
	}
	return slices.ContainsFunc(o.Servers, func(s string) bool { return slices.Contains(other.Servers, s) })
}

// baseName is a spool's name without the number of a run beside others.
func baseName(dir string) string {
	name := filepath.Base(dir)
	if at := strings.LastIndexByte(name, '-'); at > 0 && strings.Trim(name[at+1:], "0123456789") == "" {
		return name[:at]
	}
	return name
}

// fresh is the n-th name for a new spool.
func (f *family) fresh(n int) string {
	for i := 1; ; i++ {
		dir := filepath.Join(f.root, f.name)
		if i > 1 {
			dir = fmt.Sprintf("%s-%d", dir, i)
		}
		if slices.Contains(f.dirs, dir) {
			continue
		}
		if n--; n < 0 {
			return dir
		}
	}
}

// record writes down whose a spool is. An id that is not known does not replace one that is.
func (f *family) record(dir, clusterID string) error {
	if f == nil || f.exact() {
		return nil
	}
	o := readOrigin(dir)
	next := f.of
	next.ClusterID = cmp.Or(clusterID, o.ClusterID, f.of.ClusterID)
	next.Servers = slices.Compact(slices.Sorted(slices.Values(append(o.Servers, next.Servers...))))
	text, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if old, err := os.ReadFile(originFile(dir)); err == nil && string(old) == string(text) {
		return nil
	}
	return replaceFile(originFile(dir), text)
}

func readOrigin(dir string) (o origin) {
	text, err := os.ReadFile(originFile(dir))
	if err != nil || json.Unmarshal(text, &o) != nil {
		return origin{}
	}
	return o
}

// replaceFile replaces a file durably.
func replaceFile(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// userSpool is a spool under the user's state directory.
type userSpool struct {
	dir string
	of  origin
}

// spoolsIn lists the spools in a directory, by name.
func spoolsIn(root string) (found []userSpool, err error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &exitError{exitCannotCreate, err}
	}
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		if e.IsDir() && exists(filepath.Join(dir, "lock")) {
			found = append(found, userSpool{dir, readOrigin(dir)})
		}
	}
	return found, nil
}

// fileJob is a file that produce sends. It is held by one process at a time, and remembers which spools have its
// position.
type fileJob struct {
	h    *os.File
	dirs []string
}

// claim holds a file for this topic.
func (f *family) claim(path string) (*fileJob, error) {
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	dir := filepath.Join(filepath.Dir(f.root), "spools", "files")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &exitError{exitCannotCreate, err}
	}
	h, err := os.OpenFile(filepath.Join(dir, shortHash(f.of.Topic+"\n"+path)), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &exitError{exitCannotCreate, err}
	}
	if err := unix.Flock(int(h.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = h.Close()
		return nil, exitf(exitTemporary, "produce: -l %s: another run sends this file to topic %s: wait until it has ended", path, f.of.Topic)
	}
	text, err := io.ReadAll(h)
	if err != nil {
		_ = h.Close()
		return nil, &exitError{exitIO, err}
	}
	j := &fileJob{h: h}
	for line := range strings.Lines(string(text)) {
		if line, ok := strings.CutSuffix(line, "\n"); ok {
			j.dirs = append(j.dirs, line)
		}
	}
	return j, nil
}

// dir is the spool of the family that has the file's position, or "".
func (j *fileJob) dir(f *family) string {
	for _, dir := range j.dirs {
		if slices.Contains(f.dirs, dir) {
			return dir
		}
	}
	return ""
}

// record adds a spool before it gets the file's first record. A last line that a crash cut off is not read.
func (j *fileJob) record(dir string) error {
	if j == nil || slices.Contains(j.dirs, dir) {
		return nil
	}
	text := ""
	for _, d := range append(j.dirs, dir) {
		text += d + "\n"
	}
	if _, err := j.h.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return j.h.Sync()
}

func (j *fileJob) release() { _ = j.h.Close() }
