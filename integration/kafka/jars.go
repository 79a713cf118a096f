package kafka

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/spoold/spoold/integration/proof"
)

// Versions of Apache Kafka that the tests run against: the newest, and the last
// of the 3.x, which edge clusters still run.
const (
	Newest = "4.3.1"
	Last3x = "3.9.1"
)

//go:embed pom-*.xml
var poms embed.FS

// Jars is the folder with the jars of one version, fetched with Maven if they are
// not there yet. Several processes may ask at once: one fetches, the others wait.
func Jars(ctx context.Context, version string) (string, error) {
	pom, err := poms.ReadFile("pom-" + version + ".xml")
	if err != nil {
		return "", fmt.Errorf("kafka: version %s has no pom file: add integration/kafka/pom-%s.xml", version, version)
	}
	root, err := proof.Root()
	if err != nil {
		return "", err
	}
	cache := filepath.Join(root, ".cache", "kafka")
	dir := filepath.Join(cache, version)
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("kafka: jar cache: %w", err)
	}
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if !complete(dir, version) {
		if err := fetch(ctx, dir, pom); err != nil {
			return "", err
		}
	}
	return dir, share(ctx, dir, version)
}

// fetch fills a folder beside dir and renames it, so that dir is whole or absent.
func fetch(ctx context.Context, dir string, pom []byte) error {
	work, err := os.MkdirTemp(filepath.Dir(dir), "fetch-")
	if err != nil {
		return fmt.Errorf("kafka: jar cache: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }() // only rubbish would stay
	file := filepath.Join(work, "pom.xml")
	if err := os.WriteFile(file, pom, 0o644); err != nil {
		return fmt.Errorf("kafka: jar cache: %w", err)
	}
	jars := filepath.Join(work, "jars")
	var out bytes.Buffer
	for range 3 { // a repository may be short of breath; twice more is polite
		out.Reset()
		cmd := exec.CommandContext(ctx, "mvn", "-q", "-B", "-f", file, "dependency:copy-dependencies",
			"-DincludeScope=runtime", "-DoutputDirectory="+jars)
		cmd.Stdout, cmd.Stderr = &out, &out
		if err = cmd.Run(); err == nil || errors.Is(err, exec.ErrNotFound) || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("kafka: fetching jars with Maven (needs mvn and Java 17): %w\n%s", err, out.String())
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("kafka: jar cache: %w", err)
	}
	if err := os.Rename(jars, dir); err != nil {
		return fmt.Errorf("kafka: jar cache: %w", err)
	}
	return nil
}

func complete(dir, version string) bool {
	_, err := os.Stat(filepath.Join(dir, "kafka_2.13-"+version+".jar"))
	return err == nil
}

// lock takes a file lock that the kernel frees when this process ends.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("kafka: jar cache: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("kafka: lock %s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil // closing frees the lock
}
