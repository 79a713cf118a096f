package kafka

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spoold/spoold/integration/link"
	"github.com/spoold/spoold/integration/proc"
)

// small keeps a broker at about 170 MB; fast is for measurements.
var (
	small = []string{"-Xms96m", "-Xmx320m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-XX:MaxMetaspaceSize=128m", "-XX:ReservedCodeCacheSize=48m", "-XX:MaxDirectMemorySize=64m"}
	fast = []string{"-Xms1g", "-Xmx1g", "-XX:+UseG1GC"}
	all  = []string{"-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData", "-Djava.awt.headless=true", "-Dcom.sun.management.jmxremote=false",
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=info", "-Dorg.slf4j.simpleLogger.showDateTime=true",
		"-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS"}
)

// broker is one node: broker and controller in one process.
type broker struct {
	id                           int
	client, internal, controller string     // what it listens on
	link                         *link.Link // nil: clients come straight to the broker
	inner                        *link.Link // nil: so do brokers
	data, props, log             string     // paths
	process                      *proc.Process
}

// advertised is where clients are sent.
func (b *broker) advertised() string {
	if b.link != nil {
		return b.link.Addr()
	}
	return b.client
}

// among is where brokers are sent.
func (b *broker) among() string {
	if b.inner != nil {
		return b.inner.Addr()
	}
	return b.internal
}

// Inner is the link in front of what other brokers, and broker i itself, send to broker i: of a cluster with Options.Inner.
func (c *Cluster) Inner(i int) *link.Link { return c.brokers[i].inner }

func (c *Cluster) java(ctx context.Context, args ...string) *exec.Cmd {
	opts := append([]string(nil), all...)
	if c.opts.Fast {
		opts = append(opts, fast...)
	} else {
		opts = append(opts, small...)
	}
	path := filepath.Join(c.jars, "*")
	if c.opts.Classes != "" {
		path += string(filepath.ListSeparator) + c.opts.Classes
	}
	opts = append(opts, c.sharing()...)
	opts = append(opts, "-Djava.io.tmpdir="+c.dir, "-cp", path)
	return exec.CommandContext(ctx, "java", append(opts, args...)...)
}

// Tool runs one of Kafka's own command line tools, which is a class with arguments, and returns what it prints.
func (c *Cluster) Tool(ctx context.Context, args ...string) (string, error) {
	out, err := c.java(ctx, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kafka: %v: %w\n%s", args, err, out)
	}
	return string(out), nil
}

// Data is the folder with the logs of broker i.
func (c *Cluster) Data(i int) string { return c.brokers[i].data }

// format prepares a broker's folder. It happens once; a killed broker keeps its log.
func (c *Cluster) format(ctx context.Context, i int) error {
	b := c.brokers[i]
	if err := os.WriteFile(b.props, []byte(c.properties(i)), 0o644); err != nil {
		return fmt.Errorf("kafka: broker %d: %w", b.id, err)
	}
	args := append([]string{"kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", c.id, "-c", b.props}, c.opts.FormatArgs...)
	var out bytes.Buffer
	cmd := c.java(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kafka: format the folder of broker %d (needs Java 17): %w\n%s", b.id, err, out.String())
	}
	return nil
}

// launch starts the process of a broker and does not wait for it to be ready.
func (c *Cluster) launch(i int) error {
	b := c.brokers[i]
	if b.process != nil && b.process.Running() {
		return fmt.Errorf("kafka: broker %d runs already", b.id)
	}
	log, err := os.OpenFile(b.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("kafka: broker %d: %w", b.id, err)
	}
	defer func() { _ = log.Close() }() // the child has its own descriptor
	cmd := c.java(context.Background(), "kafka.Kafka", b.props)
	cmd.Dir, cmd.Stdout, cmd.Stderr = c.dir, log, log
	b.process, err = proc.Start(cmd)
	return err
}

// tail is the end of a broker's log, for errors.
func (b *broker) tail() string {
	raw, err := os.ReadFile(b.log)
	if err != nil {
		return err.Error()
	}
	if len(raw) > 2000 {
		raw = raw[len(raw)-2000:]
	}
	return string(raw)
}

// stopPatience is how long a controlled shutdown may take.
const stopPatience = 30 * time.Second

func (c *Cluster) tails() string {
	var out strings.Builder
	for _, b := range c.brokers {
		fmt.Fprintf(&out, "\nend of the log of broker %d:\n%s", b.id, b.tail())
	}
	return out.String()
}
