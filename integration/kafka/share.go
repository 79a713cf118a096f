package kafka

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A broker of which the JVM maps its classes from an archive, instead of reading and checking them anew, starts with half of the work.
// The archive stands beside the jars and is made once, by a broker that is started and stopped for it.

// archive is the file with the classes of a folder of jars.
func archive(jars string) string { return filepath.Join(jars, "classes.jsa") }

// sharing are the JVM's options for it. Without the file, or with one of another JVM, a JVM goes on with the jars and says nothing.
func (c *Cluster) sharing() []string {
	if c.archiving != "" {
		return []string{"-XX:ArchiveClassesAtExit=" + c.archiving, "-Xlog:cds=off", "-Xlog:cds+dynamic=off"}
	}
	return []string{"-XX:SharedArchiveFile=" + archive(c.jars), "-Xlog:cds=off", "-Xlog:cds+dynamic=off"}
}

// share makes the archive if it is not there. The file is whole, or empty where this JVM cannot make one: JVMs take no notice of it then.
func share(ctx context.Context, jars, version string) error {
	if _, err := os.Stat(archive(jars)); err == nil {
		return nil
	}
	c, err := startAnew(ctx, Options{Version: version, Brokers: 1}, jars, archive(jars)+".new")
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Stop(0); err != nil {
		return err
	}
	err = os.Rename(c.archiving, archive(jars))
	if errors.Is(err, fs.ErrNotExist) {
		err = os.WriteFile(archive(jars), nil, 0o644)
	}
	if err != nil {
		return fmt.Errorf("kafka: the archive of classes that a broker leaves at its end: %w", err)
	}
	return nil
}
